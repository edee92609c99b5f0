"""Growth is measured, never guessed from sizes; the closer look says what consumers do."""

from __future__ import annotations

import itertools
import queue
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.detect import SensorBank
from beamlens.domains import OverloadDomain
from beamlens.domains.overload import views, why
from beamlens.domains.overload.queues import QueueLook
from beamlens.domains.overload.watch import Watch
from beamlens.evidence import Evidence, Strength
from beamlens.testing import check_domain


def look(depth, name="jobs", capacity=None, dropped=0, key=1):
    return QueueLook(key, "queue", name, depth, capacity, (), dropped)


def fed(*series, capacity=None):
    """A watch that saw queues, one depth of each a second."""
    watch = Watch()
    for second, depths in enumerate(zip(*series, strict=True)):
        looks = [look(depth, f"q{key}", capacity, key=key) for key, depth in enumerate(depths)]
        watch.update(float(second), looks)
    return watch


def steadily(rate, seconds=40, first=0):
    return [first + int(rate * second) for second in range(seconds)]


def test_it_keeps_the_contract_of_a_domain():
    check_domain(OverloadDomain())


def test_a_deep_queue_that_does_not_grow_is_no_overload():
    """The seed called its size score growth, and a queue of 50 000 critical."""
    watch = fed([1_000_000] * 60)
    assert watch.growing == []
    assert views.severity(watch, 60.0) == "none"
    assert views.row(watch.tracked[0], 60.0)["growth_per_s"] == 0.0


def test_a_queue_that_grows_is_the_bottleneck_with_its_measured_rate():
    """The seed's bottleneck was always unknown: its growth was always 0."""
    watch = fed(steadily(5), [10_000] * 40)
    (one,) = watch.growing
    assert one.look.name == "q0"
    assert one.rate == pytest.approx(5, rel=0.05)
    reading = watch.growth_reading()
    assert reading.active
    assert "the q0 grew steadily" in reading.reason


def test_the_time_to_overflow_is_told_for_a_bound_only():
    """The seed divided ten million by a growth that it had invented."""
    unbounded, bounded = fed(steadily(5)), fed(steadily(5), capacity=1000)
    assert unbounded.growing[0].to_overflow is None
    assert views.row(unbounded.growing[0], 40.0)["no_overflow_because"] == "it has no bound"
    assert bounded.growing[0].to_overflow == pytest.approx((1000 - 195) / 5, rel=0.05)
    still = fed([500] * 40, capacity=1000)
    assert still.tracked[0].to_overflow is None
    assert views.row(still.tracked[0], 40.0)["no_overflow_because"] == "it does not grow"


def test_a_queue_that_runs_full_soon_is_critical():
    watch = fed(steadily(20), capacity=1000)
    assert watch.growth_reading().severity == "critical"
    assert views.severity(watch, 40.0) == "critical"


def test_growth_of_a_minute_is_sustained_and_of_seconds_transient():
    assert views.severity(fed(steadily(5, 30)), 30.0) == "transient"
    assert views.severity(fed(steadily(5, 90)), 90.0) == "sustained"


def test_bursts_that_drain_are_healthy():
    burst = list(itertools.islice(itertools.cycle([*range(0, 300, 30), *range(300, 0, -30)]), 300))
    watch = Watch()
    for second, depth in enumerate(burst):
        watch.update(float(second), [look(depth)])
        assert not watch.growth_reading().active


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2000), min_size=30, max_size=120))
def test_whatever_the_depths_no_bound_means_no_time_and_rates_are_finite(depths):
    watch = fed(depths)
    one = watch.tracked[0]
    assert one.to_overflow is None
    assert one.rate is not None
    assert views.cascade(watch, float(len(depths)))["level"] in ("none", "warning")
    assert views.severity(watch, float(len(depths))) in ("none", "transient", "sustained")


def test_items_that_are_lost_are_critical_until_no_more_are():
    watch = Watch()
    for second in range(10):
        watch.update(float(second), [look(100, capacity=100, dropped=10 * second)])
    assert watch.drop_reading().severity == "critical"
    assert "90 in all" in watch.drop_reading().reason
    for second in range(10, 20):
        watch.update(float(second), [look(100, capacity=100, dropped=90)])
    assert not watch.drop_reading().active


def test_a_full_queue_whose_producers_wait_is_no_overload():
    watch = fed([10] * 60, capacity=10)
    assert not watch.growth_reading().active
    assert views.cascade(watch, 60.0)["full"] == ["q0"]
    assert views.severity(watch, 60.0) == "none"


def test_several_that_grow_are_a_cascade_in_the_order_in_which_it_began():
    late = [0] * 40 + steadily(6, 50)
    watch = fed(steadily(5, 90), late)
    found = views.cascade(watch, 90.0)
    assert (found["cascading"], found["level"], found["began_with"]) == (True, "warning", "q0")
    assert [row["name"] for row in found["affected"]] == ["q0", "q1"]
    four = fed(*[steadily(5)] * 4)
    assert views.cascade(four, 40.0)["level"] == "critical"
    assert views.kind(four) == "cascade"


