from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.coordinator import AlertInbox, Verdict
from beamlens.coordinator.inbox import AlertsWaiting
from beamlens.findings import Alert, Snapshot
from beamlens_actors import Actor
from beamlens_actors.testing import FakeClock, Probe


def alert(kind="memory", severity="warning", watcher="runtime", **more):
    return Alert(
        watcher=watcher,
        anomaly_type=kind,
        severity=severity,
        context="",
        observation="seen",
        snapshots=(Snapshot(data={}),),
        node="n",
        instance="i",
        trace_id="0" * 32,
        **more,
    )


def test_the_same_alert_is_merged_while_one_is_open_and_keeps_the_worst_severity():
    inbox = AlertInbox()
    first = alert()
    assert inbox.offer(first) is Verdict.DELIVERED
    assert inbox.offer(alert(severity="critical")) is Verdict.MERGED
    (open_,) = inbox.open_alerts()
    assert (open_.id, open_.count, open_.severity) == (first.id, 2, "critical")
    assert inbox.counts() == (2, 0, 1, 0, 1)


def test_after_its_acknowledgement_the_same_alert_is_merged_for_the_cooldown_only():
    with FakeClock() as clock:
        inbox = AlertInbox()
        first = alert()
        inbox.offer(first, cooldown=10.0)
        inbox.lease()
        inbox.acknowledge([first.id])
        clock.advance(9.0)
        assert inbox.offer(alert(), cooldown=10.0) is Verdict.MERGED
        assert inbox.offer(alert(severity="critical"), cooldown=10.0) is Verdict.DELIVERED
        clock.advance(2.0)
        inbox.acknowledge([inbox.open_alerts()[0].id])
        clock.advance(11.0)
        assert inbox.offer(alert()) is Verdict.DELIVERED


@pytest.mark.parametrize(("own", "given", "merged_until"), [(None, 10.0, 10.0), (60.0, 10.0, 60.0), (5.0, 10.0, 10.0)])
def test_an_alerts_own_cooldown_only_lengthens_that_of_its_watcher(own, given, merged_until):
    with FakeClock() as clock:
        inbox = AlertInbox()
        first = alert(cooldown=own)
        inbox.offer(first, cooldown=given)
        inbox.acknowledge([first.id])
        clock.advance(merged_until - 1)
        assert inbox.offer(alert(), cooldown=given) is Verdict.MERGED
        clock.advance(1)
        assert inbox.offer(alert(), cooldown=given) is Verdict.DELIVERED


def test_a_longer_cooldown_holds_whenever_it_comes():
    with FakeClock() as clock:
        inbox = AlertInbox()
        first = alert()
        inbox.offer(first, cooldown=10.0)
        inbox.offer(alert(cooldown=20.0), cooldown=10.0)  # while it is open
        inbox.acknowledge([first.id])
        clock.advance(19.0)
        assert inbox.offer(alert(cooldown=40.0), cooldown=10.0) is Verdict.MERGED  # while it cools
        clock.advance(20.0)
        assert inbox.offer(alert(), cooldown=10.0) is Verdict.MERGED
        clock.advance(1.0)
        assert inbox.offer(alert(), cooldown=10.0) is Verdict.DELIVERED


def test_a_critical_alert_takes_the_place_of_a_lesser_one_even_if_that_is_being_looked_at():
    inbox = AlertInbox(capacity=2, most_leased=2)
    info, warning = alert("a", "info"), alert("b", "warning")
    inbox.offer(info)
    inbox.lease()
    inbox.offer(warning)
    assert inbox.offer(alert("c", "critical")) is Verdict.DELIVERED  # the one that waits gives way
    inbox.lease()
    assert inbox.offer(alert("d", "critical")) is Verdict.DELIVERED  # then the one that is leased
    assert inbox.offer(alert("e", "critical")) is Verdict.DROPPED
    assert [one.anomaly_type for one in inbox.open_alerts()] == ["c", "d"]
    inbox.acknowledge([info.id])
    assert inbox.counts() == (5, 0, 0, 3, 2)


def test_an_alert_that_became_worse_is_leased_before_younger_ones_of_its_severity():
    inbox = AlertInbox()
    for kind, severity in (("a", "warning"), ("b", "critical"), ("c", "critical"), ("a", "critical")):
        inbox.offer(alert(kind, severity))
    assert [one.anomaly_type for one in inbox.lease()] == ["a", "b", "c"]


def test_no_more_are_leased_than_may_be_and_the_rest_come_after_an_acknowledgement():
    inbox = AlertInbox(most_leased=2)
    for number in range(5):
        inbox.offer(alert(str(number)))
    first = inbox.lease()
    assert [one.anomaly_type for one in first] == ["0", "1"]
    assert inbox.lease() == []
    inbox.acknowledge([first[0].id])
    assert [one.anomaly_type for one in inbox.lease()] == ["2"]


def test_what_was_dealt_with_is_forgotten_with_its_cooldown():
    with FakeClock() as clock:
        inbox = AlertInbox()
        for number in range(3000):
            one = alert(str(number))
            inbox.offer(one, cooldown=10.0)
            inbox.acknowledge([one.id])
        assert len(inbox._cooling) == 1000
        clock.advance(10.0)
        inbox.offer(one := alert("last"))
        inbox.acknowledge([one.id])
        assert [cooling.alert.id for cooling in inbox._cooling.values()] == [one.id]


