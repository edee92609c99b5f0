"""Writes receipts to files."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO


class Receipts:
    """Receipts; the last ones stay open for corrections."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[TextIO] = []

    def write(self, order: int, cents: int, limit: int | None) -> None:
        receipt = open(self._folder / f"receipt-{order}.txt", "w")  # fault: descriptor-leak/files
        receipt.write(f"order {order}: {cents / 100:.2f}\n")
        receipt.flush()
        self._open.append(receipt)
        if limit is not None:
            while len(self._open) > limit:
                self._open.pop(0).close()

    def close(self) -> None:
        while self._open:
            self._open.pop().close()