def test_a_queue_that_is_gone_is_forgotten_and_the_followed_ones_are_bounded():
    watch = Watch()
    watch.update(0.0, [look(1, f"q{key}", key=key) for key in range(400)])
    assert len(watch.tracked) == 200
    watch.update(1.0, [])
    assert watch.tracked == {}


def test_percentiles_are_by_nearest_rank():
    assert views.percentiles(list(range(1, 101))) == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p100": 100}
    assert views.percentiles([]) == {"p50": 0, "p90": 0, "p95": 0, "p99": 0, "p100": 0}


def test_nothing_that_grows_asks_for_nothing():
    domain = OverloadDomain()
    assert domain.bottleneck()["found"] is False
    assert domain.remediation_plan()["steps"] == []
    assert domain.cascade_detection()["cascading"] is False
    snapshot = domain.snapshot()
    assert snapshot["_unavailable"]["time_to_overflow_s"] == "no queue grows: there is nothing to foretell"


def test_queues_are_listed_deepest_first_with_a_capped_limit():
    held = {f"jobs-{number}": queue.Queue() for number in range(60)}
    for number, jobs in enumerate(held.values()):
        for _ in range(number):
            jobs.put(None)
    analysis = OverloadDomain(queues=held).queue_analysis(1000)
    assert len(analysis["deepest"]) == 50
    assert analysis["deepest"][0]["name"] == "jobs-59"
    assert analysis["p100"] == 59


# -- the closer look -------------------------------------------------------------------------------------------------


class Press:
    """A worker with a queue, real threads."""

    def __init__(self, work):
        self.jobs = queue.Queue()
        self.work = work
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, name="press")

    def run(self):
        while (job := self.jobs.get()) is not None:
            self.work(self, job)

    def stuck(self, _job):
        self.over.wait(30)

    def burning(self, _job):
        while not self.over.is_set():
            sum(range(2000))

    def fill(self):
        while not self.over.wait(0.01):
            self.jobs.put("job")

    def __enter__(self):
        self.thread.start()
        self.feeder = threading.Thread(target=self.fill, name="feeder")
        self.feeder.start()
        return self

    def __exit__(self, *_exc):
        self.over.set()
        self.feeder.join(10)
        self.jobs.put(None)
        self.thread.join(10)


@pytest.mark.parametrize(
    ("work", "verb", "doing"), [(Press.stuck, "wait at", "waiting"), (Press.burning, "burn", "cpu")]
)
def test_what_consumers_do_is_seen_now_and_not_over_their_lives(work, verb, doing):
    """The seed took a lifetime of work for being busy with the processor."""
    with Press(work) as press:
        domain = OverloadDomain(queues={"press": press.jobs})
        watch = fed(steadily(5))
        one = watch.growing[0]
        one.look = QueueLook(id(press.jobs), "queue", "press", 10, None, (press.thread.ident,))
        pieces = domain._explain([one])
    (piece,) = pieces
    assert verb in piece.text
    assert piece.strength == Strength.CONCLUSIVE
    assert piece.place.function == work.__qualname__
    assert views.doing(pieces) == doing
    line = Press.fill.__code__.co_firstlineno + 2
    assert f"items are put at overload/test_domain.py:{line} in Press.fill" in piece.text


def test_consumers_that_were_not_seen_are_not_invented():
    seen = why.look_closer([look(60)], seconds=0.1)
    (piece,) = why.explain(fed(steadily(5)).growing[0], seen, look(50), look(60), list)
    assert "who takes from it was not seen" in piece.text
    assert piece.strength == Strength.SUPPORTING
    assert piece.place is None


def test_the_plan_says_what_fits_what_was_seen():
    watch = fed(steadily(5), capacity=1000)
    piece = Evidence(text="x", cause="queue_overload", strength="conclusive", data={"processors": 0.9})
    place = {"file": "/srv/shop/press.py", "line": 3, "function": "burn"}
    found = views.plan(watch, [Evidence(**{**piece.model_dump(), "place": place})])
    assert "cheaper" in found["steps"][0]
    assert "it is full in 161 s" in found["steps"][1]


def test_the_sensors_wake_for_growth_that_lasts(monkeypatch):
    domain = OverloadDomain()
    moment = [0.0]

    class Now:
        latest: tuple[QueueLook, ...] = ()
        at = 0.0

        def look(self):
            self.at = moment[0]
            self.latest = (look(int(5 * moment[0])),)
            return True

    monkeypatch.setattr(domain, "_paced", Now())
    bank = SensorBank(domain.all_sensors())
    woken = []
    for second in range(40):
        moment[0] = float(second)
        woken += [(second, sensor.name) for sensor in bank.feed(float(second), domain.sense())]
    ((second, name),) = woken
    assert name == "queue_growth"
    assert 18 <= second <= 25
