from __future__ import annotations

import errno
import json
import signal
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.agent import Budget, Ledger
from beamlens.agent import account_file as files
from beamlens.agent.account import Account, Held
from beamlens.agent.account_file import AccountFile
from beamlens.errors import BudgetExceeded
from beamlens.llm.client import Message, Request, Usage
from beamlens_actors import AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.loops import in_background

HAIKU = "claude-haiku-4-5-20251001"
DAY = 86_400.0


def request(max_tokens=1000):
    return Request("", (Message.user("x" * 200),), max_tokens=max_tokens)


def spend(ledger, usage):
    ledger.reserve(HAIKU, request(), AbortSignal()).settle(HAIKU, usage)


@pytest.fixture
def told():
    return []


@pytest.fixture
def begin(tmp_path, told):
    """Opens a ledger on the same file, as a process that was restarted does."""

    def begin(budget, name="app", folder=tmp_path):
        account = AccountFile(folder, name, budget.bounds(), lambda path, reason: told.append((path, reason)))
        return Ledger(budget, account=account)

    return begin


# -- a restart -----------------------------------------------------------------------------------------------


def test_a_restart_goes_on_counting(begin, told):
    budget = Budget(usd_per_day=5.0, tokens_per_hour=1000, calls_per_hour=10)
    spend(begin(budget), Usage(input_tokens=400))
    spend(begin(budget), Usage(input_tokens=600))
    again = begin(budget)
    assert again.spent() == {"usd_per_day": 0.001, "tokens_per_hour": 1000, "calls_per_hour": 2}
    with pytest.raises(BudgetExceeded, match="tokens_per_hour"):
        spend(again, Usage(input_tokens=1))
    assert told == []


def test_what_was_spent_comes_back_when_its_window_has_passed_also_across_a_restart(begin):
    budget = Budget(tokens_per_hour=100)
    with FakeClock() as clock:
        spend(begin(budget), Usage(input_tokens=100))
        clock.advance(3599)
        with pytest.raises(BudgetExceeded):
            spend(begin(budget), Usage(input_tokens=1))
        clock.advance(1)
        spend(begin(budget), Usage(input_tokens=1))


def test_a_clock_that_was_put_back_withholds_the_budget_for_one_window_at_most(begin):
    budget = Budget(tokens_per_hour=100)
    with FakeClock() as clock:
        clock.advance(30 * DAY)
        spend(begin(budget), Usage(input_tokens=100))
    with FakeClock() as clock:
        with pytest.raises(BudgetExceeded):
            spend(begin(budget), Usage(input_tokens=1))
        clock.advance(1)
        assert begin(budget).spent() == {"tokens_per_hour": 100}


def test_a_limit_that_is_new_after_a_restart_counts_what_was_spent_before(begin):
    spend(begin(Budget(usd_per_day=5.0)), Usage(input_tokens=100))
    assert begin(Budget(tokens_per_hour=1000)).spent() == {"tokens_per_hour": 100}


def test_instances_of_other_names_have_their_own(begin, tmp_path):
    budget = Budget(calls_per_hour=1)
    for name in ("app", "../app", "ápp/ b", "x" * 400, "x" * 401, "."):
        spend(begin(budget, name), Usage(input_tokens=1))
    assert len(list(tmp_path.glob("budget-*.json"))) == 6
    assert list(tmp_path.parent.glob("*.json")) == []


def test_only_the_owner_can_read_it(begin, tmp_path):
    folder = tmp_path / "made" / "for it"
    spend(begin(Budget(calls_per_hour=5), folder=folder), Usage(input_tokens=1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"for it": 0o700, "budget-app.json": 0o600, "budget-app.lock": 0o600}


# -- calls that nobody ended ---------------------------------------------------------------------------------


def crash(tmp_path, budget):
    """A process that asks for a call and is killed in the middle of it, as a crash loop does."""
    code = f"""
import os, signal
from pathlib import Path
from beamlens.agent import Budget, Ledger
from beamlens.agent.account_file import AccountFile
from beamlens.llm.client import Message, Request
from beamlens_actors import AbortSignal
budget = {budget!r}
ledger = Ledger(budget, account=AccountFile(Path({str(tmp_path)!r}), "app", budget.bounds(), print))
ledger.reserve({HAIKU!r}, Request("", (Message.user("x" * 200),), max_tokens=1000), AbortSignal())
os.kill(os.getpid(), signal.SIGKILL)
"""
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60).returncode


