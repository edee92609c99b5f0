"""Who is whose child, while supervisors start others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.sup.kinship import Kinship


class Ref:
    """Stands for a ref; another thread may run wherever Python code of it runs, so its hash lets one."""

    def __init__(self, name):
        self.name = name
        self.meanwhile = None

    def __hash__(self):
        if self.meanwhile is not None:
            run, self.meanwhile = self.meanwhile, None
            run()
        return id(self)

    def __eq__(self, other):
        return self is other

    def is_alive(self):
        return True


def test_a_child_that_is_started_while_all_are_listed_is_no_trouble():
    kinship, supervisor, children = Kinship(), Ref("sup"), [Ref(f"child-{number}") for number in range(5)]
    for child in children[:4]:
        kinship.born(child, supervisor, child.name)
    children[0].meanwhile = lambda: kinship.born(children[4], supervisor, "late")
    assert {ref.name for ref, _ in kinship.all()} >= {"child-0", "child-1", "child-2", "child-3"}


@given(st.lists(st.tuples(st.sampled_from(["born", "drop"]), st.integers(0, 5))))
def test_those_that_live_are_known_with_their_latest_supervisor(steps):
    kinship, held, expected = Kinship(), {}, {}
    supervisors = [Ref(f"sup-{number}") for number in range(3)]
    for turn, (step, number) in enumerate(steps):
        if step == "born":
            supervisor = supervisors[turn % 3]
            kinship.born(held.setdefault(number, Ref(str(number))), supervisor, str(turn))
            expected[str(number)] = (supervisor.name, str(turn))
        else:
            held.pop(number, None)
            expected.pop(str(number), None)
    assert {ref.name: (parent.name, parent.child_id) for ref, parent in kinship.all()} == expected
