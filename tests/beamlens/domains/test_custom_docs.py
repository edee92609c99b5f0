"""The example of the page on domains of your own works as it stands there."""

import re
from collections import deque
from pathlib import Path

from beamlens.testing import check_domain

PAGE = Path(__file__).parents[3] / "docs" / "domains" / "custom.md"


class Queue(deque):
    """The queue that the example speaks of."""

    def age(self):
        return 12.5

    def slowest(self, limit):
        return [{"id": number, "seconds": 1.5} for number in self][:limit]


def test_the_example_can_be_watched_and_keeps_the_contract():
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"queue": Queue([1, 2, 3])}
    exec(first, names)
    with names["lens"] as lens:
        orders = lens.domain("orders")
        assert orders.snapshot() == {"queue_depth": 3, "oldest_s": 12.5}
        assert orders.callbacks()["orders_slowest"]("2") == [{"id": 1, "seconds": 1.5}, {"id": 2, "seconds": 1.5}]
    exec(second, names)
    names["test_orders"]()
    check_domain(names["Orders"]())


def test_every_built_in_domain_has_a_row_on_the_index_page():
    from beamlens.domains import built_in_names

    rows = PAGE.with_name("README.md").read_text(encoding="utf-8")
    assert [name for name in built_in_names() if f"`{name}`" not in rows] == []
