from __future__ import annotations

import json

import pytest

from beamlens.agent.journal import (
    JournalCorrupt,
    JournalTooNew,
    journal_path,
    list_journals,
    read_journal,
)
from tests.support.journals import SETUP, TALK, ended, resume, said, write


def test_a_journal_holds_what_was_said_and_what_is_needed_to_run_again(tmp_path):
    journal = read_journal(write(tmp_path))
    assert journal.messages == TALK
    assert (journal.session_id, journal.setup, journal.header.version) == ("s", SETUP, 1)
    assert (journal.torn, journal.note) == (0, "")
    assert {call: output.content for call, output in journal.results.items()} == {"call_1": '{"sum": 2}'}


def test_runs_are_apart_with_their_ends(tmp_path):
    events = [*said(*TALK), ended(), *said(TALK[0], run="r2")]
    one, two = read_journal(write(tmp_path, events=events)).runs
    assert (one.run_id, one.messages, one.end.stopped_by) == ("r1", TALK, "answered")
    assert (two.run_id, two.messages, two.end) == ("r2", TALK[:1], None)


def test_a_half_written_last_line_is_dropped_at_every_byte_with_a_note_and_cut_off_before_the_next_append(tmp_path):
    whole = write(tmp_path, "whole").read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for end in range(begin, len(whole)):
        state_dir = tmp_path / str(end)
        path = write(state_dir)
        path.write_bytes(whole[:end].replace(b'"whole"', b'"s"'))
        gone = end - begin
        journal = read_journal(path)
        assert (journal.messages, journal.torn, len(journal.records)) == (TALK, gone, 4)
        assert (f"{gone} bytes" in journal.note) == bool(gone)
        writer, found = resume(state_dir)
        assert found.torn == gone
        writer.hear(ended())
        writer.close()
        again = read_journal(path)
        assert (again.messages, again.torn, len(again.records)) == (TALK, 0, 5)


@pytest.mark.parametrize("tail", [b"\0\0\0\0", b"\0" * 40 + b"\n", b'{"type":"message"\n', b"\xff\xfe\n"])
def test_a_last_line_that_is_rubbish_is_dropped_too(tmp_path, tail):
    path = write(tmp_path)
    with path.open("ab") as file:
        file.write(tail)
    assert (read_journal(path).messages, read_journal(path).torn) == (TALK, len(tail))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"type": "mess\n', "no JSON"),
        (b"\n", "no JSON"),
        (b"[1]\n", "no JSON object"),
        (b'{"n": 2}\n', "at is missing or no time"),
        (b'{"n": 2, "at": "today", "type": "message"}\n', "at is missing or no time"),
        (b'{"n": 2, "at": "2026-01-01T00:00:00+00:00"}\n', "no type"),
        (b'{"n": 2, "at": "2026-01-01T00:00:00+00:00", "type": "message"}\n', "message is missing"),
        (b'{"n": 7, "at": "2026-01-01T00:00:00+00:00", "type": "message"}\n', "a line is missing or repeated"),
        (b"", "a line is missing or repeated"),
    ],
)
def test_a_corrupt_line_in_the_middle_is_an_error_that_names_file_and_line(tmp_path, broken, reason):
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], broken, *lines[3:]]))
    with pytest.raises(JournalCorrupt, match=reason) as caught:
        read_journal(path)
    assert (caught.value.path, caught.value.line) == (path, 3)
    assert f"{path}, line 3: " in str(caught.value)
    with pytest.raises(JournalCorrupt):
        resume(tmp_path)
    assert path.read_bytes() == b"".join([*lines[:2], broken, *lines[3:]])


@pytest.mark.parametrize("role", ["system", "tool", ""])
def test_a_role_that_nobody_knows_is_corrupt(tmp_path, role):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"role":"user"', f'"role":"{role}"'.encode(), 1))
    with pytest.raises(JournalCorrupt, match="role"):
        read_journal(path)


def test_a_block_that_nobody_knows_is_corrupt(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"type":"text"', b'"type":"image"', 1))
    with pytest.raises(JournalCorrupt, match="no block of type 'image'"):
        read_journal(path)


def test_records_of_a_type_that_is_not_known_are_left_to_those_who_know_them(tmp_path):
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    note = {"type": "note", "n": len(lines), "at": "2026-01-01T00:00:00+00:00", "text": "from later"}
    path.write_bytes(b"".join([*lines, json.dumps(note).encode() + b"\n"]))
    assert read_journal(path).messages == TALK
    writer, _ = resume(tmp_path)
    writer.hear(said(TALK[0], run="r2")[0])
    writer.close()
    assert read_journal(path).messages == (*TALK, TALK[0])


def test_a_newer_version_is_refused_with_the_version_and_those_that_can_be_read(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2', 1))
    before = path.read_bytes()
    for attempt in (lambda: read_journal(path), lambda: resume(tmp_path)):
        with pytest.raises(JournalTooNew, match="format version 2; this version of Beamlens reads 1") as caught:
            attempt()
        assert (caught.value.found, caught.value.readable) == (2, (1,))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"hello\n", b'{"type":"session"', b'{"format":"other","version":1}\n']
)
def test_what_is_no_journal_is_said_with_its_first_line(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt) as caught:
        read_journal(path)
    assert caught.value.line == 1


@pytest.mark.parametrize("field", ["session_id", "created_at", "pid", "setup"])
def test_a_header_that_lacks_a_field_names_it(tmp_path, field):
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    header = json.loads(lines[0])
    del header[field]
    path.write_bytes(b"".join([json.dumps(header).encode() + b"\n", *lines[1:]]))
    with pytest.raises(JournalCorrupt, match=f"line 1: {field}"):
        read_journal(path)


def test_journals_are_listed_newest_first_whatever_else_is_there(tmp_path):
    assert list_journals(tmp_path) == []
    paths = [write(tmp_path, name) for name in ("a", "../b", "c" * 500)]
    (paths[0].parent / "other.jsonl").write_text("hello")
    (paths[0].parent / "empty.jsonl").touch()
    found = list_journals(tmp_path)
    assert [stored.session_id for stored in found] == ["c" * 500, "../b", "a"]
    assert [stored.path for stored in found] == paths[::-1]
    assert found[0].size == paths[-1].stat().st_size


@pytest.mark.parametrize(
    "session_id",
    ["s", "../../etc/passwd", "/", ".", "..", "a/b\\c", "x" * 5000, "ünï\n\0", "CON", "\udcff", "-rf", " "],
)
def test_any_session_id_has_a_file_in_the_folder(tmp_path, session_id):
    path = write(tmp_path, session_id)
    assert path.parent == tmp_path / "sessions"
    assert path.is_file()
    assert len(path.name) <= 90
    assert read_journal(path).session_id == session_id


def test_ids_that_differ_in_case_or_in_what_is_left_out_have_different_files(tmp_path):
    names = {journal_path(tmp_path, name).name.lower() for name in ("A", "a", "a/", "a\\", "a_", "x" * 99, "x" * 98)}
    assert len(names) == 7