def test_a_call_of_a_process_that_was_killed_counts_with_the_most_that_it_may_have_come_to(begin, tmp_path):
    budget = Budget(tokens_per_hour=2000)
    assert [crash(tmp_path, budget), crash(tmp_path, budget)] == [-signal.SIGKILL, -signal.SIGKILL]
    with pytest.raises(BudgetExceeded):
        begin(budget).reserve(HAIKU, request(), AbortSignal())
    assert 2000 < begin(budget).spent()["tokens_per_hour"] <= 2 * 1200
    assert crash(tmp_path, budget) == 1  # refused by name, so it never gets to its end


def test_a_call_of_this_process_id_that_is_not_this_process_is_over(begin, tmp_path):
    # In a container each start has the same process id.
    ledger = begin(Budget(tokens_per_hour=1000))
    ledger.reserve(HAIKU, request(), AbortSignal())
    path = tmp_path / "budget-app.json"
    data = json.loads(path.read_text())
    (held,) = data["in_flight"].values()
    held["owner"][2] = "of an earlier life"
    path.write_text(json.dumps(data))
    with pytest.raises(BudgetExceeded):
        begin(Budget(tokens_per_hour=1000)).reserve(HAIKU, request(), AbortSignal())


def test_a_call_that_was_taken_for_dead_and_is_answered_after_all_counts_once(begin):
    with FakeClock() as clock:
        ledger = begin(Budget(tokens_per_hour=100_000))
        lease = ledger.reserve(HAIKU, request(), AbortSignal())
        clock.advance(files.LONGEST_CALL + 1)
        spend(ledger, Usage(input_tokens=5))
        assert ledger.spent()["tokens_per_hour"] > 1000
        lease.settle(HAIKU, Usage(input_tokens=7))
        assert ledger.spent() == {"tokens_per_hour": 12}


# -- several processes ---------------------------------------------------------------------------------------

SPENDER = """
import sys
from pathlib import Path
from beamlens.agent import Budget, Ledger
from beamlens.agent.account_file import AccountFile
from beamlens.errors import BudgetExceeded
from beamlens.llm.client import Message, Request, Usage
from beamlens_actors import AbortSignal
budget = Budget(tokens_per_hour=20_000)
ledger = Ledger(budget, account=AccountFile(Path(sys.argv[1]), "app", budget.bounds(), print))
print("ready", flush=True)
sys.stdin.readline()
calls = 0
while True:
    try:
        lease = ledger.reserve("claude", Request("", (Message.user("x" * 200),), max_tokens=900), AbortSignal())
    except BudgetExceeded:
        break
    lease.settle("claude", Usage(input_tokens=100, output_tokens=900))
    calls += 1
print(calls, flush=True)
"""


def test_processes_that_share_a_file_pass_a_limit_by_one_call_at_most(begin, tmp_path, told):
    command = [sys.executable, "-c", SPENDER, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(2)
    ]
    assert [each.stdout.readline() for each in both] == ["ready\n"] * 2
    for each in both:
        each.stdin.write("go\n")
    counts = [int(each.communicate(timeout=60)[0]) for each in both]
    spent = begin(Budget(tokens_per_hour=20_000)).spent()["tokens_per_hour"]
    assert spent == sum(counts) * 1000
    assert 20_000 <= spent <= 20_000 + 1000
    assert told == []


def test_a_call_waits_for_one_in_flight_of_another_ledger(begin):
    budget = Budget(tokens_per_hour=1000)
    first = begin(budget).reserve(HAIKU, request(), AbortSignal())
    other = begin(budget)
    admitted = threading.Event()

    def second():
        other.reserve(HAIKU, request(), AbortSignal()).settle(HAIKU, Usage(input_tokens=1))
        admitted.set()
        return True

    wait = in_background(second)
    assert not admitted.wait(0.05)
    first.settle(HAIKU, Usage(input_tokens=10))
    assert wait()
    assert other.spent() == {"tokens_per_hour": 11}


