from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from beamlens_actors import Crash, Down, Exit, ExitReason, Killed, NoProcess, Normal, Shutdown, bonds
from beamlens_actors.testing import Probe
from tests.actors.helpers import LIMIT, Recorder, Refused, busy

if TYPE_CHECKING:
    import threading


def monitor(watcher: Any, target: Any) -> Any:
    return watcher.ask(("do", lambda actor: actor.monitor(target)))


class Watcher(Recorder):
    def on_down(self, down: Down) -> None:
        self.log.append(down)

    def on_exit(self, exit: Exit) -> None:  # noqa: A002
        self.log.append(exit)


class Trapper(Watcher):
    trap_exit = True


@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Crash(Refused())])
def test_one_down_with_the_reason(reason: ExitReason) -> None:
    watcher, target = Watcher.start(), Recorder.start()
    handle = monitor(watcher, target)
    target.stop(reason)
    assert watcher.ask("log") == ["start", Down(target, reason, handle)]


def test_each_monitor_has_its_own_down() -> None:
    watcher, target = Watcher.start(), Recorder.start()
    handles = [monitor(watcher, target) for _ in range(2)]
    target.stop()
    assert [down.monitor for down in watcher.ask("log")[1:]] == handles


def test_down_comes_after_on_terminate_ended() -> None:
    log: list[Any] = []

    class Ends(Recorder):
        def on_terminate(self, reason: ExitReason) -> None:
            log.append("terminated")

    class Sees(Recorder):
        def on_down(self, down: Down) -> None:
            log.append("down")

    for _ in range(50):
        log.clear()
        watcher, target = Sees.start(), Ends.start()
        monitor(watcher, target)
        target.tell(("raise", Refused()))
        target.join(LIMIT)
        watcher.ask("sync")
        assert log == ["terminated", "down"]


def test_monitor_of_a_dead_actor_is_told_no_process_at_once() -> None:
    watcher, target = Watcher.start(), Recorder.start()
    target.stop()
    handle = monitor(watcher, target)
    assert watcher.ask("log") == ["start", Down(target, NoProcess(), handle)]


def test_killed_while_busy_monitors_are_told_at_once(gate: threading.Event) -> None:
    probe, target = Probe.start(), Recorder.start()
    probe.watch(target)
    busy(target, gate)
    target.kill()
    assert probe.expect(Down, timeout=LIMIT).reason == Killed()
    gate.set()
    probe.expect_nothing()


def test_demonitor_flushes_a_down_that_is_under_way() -> None:
    watcher, target = Watcher.start(), Recorder.start()

    def stop_then_demonitor(actor: Any) -> None:
        handle = actor.monitor(target)
        target.stop()
        actor.demonitor(handle)
        actor.demonitor(handle)

    watcher.ask(("do", stop_then_demonitor))
    assert watcher.ask("log") == ["start"]


def test_exception_in_on_down_ends_the_watcher() -> None:
    class Fragile(Recorder):
        def on_down(self, down: Down) -> None:
            raise Refused

    watcher, target = Fragile.start(), Recorder.start()
    monitor(watcher, target)
    target.stop()
    assert isinstance(watcher.join(LIMIT), Crash)


def test_down_overtakes_a_backlog(gate: threading.Event) -> None:
    watcher, target = Watcher.start(), Recorder.start()
    monitor(watcher, target)
    busy(watcher, gate)
    watcher.tell("behind")
    target.stop()
    gate.set()
    log = watcher.ask("log")
    assert [type(item) for item in log[2:]] == [Down, str]


def test_ended_watcher_is_forgotten_by_its_target() -> None:
    watcher, target = Watcher.start(), Recorder.start()
    monitor(watcher, target)
    watcher.stop()
    assert target._cell.bonds._tables.watchers == {}


# -- links


def link(one: Any, other: Any) -> None:
    one.ask(("do", lambda actor: actor.link(other)))


@pytest.mark.parametrize("first_dies", [True, False])
def test_crash_spreads_over_a_link_both_ways(first_dies: bool) -> None:
    one, other = Recorder.start(), Recorder.start()
    link(one, other)
    dies, follows = (one, other) if first_dies else (other, one)
    error = Refused()
    dies.tell(("raise", error))
    assert follows.join(LIMIT) == Crash(error)


