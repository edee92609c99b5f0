"""Numbers that measure nothing: dates, versions, addresses, ids, places in code."""

from __future__ import annotations

import re

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_SOFTWARE = (
    r"(?:C?Python|PyPy|version|release|HTTP|TLS|SSL|OpenSSL|PostgreSQL|Postgres|MySQL|MariaDB|SQLite|Redis|Linux"
    r"|kernel|Ubuntu|Debian|Alpine|Django|Flask|FastAPI|Celery|gunicorn|uvicorn|uWSGI|SQLAlchemy|pip)"
)
# Each that begins with any letter is tried at the begin of a word only: else a long word costs its length squared.
_FIRST = r"(?<![\w./~+-])"
_FILE = (
    _FIRST + r"[\w./~-]*\.(?:pyx?|c|cc|cpp|h|rs|js|ts|so|log|txt|csv|json|ya?ml|toml|cfg|ini|sql|html?|sh|db|sock|pid)"
)

_ALWAYS = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?)?",
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?\.? {_MONTH}(?:,? \d{{4}})?\b|\b{_MONTH} \d{{1,2}}\b(?:,? \d{{4}}\b)?",
    r"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?(?:[ap]\.?m\.?|UTC|Z)\b)?|\b\d{1,2}\s?[ap]\.?m\b",
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    r"\b0x[0-9a-f]+\b",
    r"\b(?=[0-9a-f]{0,64}[a-f])(?=[0-9a-f]{0,64}\d)(?!\d+e\d+\b)[0-9a-f]{6,64}\b",
    r"\b(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?\b",
    r"\bv?\d+(?:\.\d+){2,}[\w.+-]*",
    r"\bv\d+(?:\.\d+)*\b",
)
_NAMES = (
    rf"\b{_SOFTWARE}[ /]v?\d+(?:\.\d+)*\b",
    _FIRST + r"[a-z][\w+.-]*://\S+",
    rf"{_FILE}(?::\d+)*\b",
    _FIRST + r"[/~][\w./~-]*\d[\w./~-]*(?::\d+)?",
    _FIRST + r"[A-Za-z_][\w.-]*/[\w./-]*\d[\w./-]*(?::\d+)?",
    _FIRST + r"[A-Za-z_][\w.-]*:\d{2,5}\b(?!\s?(?:%|[kKMGT]?i?B\b|[mun]?s\b|min\b))",
    _FIRST + r"[A-Za-z]\w*(?:[.-]\w+)*-\d[\w-]*",
    r"#\d+\b",
    r"\b24/7\b",
)
_STRICT = re.compile("|".join((*_ALWAYS, *_NAMES)), re.IGNORECASE)
_LOOSE = re.compile("|".join(_ALWAYS), re.IGNORECASE)

LABEL = re.compile(
    r"(?:\b(?:lines?|ports?|pids?|tid|fd|errno|status|codes?|http|signal|generation|gen|version|ids?|step|stage|phase"
    r"|thread|worker|process|shard|partition|snapshot|alert|attempt|order|request|customer|user|ticket|issue|job|task"
    r"|node|core|cpu|page|row|index|slot|exit|error|connection|session|number|no\.)"
    r"(?: (?:code|id|no\.?|number))?(?: (?:is|was|of))?\s?[=:#]?\s?[(\[]?)$",
    re.IGNORECASE,
)
"""What stands before a number that names a thing, when no unit follows."""


_JOINT = re.compile(r"(?<=[\]}\"'])[,:]|,(?=[\"'{\[])|[{}\[\]]")
_LONG = re.compile(r"\S{200,}")


def _dots(match: re.Match[str]) -> str:
    return "\u00b7" * len(match[0])


def masked(text: str, *, strict: bool) -> str:
    """The text, with what is no measurement replaced by as many dots of its own.

    Args:
        text: A text.
        strict: Whether names with numbers in them go too: files, hosts with ports, software with its version.
    """
    # JSON may come without a space; any other word of this length is no sentence.
    text = _LONG.sub(_dots, _JOINT.sub(" ", text))
    return (_STRICT if strict else _LOOSE).sub(_dots, text)