def test_a_process_that_is_stopped_with_the_lock_holds_nobody_up_for_long(begin, tmp_path, told, monkeypatch):
    monkeypatch.setattr(files, "_LOCK_TIMEOUT", 0.05)
    code = (
        "import fcntl,os,sys; fd=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT); fcntl.lockf(fd,fcntl.LOCK_EX);"
        "print('locked',flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "budget-app.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "locked\n"
    ledger = begin(Budget(calls_per_hour=2))
    spend(ledger, Usage(input_tokens=1))
    assert len(told) == 1
    holder.communicate(timeout=10)
    spend(ledger, Usage(input_tokens=1))
    assert begin(Budget(calls_per_hour=2)).spent() == {"calls_per_hour": 2}


# -- a file that cannot be used ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\x00",
        b'{"format": 1}',
        b'{"format": "1"}',
        b'{"format": true, "spent": 3}',
        b"[" * 99_999,
    ]
    + [b'{"format":1,"in_flight":{},"spent":{"usd_per_day":[],"calls_per_hour":[],"tokens_per_hour":[[1,2,NaN]]}}'],
)
def test_a_file_that_is_not_readable_counts_as_a_spent_budget_and_is_told_and_set_aside(begin, tmp_path, told, content):
    path = tmp_path / "budget-app.json"
    path.write_bytes(content)
    budget = Budget(usd_per_day=5.0, calls_per_hour=3)
    ledger = begin(budget)
    with pytest.raises(BudgetExceeded):
        spend(ledger, Usage(input_tokens=1))
    assert begin(budget).spent() == {"usd_per_day": 5.0, "calls_per_hour": 3}
    assert [path for path, _reason in told] == [str(path)]
    assert path.with_suffix(".unreadable").read_bytes() == content
    path.unlink()  # what the warning says
    spend(ledger, Usage(input_tokens=1))
    assert len(told) == 1


def test_what_an_unreadable_file_withholds_comes_back_after_a_window(begin, tmp_path):
    (tmp_path / "budget-app.json").write_text("?")
    with FakeClock() as clock:
        ledger = begin(Budget(calls_per_hour=3))
        with pytest.raises(BudgetExceeded):
            spend(ledger, Usage(input_tokens=1))
        clock.advance(3600)
        spend(ledger, Usage(input_tokens=1))


def test_a_file_of_a_newer_version_is_left_as_it_is_and_counts_as_a_spent_budget(begin, tmp_path, told):
    path = tmp_path / "budget-app.json"
    path.write_text('{"format": 2, "what": "else"}')
    ledger = begin(Budget(calls_per_hour=3))
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            spend(ledger, Usage(input_tokens=1))
    assert ledger.spent() == {"calls_per_hour": 3}
    assert told == [(str(path), "it has format 2, and this Beamlens knows up to 1")]
    assert path.read_text() == '{"format": 2, "what": "else"}'


def test_a_full_disk_loses_nothing_once_it_is_over(begin, told, monkeypatch):
    budget = Budget(tokens_per_hour=1000)
    ledger = begin(budget)
    spend(ledger, Usage(input_tokens=100))
    lease = ledger.reserve(HAIKU, request(max_tokens=10), AbortSignal())

    def full(_path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "_replace", full)
        spend(ledger, Usage(input_tokens=20))
        lease.settle(HAIKU, Usage(input_tokens=3))
        assert [reason for _path, reason in told] == ["No space left on device"]
        spend(begin(budget), Usage(input_tokens=4000))  # another process: nothing of it is kept
    spend(ledger, Usage(input_tokens=1))
    assert begin(budget).spent() == {"tokens_per_hour": 124}
    assert len(told) == 2


