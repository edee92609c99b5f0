from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading

import pytest

from beamlens.agent import MessageEnd
from beamlens.agent.journal import (
    JournalCorrupt,
    JournalExists,
    JournalLocked,
    JournalNotFound,
    OpenedRecord,
    read_journal,
)
from beamlens.agent.journal import file as journal_file
from beamlens.agent.journal.writer import CLOSE, RETRY
from beamlens.errors import ConfigError
from beamlens.llm.client import Message
from beamlens.redact import Redactor
from beamlens_actors.testing import FakeClock
from tests.support.journals import TALK, create, ended, resume, said, write


class Told:
    """What the writer told."""

    def __init__(self):
        self.all = []

    def __call__(self, what, reason, unwritten):
        self.all.append((what, reason, unwritten))

    def names(self):
        return [what for what, *_ in self.all]


@pytest.fixture
def syncs(monkeypatch):
    """Descriptors that were synced."""
    made = []
    monkeypatch.setattr(journal_file, "_sync", made.append)
    return made


def test_each_message_is_in_the_file_when_it_has_been_heard(tmp_path):
    writer = create(tmp_path)
    for count, event in enumerate(said(*TALK), 1):
        writer.hear(event)
        assert len(read_journal(writer.path).messages) == count
    assert writer.state().status == "kept"
    writer.close()
    assert writer.state().status == "closed"


def test_what_is_offered_is_written_by_the_next_flush_in_order(tmp_path):
    writer = create(tmp_path)
    for event in said(*TALK):
        writer.offer(event)
    assert (writer.state().unwritten, read_journal(writer.path).messages) == (4, ())
    writer.flush()
    assert (writer.state().unwritten, writer.read().messages) == (0, TALK)
    writer.close()


def test_what_waits_is_written_at_the_end_and_nothing_after_it(tmp_path):
    writer = create(tmp_path)
    writer.offer(said(TALK[0])[0])
    writer.close()
    writer.hear(said(TALK[1])[0])
    writer.close()
    assert read_journal(writer.path).messages == TALK[:1]


def test_an_answer_of_which_nothing_was_heard_is_no_message(tmp_path):
    writer = create(tmp_path)
    writer.hear(MessageEnd("r1", "t1", Message("assistant", ()), "connection lost"))
    writer.close()
    assert read_journal(writer.path).records == ()


def test_it_is_for_its_owner_only(tmp_path):
    before = os.umask(0)
    try:
        path = write(tmp_path / "state")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_link_in_its_place_is_not_followed(tmp_path):
    path = write(tmp_path)
    other = tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    told = Told()
    writer = create(tmp_path, tell=told)
    assert told.names() == ["failed"]
    writer.close()
    assert read_journal(other).messages == TALK


def test_secrets_are_not_written(tmp_path):
    writer = create(tmp_path, redactor=Redactor(["order-[0-9]+"]))
    writer.hear(said(TALK[0].user("password=hunter2hunter2 for order-77"))[0])
    writer.close()
    text = writer.path.read_text()
    assert "hunter2" not in text
    assert "order-77" not in text


# -- fsync -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fsync", "counts"), [("always", [1, 2, 3, 3]), ("run", [0, 0, 1, 1]), ("never", [0, 0, 0, 0])]
)
def test_the_disk_is_made_to_keep_it_by_policy(tmp_path, syncs, fsync, counts):
    writer = create(tmp_path, fsync=fsync)
    found = []
    for event in [*said(*TALK[:2]), ended()]:
        writer.hear(event)
        found.append(len(syncs))
    writer.close()
    assert [*found, len(syncs)] == counts


def test_a_run_that_did_not_end_is_kept_at_the_close(tmp_path, syncs):
    writer = create(tmp_path, fsync="run")
    writer.hear(said(TALK[0])[0])
    writer.close()
    assert len(syncs) == 1


@pytest.mark.parametrize("fsync", ["often", "", None, True])
def test_another_policy_is_refused_with_the_choices(tmp_path, fsync):
    with pytest.raises(ConfigError, match="always, run, never"):
        create(tmp_path, fsync=fsync)
    assert not list(tmp_path.iterdir())


# -- one writer --------------------------------------------------------------------------------------------------


def test_a_session_that_has_a_journal_does_not_begin_another(tmp_path):
    path = write(tmp_path)
    with pytest.raises(JournalExists, match="restore the session"):
        create(tmp_path)
    assert read_journal(path).messages == TALK


def test_a_process_that_ended_within_its_first_line_has_kept_nothing_and_the_id_is_free(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first):
        path.write_bytes(whole[:end])
        with pytest.raises(JournalCorrupt, match="line 1"):
            resume(tmp_path)
        create(tmp_path).close()
        assert read_journal(path).messages == ()


def test_somebody_elses_file_is_not_overwritten(tmp_path):
    path = write(tmp_path)
    path.write_text("my notes")
    with pytest.raises(JournalCorrupt):
        create(tmp_path)
    assert path.read_text() == "my notes"


