"""With a state directory what watchers went through can be replayed."""

from beamlens import Beamlens, Domain, Metric
from beamlens.agent.journal import read_journal
from beamlens.agent.replay import replay
from beamlens_actors import clock


class Depth(Domain):
    """A queue that is too deep."""

    name = "depth"
    metrics = (Metric("depth", unit="orders", high=10, critical=100),)

    def snapshot(self):
        return {"depth": 500}


def kept(folder):
    return sorted((folder / "investigations").glob("depth-*.jsonl"))


def test_the_first_look_of_a_watcher_is_kept_and_replays_to_the_byte(tmp_path):
    with Beamlens.start(watchers=[Depth], state_dir=tmp_path):
        deadline = clock.monotonic() + 30
        while not kept(tmp_path):
            assert clock.monotonic() < deadline, "nothing was kept"
            clock.sleep(0.02)
    journal = read_journal(kept(tmp_path)[0])
    assert journal.runs[-1].end.model == "offline"
    found = replay(journal)
    assert found.same, found.differences
    assert [one.call.name for turn in found.turns for one in turn.calls] == ["take_snapshot", "wait"]


def test_without_a_state_directory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Beamlens.start(watchers=[Depth]) as lens:
        lens.flush(5)
    assert list(tmp_path.iterdir()) == []
