"""The service: traffic, workers, background jobs."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time

from shop import recommendations
from shop.catalogue import Catalogue
from shop.history import History
from shop.notifications import Notifications
from shop.pages import PageCache, render
from shop.payments import Payments
from shop.receipts import Receipts
from shop.settings import Settings

log = logging.getLogger("shop.orders")


class Service:
    """Takes orders until it is stopped."""

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        self._settings = settings
        self._random = random.Random(seed)
        self._orders: queue.Queue[int] = queue.Queue(maxsize=200)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._catalogue = Catalogue(settings.folder / "shop.db")
        self._pages = PageCache()
        self._history = History()
        self._payments = Payments()
        self._receipts = Receipts(settings.folder)
        self._notifications = Notifications()
        self.served = 0
        self.failed = 0

    def start(self) -> None:
        """Start its threads."""
        jobs = [self._traffic, self._receipt_job, self._recommend_job, self._mail_job]
        jobs += [self._worker] * self._settings.workers
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=job, name=f"{job.__name__.strip('_')}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def reload(self, settings: Settings) -> None:
        """Take another configuration."""
        self._settings = settings
        log.info("configuration reloaded")

    def stop(self) -> None:
        """Stop its threads and close what is open."""
        self._stopping.set()
        self._payments.close()
        self._notifications.close()
        for thread in self._threads:
            thread.join(2.0)
        self._receipts.close()
        self._payments.close()
        self._catalogue.close()

    def _traffic(self) -> None:
        number = 0
        while not self._stopping.wait(self._random.expovariate(self._settings.orders_per_s)):
            number += 1
            try:
                self._orders.put_nowait(number)
            except queue.Full:
                log.warning("order %s was turned away: the queue is full", number)
                self._stopping.wait(0.2)

    def _worker(self) -> None:
        while not self._stopping.is_set():
            try:
                order = self._orders.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self._serve(order)
                self.served += 1
            except Exception:
                self.failed += 1
                if not self._stopping.is_set():
                    log.exception("order %s failed", order)

    def _serve(self, order: int) -> None:
        settings = self._settings
        product = order * 7919 % 500
        if self._pages.get(product, order // 50) is None:
            page = render(product, order, settings.page_bytes)
            self._pages.put(product, order, page, settings.cached_pages)
        self._history.remember(order, product, settings.history_bytes, settings.history_entries)
        cents = self._catalogue.price(product)
        self._payments.charge(
            settings.gateway,
            order,
            cents,
            settings.payment_timeout,
            keep=settings.idle_connections,
            reuse=settings.reuse_connections,
        )
        self._catalogue.add_order(order, product, cents)
        if order % 97 == 0:
            log.warning("order %s: card was declined once, then taken", order)
        elif order % 10 == 0:
            log.info("order %s: %d cents", order, cents)

    def _receipt_job(self) -> None:
        order = 0
        while not self._stopping.wait(1.0 / self._settings.receipts_per_s):
            order += 1
            self._receipts.write(order, 1000, self._settings.open_receipts)

    def _recommend_job(self) -> None:
        while not self._stopping.wait(self._settings.recommend_every):
            began = time.monotonic()
            best = recommendations.rank(self._settings.vectors)
            recommendations.flattering(self._settings.review_length)
            log.debug("product %s goes with everything, found in %.3f s", best, time.monotonic() - began)

    def _mail_job(self) -> None:
        order = 0
        while not self._stopping.wait(1.0 / self._settings.notifications_per_s):
            order += 1
            settings = self._settings
            self._notifications.send(settings.gateway, order, settings.mail_timeout, settings.mail_seconds)
