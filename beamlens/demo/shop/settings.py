"""How the service is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The service's configuration; it can be reloaded while it runs."""

    folder: Path
    gateway: tuple[str, int]
    orders_per_s: float = 40.0
    workers: int = 4
    payment_timeout: float = 1.0
    # Pages are rendered for each product and kept.
    page_bytes: int = 2_000
    cached_pages: int | None = 200
    # What each customer looked at, for support.
    history_entries: int | None = 20
    history_bytes: int = 200
    # Receipts are written to files, and the last ones kept open for corrections.
    receipts_per_s: float = 5.0
    open_receipts: int | None = 5
    # Connections to the gateway are kept for the next payment.
    idle_connections: int | None = 4
    reuse_connections: bool = True
    # Recommendations are computed in the background.
    recommend_every: float = 2.0
    vectors: int = 20
    review_length: int = 8
    # Customers are told by mail.
    notifications_per_s: float = 2.0
    mail_timeout: float | None = 1.0
    mail_seconds: float = 0.005
