"""Rendered product pages, kept for the next visitor."""

from __future__ import annotations

import itertools
import threading


class PageCache:
    """Pages by product and revision."""

    def __init__(self) -> None:
        self._pages: dict[tuple[int, int], bytes] = {}
        self._lock = threading.Lock()

    def get(self, product: int, revision: int) -> bytes | None:
        return self._pages.get((product, revision))

    def put(self, product: int, revision: int, page: bytes, limit: int | None) -> None:
        with self._lock:
            self._pages[product, revision] = page  # fault: cache-leak/pages
            if limit is not None:
                surplus = len(self._pages) - limit
                for key in list(itertools.islice(self._pages, max(0, surplus))):
                    del self._pages[key]


def render(product: int, revision: int, size: int) -> bytes:
    """A page; stands for a template engine's work."""
    line = f"<li>product {product}, revision {revision}</li>\n".encode()
    return line * (size // len(line) + 1)
