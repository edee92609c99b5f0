from __future__ import annotations

import os
import threading
import time

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.lua.channel import MOST_MESSAGE, Channel, WorkerGone


@pytest.fixture
def far():
    """A channel, and the far ends of its pipes: to read from, to write to."""
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    open_ends = {down_read, down_write, up_read, up_write}
    yield Channel(up_read, down_write), down_read, up_write, open_ends
    for end in open_ends:
        os.close(end)


def soon():
    return time.monotonic() + 20


def frame(body):
    return len(body).to_bytes(4, "big") + body


def test_messages_come_back_as_they_were_sent(far):
    channel, read, write, _ = far
    channel.send({"a": [1, "ü", None, 1.5, b"x"]}, soon())
    os.write(write, os.read(read, 1000))
    assert channel.receive(soon()) == {"a": [1, "ü", None, 1.5, b"x"]}


def test_a_message_larger_than_the_pipe_passes_in_parts(far):
    channel, read, write, _ = far
    text = "x" * 1_000_000

    def echo():
        left = len(frame(msgpack.packb({"t": text})))
        while left:
            part = os.read(read, 1 << 16)
            left -= len(part)
            os.write(write, part)

    thread = threading.Thread(target=echo)
    received = []
    reader = threading.Thread(target=lambda: received.append(channel.receive(soon())))
    thread.start()
    reader.start()
    channel.send({"t": text}, soon())
    thread.join(20)
    reader.join(20)
    assert received == [{"t": text}]


def test_nobody_reads_or_writes_and_the_deadline_ends_the_wait(far):
    channel, _, _, _ = far
    with pytest.raises(TimeoutError):
        channel.receive(time.monotonic() + 0.01)
    with pytest.raises(TimeoutError):
        channel.send({"t": "x" * 1_000_000}, time.monotonic() + 0.01)


def test_the_far_end_closes_and_the_worker_is_gone(far):
    channel, read, write, open_ends = far
    for end in (read, write):
        os.close(end)
        open_ends.discard(end)
    with pytest.raises(WorkerGone):
        channel.receive(soon())
    with pytest.raises(WorkerGone):
        channel.send({}, soon())


@pytest.mark.parametrize(
    "data",
    [
        (MOST_MESSAGE + 1).to_bytes(4, "big"),
        frame(b""),
        frame(b"\xc1"),
        frame(msgpack.packb([1])),
        frame(msgpack.packb({"a": 1}) + b"more"),
        frame(b"\x91" * 100_000),
        frame(b"\x81\xa1a\xa2\xff\xff"),
        frame(b"\x81\x90\x01"),
        frame(b"\x81\xa1a\x81\x80\x01"),
        frame(b"\xdd\xff\xff\xff\xff"),
    ],
)
def test_what_is_no_message_ends_the_conversation(far, data):
    channel, _, write, open_ends = far

    def write_all():
        left = memoryview(data)
        while left:
            left = left[os.write(write, left) :]

    thread = threading.Thread(target=write_all)
    thread.start()
    with pytest.raises(WorkerGone):
        channel.receive(soon())
    thread.join(20)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_the_end(data):
    up_read, up_write = os.pipe()
    down_read, down_write = os.pipe()
    try:
        os.write(up_write, frame(data))
        os.close(up_write)
        try:
            message = Channel(up_read, down_write).receive(soon())
        except WorkerGone:
            return
        assert isinstance(message, dict)
    finally:
        for end in (up_read, down_read, down_write):
            os.close(end)