def test_a_session_without_a_journal_cannot_be_resumed_and_the_error_names_those_that_can(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    with pytest.raises(JournalNotFound, match=r"'c' has no journal .*: 'a', 'b'"):
        resume(tmp_path, "c")


def test_two_writers_in_one_process_are_refused_and_the_holder_is_named(tmp_path):
    writer = create(tmp_path)
    for attempt in (resume, create):
        with pytest.raises(JournalLocked, match=f"the process {os.getpid()} writes to the journal"):
            attempt(tmp_path)
    read_journal(writer.path)  # a reader needs no lock, and takes none away
    with pytest.raises(JournalLocked):
        resume(tmp_path)
    writer.close()
    resume(tmp_path)[0].close()


HOLD = """
import sys
from tests.support.journals import create
writer = create(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def hold(state_dir):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    process.kill()
    process.communicate()


def test_two_processes_do_not_write_to_one_journal_and_the_error_names_the_holder(tmp_path):
    process = hold(tmp_path)
    try:
        with pytest.raises(JournalLocked) as caught:
            resume(tmp_path)
        assert caught.value.pid == process.pid
        assert str(process.pid) in str(caught.value)
    finally:
        finish(process)
    resume(tmp_path)[0].close()  # the lock went with it


def test_the_holder_is_the_one_that_resumed_it_last(tmp_path):
    write(tmp_path)
    writer, journal = resume(tmp_path)
    writer.add(OpenedRecord(1.0, 4242, journal.setup))
    writer.flush()
    with pytest.raises(JournalLocked, match="the process 4242"):
        resume(tmp_path)
    writer.close()


def test_a_forked_child_neither_writes_nor_touches_the_lock(tmp_path):
    writer = create(tmp_path)
    writer.hear(said(TALK[0])[0])
    wait, go = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writer.hear(said(TALK[1])[0])
            failing = "forked" in writer.state().reason
            writer.close()
            os.write(tell, b"." if failing else b"!")
            os.close(go)
            os.read(wait, 1)  # until the parent has looked
        finally:
            os._exit(0)
    os.close(tell)
    try:
        assert os.read(told, 1) == b"."
        with pytest.raises(JournalLocked):
            resume(tmp_path)
        writer.close()
        again, journal = resume(tmp_path)
        again.close()
        assert journal.messages == TALK[:1]
    finally:
        for end in (go, wait, told):
            os.close(end)
        assert os.waitpid(child, 0)[1] == 0


def test_a_writer_that_ends_lets_go_of_the_lock_even_if_another_process_has_the_file(tmp_path):
    writer = create(tmp_path)
    other = os.dup(writer._file._fd)  # as a child has it that was forked a moment ago
    writer.close()
    resume(tmp_path)[0].close()
    os.close(other)


# -- a disk that fails -------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_no_error_and_is_said(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    told = Told()
    writer = create(blocked, tell=told)
    writer.hear(said(TALK[0])[0])
    state = writer.state()
    assert (state.status, state.unwritten, told.names()) == ("failing", 1, ["failed"])
    assert "NotADirectoryError" in state.reason
    writer.close()


def test_what_could_not_be_written_is_written_later_with_nothing_left_out(tmp_path):
    blocked = tmp_path / "state"
    blocked.touch()
    told = Told()
    with FakeClock() as clock:
        writer = create(blocked, tell=told)
        writer.hear(said(TALK[0])[0])
        blocked.unlink()
        writer.hear(said(TALK[1])[0])
        assert writer.state().unwritten == 2  # not tried again at once
        clock.advance(RETRY)
        writer.hear(said(TALK[2])[0])
        assert (writer.state().status, writer.state().unwritten) == ("kept", 0)
        writer.close()
    assert told.names() == ["failed", "resumed"]
    assert read_journal(writer.path).messages == TALK[:3]


FULL = """
import resource, sys
from beamlens.agent.journal import read_journal
from beamlens_actors.testing import FakeClock
from tests.support.journals import TALK, create, said, ended
with FakeClock() as clock:
    told = []
    writer = create(sys.argv[1], tell=lambda what, reason, unwritten: told.append(what))
    writer.hear(said(TALK[0])[0])
    most = writer.path.stat().st_size + int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    writer.hear(said(TALK[1])[0])
    state = writer.state()
    assert (state.status, state.unwritten, told) == ("failing", 1, ["failed"]), state
    assert "File too large" in state.reason, state
    journal = read_journal(writer.path)
    assert (journal.messages, journal.torn) == (TALK[:1], 0), journal
    writer.hear(said(TALK[2])[0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    clock.advance(5.0)
    writer.hear(said(TALK[3])[0])
    assert (writer.state().status, told) == ("kept", ["failed", "resumed"]), writer.state()
    assert read_journal(writer.path).messages == TALK
    writer.close()
"""


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_no_half_line_and_the_rest_is_written_once_there_is_room(tmp_path, room):
    # In a process of its own: the limit holds for all files of a process.
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path), str(room)], check=True, timeout=60)


NO_ROOM = """
import resource, sys
from beamlens_actors.testing import FakeClock
from tests.support.journals import TALK, create, said
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
with FakeClock() as clock:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    writer = create(sys.argv[1])
    writer.hear(said(TALK[0])[0])
    assert (writer.state().status, writer.state().unwritten) == ("failing", 1), writer.state()
    assert writer.path.read_bytes() == b""
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    clock.advance(5.0)
    writer.hear(said(TALK[1])[0])
    assert writer.state().status == "kept", writer.state()
    writer.close()
assert writer.read().messages == TALK[:2]
"""


def test_a_disk_that_is_full_from_the_start_takes_all_of_it_once_there_is_room(tmp_path):
    subprocess.run([sys.executable, "-c", NO_ROOM, str(tmp_path)], check=True, timeout=60)


def test_a_disk_that_hangs_is_waited_for_a_while_at_the_end(tmp_path):
    writer = create(tmp_path)
    with FakeClock() as clock, writer._writing:
        thread = threading.Thread(target=writer.close)
        thread.start()
        clock.wait_for_waiters(1)
        clock.advance(CLOSE)
        thread.join(10)
        assert not thread.is_alive()
    assert writer.state().status == "closed"
    writer._file.close()


def test_a_journal_on_a_device_without_room_goes_on_in_memory(tmp_path, monkeypatch):
    writer = create(tmp_path, tell=(told := Told()))
    real = writer._file._fd
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(writer._file, "_fd", full)
    writer.hear(said(TALK[0])[0])
    assert ("No space left" in writer.state().reason, told.names()) == (True, ["failed"])
    monkeypatch.undo()
    assert writer._file._fd == real
    writer.close()
    os.close(full)
    assert read_journal(writer.path).messages == TALK[:1]


def test_a_journal_that_was_deleted_is_said(tmp_path):
    writer = create(tmp_path)
    writer.path.unlink()
    writer.hear(said(TALK[0])[0])
    assert "deleted" in writer.state().reason
    writer.close()


DENIED = """
import os, sys
from beamlens_actors.testing import FakeClock
from tests.support.journals import TALK, create, ended, resume, said, write
path = write(sys.argv[1])
path.chmod(0o400)
root = os.geteuid() == 0  # who may write everywhere
if root:
    os.chmod(sys.argv[1], 0o755)
    path.parent.chmod(0o755)
    os.chown(path, 65534, 65534)
    os.seteuid(65534)
with FakeClock() as clock:
    writer, journal = resume(sys.argv[1])
    assert (journal.messages, writer.state().status) == (TALK, "failing"), writer.state()
    assert "PermissionError" in writer.state().reason, writer.state()
    path.chmod(0o600)
    with path.open("ab") as file:  # somebody else writes meanwhile
        file.write(path.read_bytes().splitlines(keepends=True)[-1].replace(b'"n":5', b'"n":6'))
    clock.advance(5.0)
    writer.hear(ended())
    assert "somebody else has written to it" in writer.state().reason, writer.state()
    with path.open("r+b") as file:
        lines = file.readlines()
        file.truncate(sum(map(len, lines[:-1])))
    clock.advance(5.0)
    writer.hear(said(TALK[0], run="r2")[0])
    assert writer.state().status == "kept", writer.state()
    writer.close()
assert writer.read().messages == (*TALK, TALK[0])
"""


def test_a_journal_that_may_not_be_written_is_read_and_goes_on_in_memory_until_it_may():
    with tempfile.TemporaryDirectory() as state_dir:  # pytest's own are closed to others
        subprocess.run([sys.executable, "-c", DENIED, state_dir], check=True, timeout=60)


def test_a_disk_that_fails_when_asked_to_keep_it_is_said(tmp_path, monkeypatch):
    def fail(_fd):
        raise OSError(5, "Input/output error")

    writer = create(tmp_path, fsync="always")
    monkeypatch.setattr(journal_file, "_sync", fail)
    writer.hear(said(TALK[0])[0])
    assert "Input/output error" in writer.state().reason
    writer.close()
    assert read_journal(writer.path).messages == TALK[:1]


def test_a_disk_that_hangs_neither_keeps_the_state_waiting_nor_those_who_offer(tmp_path, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def hang(_fd):
        begun.set()
        go.wait(10)

    writer = create(tmp_path, fsync="always")
    monkeypatch.setattr(journal_file, "_sync", hang)
    thread = threading.Thread(target=writer.hear, args=said(TALK[0]))
    thread.start()
    assert begun.wait(10)
    writer.offer(said(TALK[1])[0])
    assert writer.state().unwritten == 1
    go.set()
    thread.join(10)
    writer.close()
    assert read_journal(writer.path).messages == TALK[:2]


def test_many_threads_write_whole_lines(tmp_path):
    writer = create(tmp_path, fsync="never")
    threads = [threading.Thread(target=lambda: [writer.hear(event) for event in said(*TALK * 10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert len(read_journal(writer.path).messages) == 320
