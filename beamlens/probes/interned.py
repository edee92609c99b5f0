"""Stacks that are seen again and again, each kept once: what the sampler stores instead of frames."""

from __future__ import annotations

from types import CodeType, FrameType

from beamlens.probes import frames
from beamlens.probes.frames import Frame

MOST_FRAMES = 64
_MOST_CODES = 4096
_MOST_STACKS = 2000

_WAITING_IN = frozenset(
    {"threading", "queue", "selectors", "socket", "ssl", "subprocess", "select", "concurrent.futures.thread"}
    | {
        "asyncio.base_events",
        "asyncio.runners",
        "socketserver",
        "multiprocessing.connection",
        "beamlens_actors.waiting",
    }
)
_LOOPS = frozenset({("asyncio.base_events", "BaseEventLoop.run_forever"), ("asyncio.runners", "Runner.run")})
_IDLE_LOOPS = ("selectors", "asyncio.base_events", "asyncio.runners", "asyncio.unix_events", "asyncio.windows_events")


class Stack:
    """A thread's frames as text and numbers, innermost first, and what follows from them. Compared by identity.

    Attributes:
        frames: Innermost first, 64 at most.
        place: The innermost frame of the user's, else of a library.
        waits: Its innermost frame is one of Python's own that waits.
        in_loop: An event loop of asyncio's runs in this thread.
        loop_busy: ... and runs a callback now.
    """

    __slots__ = ("frames", "in_loop", "loop_busy", "place", "waits")

    def __init__(self, found: tuple[Frame, ...]) -> None:
        self.frames = found
        self.place = frames.user_frame(found)
        self.waits = bool(found) and found[0].module in _WAITING_IN
        self.in_loop = any((frame.module, frame.function) in _LOOPS for frame in found)
        self.loop_busy = self.in_loop and found[0].module not in _IDLE_LOOPS

    def __repr__(self) -> str:
        return f"<Stack {self.frames[:1]}>"


class Interner:
    """Makes stacks, each once while it is remembered: 4096 code objects, 2000 stacks. Used by one thread."""

    def __init__(self) -> None:
        # By id, with the code object itself: that makes the id valid, and hashing a code object is dear.
        self._codes: dict[int, tuple[CodeType, dict[int, Frame]]] = {}
        self._stacks: dict[tuple[Frame, ...], Stack] = {}

    def __len__(self) -> int:
        return len(self._stacks)

    def stack(self, frame: FrameType | None) -> Stack:
        """The stack of a frame and its callers; about 0.3 us a frame."""
        found: list[Frame] = []
        while frame is not None and len(found) < MOST_FRAMES:
            found.append(self._frame(frame))
            frame = frame.f_back
        key = tuple(found)
        stack = self._stacks.get(key)
        if stack is None:
            if len(self._stacks) >= _MOST_STACKS:
                self._stacks.clear()
            stack = self._stacks[key] = Stack(key)
        return stack

    def _frame(self, frame: FrameType) -> Frame:
        code, at = frame.f_code, frame.f_lasti
        known = self._codes.get(id(code))
        if known is None:
            if len(self._codes) >= _MOST_CODES:
                self._codes.clear()
            known = self._codes[id(code)] = (code, {})
        seen = known[1].get(at)
        if seen is None:
            module = frame.f_globals.get("__name__")
            line = frame.f_lineno or code.co_firstlineno
            seen = Frame(code.co_filename, line, code.co_qualname, module if type(module) is str else "")
            known[1][at] = seen
        return seen