def test_shutdown_spreads_and_normal_does_not() -> None:
    one, two, three = Recorder.start(), Recorder.start(), Recorder.start()
    link(one, two)
    link(one, three)
    two.stop(Normal())
    assert one.ask("alive") == "alive"
    three.stop(Shutdown())
    assert one.join(LIMIT) == Shutdown()


def test_kill_spreads_as_killed() -> None:
    one, other = Recorder.start(), Recorder.start()
    link(one, other)
    one.kill()
    assert other.join(LIMIT) == Killed()


def test_trapping_actor_gets_exit_for_every_reason_and_lives() -> None:
    trapper = Trapper.start()
    expected: list[Any] = ["start"]
    for reason in (Normal(), Shutdown(), Crash(Refused())):
        other = Recorder.start()
        link(trapper, other)
        other.stop(reason)
        expected.append(Exit(other, reason))
    assert trapper.ask("log") == expected


def test_trapping_can_be_switched_at_run_time() -> None:
    watcher = Watcher.start()
    watcher.ask(("do", lambda actor: setattr(actor, "trap_exit", True)))
    watcher.exit(Shutdown())
    assert watcher.ask("log") == ["start", Exit(None, Shutdown())]


def test_exit_names_the_actor_that_sent_it() -> None:
    trapper, sender = Trapper.start(), Recorder.start()
    sender.ask(("do", lambda actor: trapper.exit(Shutdown())))
    assert trapper.ask("log") == ["start", Exit(sender, Shutdown())]


def test_stop_and_kill_are_not_trapped() -> None:
    stopped, killed = Trapper.start(), Trapper.start()
    stopped.stop(Shutdown())
    killed.kill()
    assert stopped.join(LIMIT) == Shutdown()
    assert killed.join(LIMIT) == Killed()


def test_link_to_the_dead_is_an_exit_signal_no_process() -> None:
    dead = Recorder.start()
    dead.stop()
    plain, trapper = Recorder.start(), Trapper.start()
    link(trapper, dead)
    assert trapper.ask("log") == ["start", Exit(dead, NoProcess())]
    plain.tell(("do", lambda actor: actor.link(dead)))
    assert plain.join(LIMIT) == NoProcess()


def test_unlinked_actors_do_not_affect_each_other() -> None:
    one, other = Recorder.start(), Recorder.start()
    link(one, other)
    one.ask(("do", lambda actor: actor.unlink(other)))
    other.tell(("raise", Refused()))
    other.join(LIMIT)
    assert one.ask("alive") == "alive"


def test_unlink_takes_back_a_signal_that_is_under_way() -> None:
    one, other = Recorder.start(), Recorder.start()

    def unlink_late(actor: Any) -> None:
        actor.link(other)
        other.stop(Shutdown())
        actor.unlink(other)

    one.ask(("do", unlink_late))
    assert one.ask("alive") == "alive"


def test_ignored_normal_exit_signal_leaves_the_link() -> None:
    one, other = Recorder.start(), Recorder.start()
    link(one, other)
    one.ask(("do", lambda actor: other.exit(Normal())))
    assert other.ask("alive") == "alive"
    one.stop(Shutdown())
    assert other.join(LIMIT) == Shutdown()


def test_linking_twice_and_oneself_is_harmless() -> None:
    trapper, other = Trapper.start(), Recorder.start()
    link(trapper, other)
    link(trapper, other)
    link(trapper, trapper)
    other.stop(Shutdown())
    assert trapper.ask("log") == ["start", Exit(other, Shutdown())]


def test_link_from_outside_to_an_ended_side_reaches_the_other() -> None:
    dead, alive = Recorder.start(), Recorder.start()
    dead.stop()
    dead.link(alive)
    assert alive.join(LIMIT) == NoProcess()


def test_chain_of_links_ends_as_a_whole() -> None:
    refs = [Recorder.start() for _ in range(20)]
    for one, other in itertools.pairwise(refs):
        link(one, other)
    error = Refused()
    refs[10].tell(("raise", error))
    assert [ref.join(LIMIT) for ref in refs] == [Crash(error)] * 20


def test_a_bond_that_a_finaliser_makes_while_the_first_one_is_made_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ref, told = Recorder.start(), []
    tables = bonds._Tables

    def interrupted() -> Any:
        monkeypatch.undo()
        ref.add_exit_callback(lambda *_end: told.append("finaliser's"))
        return tables()

    monkeypatch.setattr(bonds, "_Tables", interrupted)
    ref.add_exit_callback(lambda *_end: told.append("own"))
    ref.stop()
    assert told == ["finaliser's", "own"]