def test_other_watchers_and_types_are_other_alerts():
    inbox = AlertInbox()
    for one in (alert(), alert(kind="threads"), alert(watcher="logger")):
        assert inbox.offer(one) is Verdict.DELIVERED


def test_when_full_the_least_severe_is_dropped_first_and_each_drop_is_told():
    told = []
    inbox = AlertInbox(capacity=2, on_change=lambda verdict, one: told.append((verdict.name, one.anomaly_type)))
    inbox.offer(alert("a", "warning"))
    inbox.offer(alert("b", "critical"))
    assert inbox.offer(alert("c", "info")) is Verdict.DROPPED
    assert inbox.offer(alert("d", "critical")) is Verdict.DELIVERED
    assert [one.anomaly_type for one in inbox.open_alerts()] == ["b", "d"]
    assert told == [("DELIVERED", "a"), ("DELIVERED", "b"), ("DROPPED", "c"), ("DROPPED", "a"), ("DELIVERED", "d")]


def test_alerts_are_leased_the_most_severe_first_and_only_once():
    inbox = AlertInbox()
    for kind, severity in (("a", "info"), ("b", "critical"), ("c", "warning")):
        inbox.offer(alert(kind, severity))
    assert [one.anomaly_type for one in inbox.lease()] == ["b", "c", "a"]
    assert inbox.lease() == []


class Owner(Actor):
    def __init__(self, inbox, probe):
        super().__init__()
        self.inbox, self.probe = inbox, probe

    def on_receive(self, message):
        if isinstance(message, AlertsWaiting):
            self.probe.tell([one.anomaly_type for one in self.inbox.lease()])
        if message == "crash":
            raise RuntimeError("crash")


def test_the_owner_is_woken_again_for_what_it_could_not_lease():
    inbox, probe = AlertInbox(most_leased=2), Probe.start()
    for number in range(3):
        inbox.offer(alert(str(number)))
    owner = Owner.options(mailbox=inbox).start(inbox, probe)
    probe.expect(["0", "1"])
    inbox.acknowledge([inbox.open_alerts()[0].id])
    probe.expect(["2"])
    owner.stop()
    probe.expect_nothing()
    probe.stop()


def test_the_owner_is_woken_and_what_a_crashed_one_had_leased_comes_back_to_the_next(caplog):
    inbox, probe = AlertInbox(), Probe.start()
    inbox.offer(alert("before"))
    owner = Owner.options(mailbox=inbox).start(inbox, probe)
    probe.expect(["before"])
    inbox.offer(alert("later"))
    probe.expect(["later"])
    inbox.acknowledge([inbox.open_alerts()[0].id])
    owner.tell("crash")
    owner.join(5)
    second = Owner.options(mailbox=inbox).start(inbox, probe)
    probe.expect(["later"])
    second.stop()
    probe.stop()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(0, 5), st.sampled_from(["info", "warning", "critical"])),
            st.just(("lease",)),
            st.just(("acknowledge",)),
            st.just(("restart",)),
        ),
        max_size=60,
    )
)
def test_the_account_is_exact_and_nothing_is_dropped_before_a_lesser_one_whatever_happens(steps):
    lost = []
    inbox = AlertInbox(capacity=3, most_leased=2, on_change=lambda verdict, one: lost.append((verdict, one)))
    leased = []
    for step in steps:
        lost.clear()
        if step[0] == "offer":
            inbox.offer(alert(str(step[1]), step[2]), cooldown=0.0)
            for verdict, one in lost:
                if verdict is Verdict.DROPPED:
                    lesser = [slot for slot in inbox._slots if slot.alert.rank < one.rank]
                    assert all(slot.leased and one.severity != "critical" for slot in lesser)
        elif step[0] == "restart":
            inbox._slots.return_all()
            leased.clear()
        elif step[0] == "lease":
            leased += inbox.lease()
        elif leased:
            inbox.acknowledge([leased.pop().id])
        counts = inbox.counts()
        assert counts.fired == counts.delivered + counts.merged + counts.dropped + counts.queued
        assert counts.queued <= 3
        assert inbox._slots.leased <= 2
    left = inbox.open_alerts()
    assert len(left) == len({one.identity for one in left})
    inbox.acknowledge([one.id for one in left])
    assert (inbox.counts().queued, inbox.lease()) == (0, [])


def test_many_threads_lose_no_alert():
    inbox = AlertInbox(capacity=50)
    threads = [
        threading.Thread(target=lambda n=n: [inbox.offer(alert(f"{n % 3}-{k % 40}")) for k in range(200)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = inbox.counts()
    assert counts.fired == 1600
    assert counts.fired == counts.delivered + counts.merged + counts.dropped + counts.queued


@pytest.mark.parametrize("count", [1, 3])
def test_acknowledging_what_is_gone_changes_nothing(count):
    inbox = AlertInbox()
    first = alert()
    inbox.offer(first)
    for _ in range(count):
        inbox.acknowledge([first.id, "unknown"])
    assert inbox.counts() == (1, 1, 0, 0, 0)
