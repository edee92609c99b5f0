"""A filter for what a process may ask of the kernel: memory, time, its open pipes, its own end. Linux only.

The rest fails with ``EPERM``: no file, no socket, no program, no signal to another process, no memory that can be
executed. Should code ever get out of Lua, it would stand in an empty room.
"""

from __future__ import annotations

import os
import struct
import sys

try:
    import ctypes  # at once: when the filter is installed, files are out of reach already
except ImportError:  # an interpreter that was built without it
    ctypes = None  # type: ignore[assignment]

_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # results of the filter: allow, EPERM, kill the process
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # its instructions
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they stand in the kernel's description of a call
_NO_NEW_PRIVILEGES, _SET_FILTER, _MODE_FILTER = 38, 22, 2  # prctl
_PROT_EXEC = 4

# fmt: off
_ALLOWED = (
    "read", "write", "close", "munmap", "brk", "mremap", "madvise", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "setitimer", "getpid", "gettid", "exit", "exit_group", "futex", "clock_gettime", "gettimeofday", "getrusage",
    "getrandom", "restart_syscall", "sched_yield",
)
_CHECKED = ("mmap", "mprotect", "tgkill", "prlimit64")
_NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, dict(zip((*_ALLOWED, *_CHECKED), (
        0, 1, 3, 11, 12, 25, 28, 13, 14, 15, 38, 39, 186, 60, 231, 202, 228, 96, 98, 318, 219, 24, 9, 10, 234, 302,
    ), strict=True))),
    "aarch64": (0xC00000B7, dict(zip((*_ALLOWED, *_CHECKED), (
        63, 64, 57, 215, 214, 216, 233, 134, 135, 139, 103, 172, 178, 93, 94, 98, 113, 169, 165, 278, 128, 124, 222,
        226, 131, 261,
    ), strict=True))),
}
# fmt: on


def filter_calls() -> bool:
    """Install the filter, for good. False where the system or the machine has none."""
    if ctypes is None or sys.platform != "linux" or sys.maxsize < 1 << 32 or os.uname().machine not in _NUMBERS:
        return False
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return False
    architecture, numbers = _NUMBERS[os.uname().machine]
    program = _program(architecture, numbers, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
    if prctl(_NO_NEW_PRIVILEGES, 1, None, 0, 0) != 0:
        return False
    installed: int = prctl(_SET_FILTER, _MODE_FILTER, described, 0, 0)
    return installed == 0


def _program(architecture: int, numbers: dict[str, int], own: int) -> bytes:
    """The filter in the kernel's BPF: from top to bottom, jumps count the steps that they leave out."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name in ("mmap", "mprotect"):
        steps += _checked(numbers[name], 2, (_ANY_BIT, 0, 1, _PROT_EXEC))
    steps += _checked(numbers["tgkill"], 0, (_EQUAL, 1, 0, own))  # abort() signals its own process
    steps += _checked(numbers["prlimit64"], 0, (_EQUAL, 1, 0, 0))
    for name in _ALLOWED:
        steps += [(_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("@HBBI", *step) for step in steps)


def _checked(number: int, argument: int, test: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """One call that is allowed or refused by the lower half of an argument; `test` jumps to refuse or to allow."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        test,
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
