"""Which line of the user's code called into a library: for hooks that a library calls on the host's thread."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import PurePath
from types import CodeType, FrameType
from typing import NamedTuple

from beamlens.evidence import Place
from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file

_SKIPPED, _LIBRARY, _USER = range(3)
_MOST_FRAMES = 200
_NEAR_FRAMES = 12
_MOST_FILES = 4096
_MOST_SITES = 4096


class Site(NamedTuple):
    """A line of code, as text and numbers."""

    file: str
    line: int
    function: str

    @property
    def place(self) -> Place:
        """The same for evidence."""
        return _place(self)

    def __str__(self) -> str:
        """File, line and function, as callbacks show places."""
        return f"{self.file}:{self.line} {self.function}"


@functools.lru_cache(maxsize=4096)
def _place(site: Site) -> Place:
    return Place(file=site.file, line=max(1, site.line), function=site.function)


class CallSites:
    """Finds the innermost line of the user's code above a frame; about 0.3 us, and 0.1 for each frame between.

    Frames of Python, of Beamlens and of the packages named are passed over; where no line is the user's, it is the
    innermost one of another library. Code that a library runs in a greenlet of its own (SQLAlchemy under asyncio) is
    followed to whoever switched to it.
    """

    def __init__(self, *packages: str) -> None:
        """Make a finder.

        Args:
            packages: Import names whose frames are the library itself.
        """
        # By file name: a string keeps its hash, a code object makes it anew each time.
        self._kinds: dict[str, int] = {}
        # By instruction, since to look up its line takes long; with the code, whose id is good while that lives.
        self._known: dict[tuple[int, int], tuple[Site, CodeType]] = {}
        self._folders = tuple(folder for name in packages for folder in _folders(name))

    def find(self, frame: FrameType | None) -> Site | None:
        """The line that is to be named; ``None`` if there is none but Python's own.

        Args:
            frame: Where to begin; its callers follow.
        """
        # As `_scan`, without what it does beside: this runs at every statement and call of the host.
        kinds, near = self._kinds, frame
        for _ in range(_NEAR_FRAMES):
            if near is None:
                break
            code = near.f_code
            if kinds.get(code.co_filename) == _USER:
                found = self._known.get((id(code), near.f_lasti))
                return self._site(near) if found is None else found[0]
            near = near.f_back
        user, library = self._scan(frame)
        if user is None:
            user, outer = self._scan(_switched_from())
            user = user or library or outer
        return None if user is None else self._site(user)

    def _scan(self, frame: FrameType | None) -> tuple[FrameType | None, FrameType | None]:
        """The innermost frame of the user's, and of another library up to there."""
        kinds, library = self._kinds, None
        for _ in range(_MOST_FRAMES):
            if frame is None:
                break
            file = frame.f_code.co_filename
            kind = kinds.get(file)
            if kind is None:
                kind = self._classify(file, frame)
            if kind == _USER:
                return frame, library
            if kind == _LIBRARY and library is None:
                library = frame
            frame = frame.f_back
        return None, library

    def _classify(self, file: str, frame: FrameType) -> int:
        module = frame.f_globals.get("__name__")
        own = type(module) is str and is_own_module(module)
        if own or is_standard_file(file) or file.startswith(self._folders):
            kind = _SKIPPED
        else:
            kind = _LIBRARY if is_library_file(file) else _USER
        if len(self._kinds) >= _MOST_FILES:  # a host that makes file names without end
            self._kinds.clear()
        self._kinds[file] = kind
        return kind

    def _site(self, frame: FrameType) -> Site:
        code = frame.f_code
        if len(self._known) >= _MOST_SITES:
            self._known.clear()
        site = Site(code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname)
        self._known[id(code), frame.f_lasti] = site, code
        return site


def _switched_from() -> FrameType | None:
    """The frame that switched to this greenlet; ``None`` outside of greenlets. Whoever has some has the module."""
    module = sys.modules.get("greenlet")
    parent = None if module is None else module.getcurrent().parent
    frame: FrameType | None = None if parent is None else parent.gr_frame
    return frame


def _folders(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    found = [] if spec is None else list(spec.submodule_search_locations or ())
    return [str(PurePath(folder)) + "/" for folder in found]
