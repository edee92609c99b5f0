"""Where a session's journal is: a safe file name for any id."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FOLDER = "sessions"
"""Below the state directory."""

SUFFIX = ".jsonl"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MOST = 60


def file_name(session_id: str) -> str:
    """The file of a session: what can be read of its id, and a digest, which alone tells ids apart.

    Safe for any text: no separator, no dot but those added here, at most 90 characters, and distinct for ids that
    differ in case only.
    """
    readable = _UNSAFE.sub("_", session_id)[:_MOST].strip("_") or "session"
    digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{readable}.{digest}{SUFFIX}"


def journal_path(state_dir: Path, session_id: str, folder: str = FOLDER) -> Path:
    """The file of a session in a state directory."""
    return state_dir / folder / file_name(session_id)
