"""Products and orders, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

_KEPT = 5_000


class Catalogue:
    """The database; one connection, guarded."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER, cents INTEGER);"
        )
        products = [(number, f"product {number}", 100 + 37 * number % 9_900) for number in range(500)]
        self._db.executemany("INSERT INTO products VALUES (?, ?, ?)", products)
        self._db.commit()

    def price(self, product: int) -> int:
        with self._lock:
            (cents,) = self._db.execute("SELECT cents FROM products WHERE id = ?", (product,)).fetchone()
        return int(cents)

    def add_order(self, order: int, product: int, cents: int) -> None:
        with self._lock:
            self._db.execute("INSERT INTO orders VALUES (?, ?, ?)", (order, product, cents))
            self._db.execute("DELETE FROM orders WHERE id <= ?", (order - _KEPT,))
            self._db.commit()

    def close(self) -> None:
        with self._lock:
            self._db.close()