@pytest.mark.parametrize("how", ["a file is in the way", "a link", "a folder"])
def test_a_folder_that_cannot_be_used_leaves_the_budget_in_memory_and_is_told_once(begin, tmp_path, told, how):
    folder = tmp_path / "state"
    if how == "a file is in the way":
        folder.write_text("")
    else:
        folder.mkdir()
        path = folder / "budget-app.lock"
        path.symlink_to(tmp_path / "elsewhere") if how == "a link" else path.mkdir()
    ledger = begin(Budget(calls_per_hour=2), folder=folder)
    for _ in range(2):
        spend(ledger, Usage(input_tokens=1))
    with pytest.raises(BudgetExceeded):
        spend(ledger, Usage(input_tokens=1))
    assert len(told) == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_refusal_writes_nothing(begin, tmp_path):
    ledger = begin(Budget(calls_per_hour=1))
    spend(ledger, Usage(input_tokens=1))
    before = (tmp_path / "budget-app.json").stat().st_ino
    with pytest.raises(BudgetExceeded):
        spend(ledger, Usage(input_tokens=1))
    assert (tmp_path / "budget-app.json").stat().st_ino == before


FORK = """
import os, sys
from pathlib import Path
from beamlens.agent.account_file import AccountFile
bounds = {"calls_per_hour": 9.0}
account = AccountFile(Path(sys.argv[1]), "app", bounds, print)
with account.change() as mine:
    mine.book({"calls_per_hour": 1.0}, account.now())
    child = os.fork()
    if child == 0:
        other = AccountFile(Path(sys.argv[1]), "child", bounds, print)
        with other.change() as own:
            own.book({"calls_per_hour": 2.0}, other.now())
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_child_forked_in_the_middle_of_a_change_can_keep_an_account_of_its_own(begin, tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path)], check=True, timeout=60)
    budget = Budget(calls_per_hour=9)
    assert [begin(budget, name).spent()["calls_per_hour"] for name in ("app", "child")] == [1, 2]


# -- states --------------------------------------------------------------------------------------------------

AMOUNTS = st.floats(0, 1e6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("book"), AMOUNTS),
        st.tuples(st.just("begin"), AMOUNTS),
        st.tuples(st.just("end"), st.just(0.0)),
        st.tuples(st.just("wait"), st.floats(0, 5000)),
        st.tuples(st.just("disk"), st.just(0.0)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_file_says_what_memory_says_whatever_happens_to_the_disk(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("state")
    bounds = {"tokens_per_hour": 1.0}
    plain, works, number, real = Account(), True, 0, files._replace

    def broken(_path, _content):
        raise OSError(errno.ENOSPC, "full")

    with FakeClock() as clock, pytest.MonkeyPatch.context() as patched:
        kept = AccountFile(folder, "app", bounds, lambda *_: None)
        for what, amount in steps:
            if what == "wait":
                clock.advance(amount)
                for call, held in list(plain.held.items()):
                    if clock.time() - held.at > files.LONGEST_CALL:
                        plain.end(call)
                        plain.book(held.estimate, clock.time())
            elif what == "disk":
                works = not works
                patched.setattr(files, "_replace", real if works else broken)
            else:
                with kept.change() as account:
                    for each in (plain, account):
                        if what == "book":
                            each.book({"tokens_per_hour": amount}, clock.time())
                        elif what == "begin":
                            held = Held(kept.owner(), clock.time(), {"tokens_per_hour": amount})
                            each.begin(str(number), held)
                        elif str(number - 1) in each.held:
                            each.end(str(number - 1))
                number += what == "begin"
        patched.setattr(files, "_replace", real)
        with kept.change() as account:
            account.book({"tokens_per_hour": 1.0}, clock.time())
            plain.book({"tokens_per_hour": 1.0}, clock.time())
        fresh = AccountFile(folder, "app", bounds, lambda *_: None).look()
        now = clock.time()
        whole = fresh.spent("tokens_per_hour", now) + fresh.in_flight("tokens_per_hour")
        assert whole >= plain.spent("tokens_per_hour", now) + plain.in_flight("tokens_per_hour") - 1e-3
        assert set(fresh.held) == set(plain.held)
