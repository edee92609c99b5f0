"""A Celery worker whose tasks fail, watched. No key and no broker needed; ends by itself, in about 10 seconds.

    python examples/celery_worker.py

You will see the tasks fail, and then an alert that names the line which raises: ``celery_worker.py:38 in send_mail``.
With a broker of yours: ``BROKER_URL=redis:// celery -A examples.celery_worker worker``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from celery import Celery, signals

from beamlens import Alert, Beamlens, telemetry
from beamlens.integrations.celery import init

app = Celery("mails", broker=os.environ.get("BROKER_URL", "memory://"))
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=False)
init()  # the one line that the application needs
found = threading.Event()


# In the process that runs the tasks: with a prefork pool this is each child, with the pool `solo` the worker itself.
@signals.worker_process_init.connect
def watch(**_named: Any) -> None:
    Beamlens.start(watchers=["requests", "exception"])  # ends with the process


@app.task(name="mails.send")
def send_mail(address: str) -> None:
    host, _at, domain = address.partition("@")
    if not domain:
        raise ValueError("an address needs an @")
    logging.getLogger("mails").info("sent to %s at %s", host, domain)


@telemetry.signal("watcher.alert_fired").connect
def on_alert(_sender: str, *, alert: Alert, **_metadata: Any) -> None:
    found.set()


def publish_until_found() -> None:
    """What other processes of yours do: publish tasks. Then end the worker, as an init system does."""
    for _ in range(900):
        send_mail.delay("nobody")
        if found.wait(0.1):
            break
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    publisher = threading.Thread(target=publish_until_found, name="publisher", daemon=True)
    signals.worker_ready.connect(lambda **_named: publisher.start(), weak=False)
    app.worker_main(["worker", "--pool=solo", "--without-mingle", "--without-gossip", "--without-heartbeat"])


if __name__ == "__main__":
    main()
