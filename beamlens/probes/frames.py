"""Whose code a frame belongs to: the user's, a library's, Python's, or ours."""

from __future__ import annotations

import functools
import importlib.util
import site
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from beamlens.evidence import Place

_OWN = frozenset({"beamlens", "beamlens_actors", "beamlens_supervision", "pykka"})
# It stands for a program of the user's.
_SAMPLE_SERVICE = str(Path(__file__).parents[1] / "demo" / "shop") + "/"
_LIBRARY_FOLDERS = ("/site-packages/", "/dist-packages/")


class Frame(NamedTuple):
    """A frame as text and numbers."""

    file: str
    line: int
    function: str
    module: str


def is_own_module(name: str) -> bool:
    """Whether a module is part of Beamlens. By name: our sample service is a module like any other."""
    return name.partition(".")[0] in _OWN


@functools.cache
def _standard_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name].rstrip("/") + "/" for name in ("stdlib", "platstdlib") if paths.get(name)}
    return tuple(sorted(folders))


@functools.cache
def _site_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("purelib", "platlib") if paths.get(name)}
    folders.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    return tuple(folder.rstrip("/") + "/" for folder in sorted(folders))


@functools.lru_cache(maxsize=4096)
def is_library_file(file: str) -> bool:
    """Whether a file belongs to an installed distribution."""
    return any(folder in file for folder in _LIBRARY_FOLDERS) or file.startswith(_site_folders())


@functools.lru_cache(maxsize=4096)
def is_standard_file(file: str) -> bool:
    """Whether a file belongs to Python itself; what has no file (frozen, built in, ``exec``) counts as such."""
    if not file or file.startswith("<"):
        return True
    return file.startswith(_standard_folders()) and not is_library_file(file)


def at_instruction(code: CodeType, offset: int) -> Frame:
    """The frame that was at an instruction; its module is known only as ours or not.

    Args:
        code: Where the instruction is.
        offset: Its offset in bytes, as in ``tb_lasti``.
    """
    lines = (line for start, end, line in code.co_lines() if start <= offset < end and line is not None)
    file = code.co_filename
    return Frame(file, next(lines, code.co_firstlineno), code.co_qualname, "beamlens" if is_own_file(file) else "")


@functools.lru_cache(maxsize=4096)
def is_own_file(file: str) -> bool:
    """Whether a file is part of Beamlens; the sample service is not."""
    return file.startswith(_own_folders()) and not file.startswith(_SAMPLE_SERVICE)


@functools.cache
def _own_folders() -> tuple[str, ...]:
    specs = (importlib.util.find_spec(name) for name in sorted(_OWN))
    return tuple(f"{place}/" for spec in specs if spec for place in spec.submodule_search_locations or ())


def user_frame(frames: Iterable[Frame]) -> Frame | None:
    """The innermost frame of the user's code; without one, the innermost of a library.

    Args:
        frames: Innermost first.
    """
    library: Frame | None = None
    for frame in frames:
        if is_own_module(frame.module) or is_standard_file(frame.file):
            continue
        if not is_library_file(frame.file):
            return frame
        library = library or frame
    return library


def user_place(frames: Iterable[Frame]) -> Place | None:
    """`user_frame` as a place."""
    frame = user_frame(frames)
    if frame is None or frame.line < 1:
        return None
    return Place(file=frame.file, line=frame.line, function=frame.function)


def walk(frame: FrameType | None, most: int = 64) -> tuple[Frame, ...]:
    """A frame and its callers as text and numbers, innermost first."""
    found: list[Frame] = []
    while frame is not None and len(found) < most:
        code = frame.f_code
        module = frame.f_globals.get("__name__")
        found.append(
            Frame(
                code.co_filename,
                frame.f_lineno or code.co_firstlineno,
                code.co_qualname,
                module if type(module) is str else "",
            )
        )
        frame = frame.f_back
    return tuple(found)
