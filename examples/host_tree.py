"""Beamlens as a child of one's own supervision tree. No key needed; ends by itself, at once.

    python examples/host_tree.py

You will see the tree of the shop with Beamlens in it, then Beamlens killed, and the tree again: its supervisor has
started it anew, and what else is in the tree did not notice.
"""

from __future__ import annotations

import threading

from beamlens import Beamlens, registry, status
from beamlens_actors import Actor
from beamlens_supervision import ChildRestarted, ChildSpec, SupervisionEvent, Supervisor, format_tree

restarted = threading.Event()


class Orders(Actor):
    """What the program is there for."""

    def on_receive(self, message: object) -> object:
        return f"ordered {message}"


def on_event(event: SupervisionEvent) -> None:
    print(f"{type(event).__name__}: {event.child_id}")
    if isinstance(event, ChildRestarted):
        restarted.set()


def main() -> None:
    shop = Supervisor.start(
        [
            ChildSpec("orders", Orders.start),
            Beamlens.child_spec(watchers=["runtime"], operators=["gc"]),  # the arguments of Beamlens.start
        ],
        name="Shop",
        on_event=on_event,
    )
    print(format_tree(shop))
    beamlens = shop.child("beamlens")
    beamlens.kill()
    if not restarted.wait(30.0):
        raise SystemExit("Beamlens was not restarted")
    print(format_tree(shop))
    print("another one:", shop.child("beamlens") != beamlens)
    print("watching again:", registry.lookup("runtime").ask(status).state)
    print("meanwhile:", shop.child("orders").ask("milk"))
    shop.stop()


if __name__ == "__main__":
    main()
