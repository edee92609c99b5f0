"""The C library as the allocator readings need it; every function is looked up and typed once, or not had at all."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

_KNOWN = ("jemalloc", "tcmalloc", "mimalloc", "snmalloc", "hoard")
_MOST_BYTES = 1_000_000


@functools.cache
def library() -> ctypes.CDLL | None:
    """What this process is linked with; ``None`` where that cannot be asked."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None


def function(name: str, result: Any, *arguments: Any) -> Callable[..., Any] | None:
    """A function of the C library with its types; ``None`` when there is no such symbol."""
    found = getattr(library(), name, None)
    if found is None:
        return None
    found.restype, found.argtypes = result, arguments
    return found  # type: ignore[no-any-return]


@functools.cache
def glibc_version() -> str | None:
    """Such as ``"2.36"``; ``None`` on musl, macOS and elsewhere."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError, AttributeError):
        return None
    name, _, version = text.partition(" ")
    return version or None if name == "glibc" else None


class _Symbol(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


@functools.cache
def malloc_library() -> str | None:
    """Base name of the file that ``malloc`` comes from, such as ``"libc.so.6"``; ``None``: not known."""
    malloc = getattr(library(), "malloc", None)
    dladdr = function("dladdr", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Symbol))
    address = None if malloc is None else ctypes.cast(malloc, ctypes.c_void_p).value
    if dladdr is None or address is None:
        return None
    symbol = _Symbol()
    if not dladdr(address, ctypes.byref(symbol)) or not symbol.file:
        return None
    return PurePath(os.fsdecode(symbol.file)).name


def malloc_name() -> str | None:
    """Whose ``malloc`` the process uses: ``glibc``, ``jemalloc``, ``tcmalloc``, ...; ``None``: not known.

    One that was preloaded or linked in answers for all of the process, while glibc's own functions still tell of
    glibc's, which then holds next to nothing.
    """
    file = malloc_library()
    if file is None:
        return None
    known = next((name for name in _KNOWN if name in file.lower()), None)
    if known is not None:
        return known
    if glibc_version() is not None:
        return "glibc" if file.startswith(("libc.so", "libc-2.")) else None
    return "musl" if "musl" in file else None


def why_no_glibc() -> str | None:
    """Why glibc's numbers cannot be had; ``None``: they can."""
    if glibc_version() is None:
        return "this C library is not glibc: it does not tell"
    name = malloc_name()
    if name is None:
        return f"malloc comes from {malloc_library() or 'an unknown library'}, not from glibc: it does not tell"
    return None if name == "glibc" else f"malloc is {name}: glibc's numbers would not be the process's"


def printed(write: Callable[[Any], object]) -> str | None:
    """What a function prints to a C stream (``FILE *``); ``None``: there is no such stream to be had.

    The stream is one in memory (``memfd_create``): no file, no other descriptor of the process is touched. It uses two
    descriptors for as long as it takes.
    """
    fdopen = function("fdopen", ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    fclose = function("fclose", ctypes.c_int, ctypes.c_void_p)
    if fdopen is None or fclose is None or not hasattr(os, "memfd_create"):
        return None
    try:
        with open(os.memfd_create("beamlens-allocator"), "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            copy = os.dup(file.fileno())
            stream = fdopen(copy, b"w")
            if not stream:
                os.close(copy)
                return None
            try:
                write(stream)
            finally:
                fclose(stream)
            return os.pread(file.fileno(), _MOST_BYTES, 0).decode("ascii", "replace")
    except OSError:  # no descriptor is left, or it is not allowed here
        return None
