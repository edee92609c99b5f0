"""A supervisor against a model of it, under random orders of what may happen."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens_actors import Normal
from beamlens_supervision import SupervisionError, Supervisor
from beamlens_supervision.strategies import affected
from tests.supervision.helpers import LIMIT, crash, end, states, worker

NAMES = "abcd"
ACTIONS = st.tuples(
    st.sampled_from(["crash", "end", "terminate", "restart", "delete", "start"]), st.sampled_from(NAMES)
)
RESTARTS = st.fixed_dictionaries({name: st.sampled_from(["permanent", "transient", "temporary"]) for name in NAMES})


class Model:
    """What a supervisor should say: child id to whether it runs, in start order."""

    def __init__(self, strategy: Any, restarts: dict[str, Any]) -> None:
        self.strategy = strategy
        self.restarts = restarts
        self.running = dict.fromkeys(NAMES, True)

    def apply(self, action: str, name: str) -> None:
        runs = self.running.get(name)
        match action:
            case "crash" | "end" if runs:
                self._ended(name, abnormal=action == "crash")
            case "terminate" if runs:
                self._stopped(name)
            case "restart" if runs is False:
                self.running[name] = True
            case "delete" if runs is False:
                del self.running[name]
            case "start" if runs is None:
                self.running[name] = True

    def _stopped(self, name: str) -> None:
        if self.restarts[name] == "temporary":
            del self.running[name]
        else:
            self.running[name] = False

    def _ended(self, name: str, *, abnormal: bool) -> None:
        kind = self.restarts[name]
        if kind == "temporary" or (kind == "transient" and not abnormal):
            self._stopped(name)
            return
        for member in affected(self.strategy, list(self.running), name):
            if self.restarts[member] == "temporary":
                del self.running[member]
            else:
                self.running[member] = True


def act(sup: Any, restarts: dict[str, Any], action: str, name: str) -> None:
    match action:
        case "crash" if sup.child(name):
            crash(sup.child(name))
        case "end" if sup.child(name):
            end(sup.child(name), Normal())
        case "start":
            sup.start_child(worker(name, restart=restarts[name]))
        case "terminate" | "restart" | "delete":
            getattr(sup, f"{action}_child")(name)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]), RESTARTS, st.lists(ACTIONS, max_size=12))
def test_a_supervisor_does_what_its_model_does(
    strategy: Any, restarts: dict[str, Any], actions: list[tuple[str, str]]
) -> None:
    model = Model(strategy, restarts)
    specs = [worker(name, restart=restarts[name]) for name in NAMES]
    sup = Supervisor.start(specs, strategy=strategy, max_restarts=1000)
    for action, name in actions:
        model.apply(action, name)
        try:
            act(sup, restarts, action, name)
        except SupervisionError:
            pass  # a refusal changes nothing, which the comparison shows
        shown = states(sup.which_children())
        assert list(shown.items()) == [(each, "running" if runs else "stopped") for each, runs in model.running.items()]
    refs = [info.ref for info in sup.which_children() if info.ref is not None]
    assert sup.stop(timeout=LIMIT)
    assert not any(ref.is_alive() for ref in refs)
