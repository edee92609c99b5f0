"""What the tests of proxies drive."""

from __future__ import annotations

import threading
from typing import Any

import pykka

from beamlens_actors import Future, ReplyError
from tests.actors.helpers import LIMIT, Recorder, Refused


class Engine:
    """A part that proxies do not look into."""

    speed = 1


class Lamp:
    pykka_traversable = True

    def __init__(self) -> None:
        self.on = False

    def switch(self) -> bool:
        self.on = not self.on
        return self.on


@pykka.traversable
class Cabin:
    def __init__(self) -> None:
        self.seats = 4
        self.lamp = Lamp()
        self._secret = "cabin"

    def add_seats(self, number: int) -> int:
        self.seats += number
        return self.seats


class Car(Recorder):
    wheels = 4

    def __init__(self) -> None:
        super().__init__()
        self.cabin = Cabin()
        self.engine = Engine()
        self.boot = pykka.traversable(Boot())
        self.driver: Any = None
        self.horn = lambda: "honk"
        self._secret = "car"
        self.looked_up = 0

    @property
    def colour(self) -> str:
        self.looked_up += 1
        return "red"

    @colour.setter
    def colour(self, value: str) -> None:
        self.log.append(value)

    @property
    def number(self) -> int:
        return 7

    @staticmethod
    def honk() -> str:
        return "honk"

    def add(self, one: int, *, other: int = 0) -> int:
        return one + other

    def where(self) -> Any:
        return threading.current_thread()

    def refuse(self) -> None:
        raise ReplyError(Refused("not now"))

    def crash(self) -> None:
        raise Refused("broken")

    def seen(self) -> list[Any]:
        return list(self.log)


class Boot:
    bags = 2


def got(future: Any) -> Any:
    """The answer of a future that must be ours."""
    assert isinstance(future, Future)
    return future.get(timeout=LIMIT)
