from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.control.errors import ProtocolError
from beamlens.control.frames import FrameReader, frame

MOST = 2_000
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.dictionaries(st.text(max_size=8), PLAIN, max_size=4)


def cut(data, sizes):
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def taken(reader):
    found = []
    while (message := reader.take()) is not None:
        found.append(message)
    return found


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(1, 50), max_size=30))
def test_messages_arrive_whole_and_in_order_however_they_are_cut(messages, sizes):
    reader, found = FrameReader(100_000), []
    for piece in cut(b"".join(frame(one, 100_000) for one in messages), sizes):
        reader.feed(piece)
        found += taken(reader)
    assert (found, reader.pending) == (messages, 0)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_garbage_is_a_protocol_error_or_waited_for_and_never_more_is_held_than_the_bound(pieces):
    reader = FrameReader(MOST)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert reader.pending <= 2 * (MOST + 4)
            assert all(isinstance(one, dict) for one in taken(reader))
    except ProtocolError:
        pass


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_a_frame_of_garbage_is_a_protocol_error_or_a_map_with_names(body):
    reader = FrameReader(MOST)
    reader.feed(len(body).to_bytes(4, "big") + body)
    try:
        message = reader.take()
    except ProtocolError:
        return
    assert all(isinstance(key, str) for key in message)


@settings(deadline=None)
@given(MESSAGES, st.data())
def test_a_flipped_byte_is_a_protocol_error_or_another_message_and_nothing_else(message, data):
    body = bytearray(frame(message, 100_000))
    at = data.draw(st.integers(4, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    reader = FrameReader(100_000)
    reader.feed(bytes(body))
    try:
        assert isinstance(reader.take(), dict)
    except ProtocolError:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 1500,  # lists in lists
        msgpack.packb([1]),
        msgpack.packb({1: 2}),
        msgpack.packb({"a": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"a": 1}) + b"x",
        b"\x81\x91\x01\x01",  # a list as a key
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries
        b"\xd9\x02\xff\xff",
        b"",
    ],
)
def test_what_is_no_map_with_names_is_refused(body):
    reader = FrameReader(MOST)
    reader.feed(len(body).to_bytes(4, "big") + body)
    with pytest.raises(ProtocolError):
        reader.take()


def test_a_frame_that_announces_too_much_is_refused_before_it_comes():
    with pytest.raises(ProtocolError, match="a frame of 2001 bytes was announced; at most 2000 are taken"):
        FrameReader(MOST).feed((MOST + 1).to_bytes(4, "big"))


def test_more_than_one_frame_and_one_piece_is_refused():
    reader = FrameReader(MOST)
    for _ in range(3):
        reader.feed(frame({"a": "x" * 1000}, MOST))
    with pytest.raises(ProtocolError, match="more was sent than was asked for"):
        reader.feed(frame({"a": "x" * 1000}, MOST))


@pytest.mark.parametrize("message", [{"a": "x" * 5000}, {"a": object()}, {"a": 2**70}])
def test_a_message_that_cannot_be_sent_is_refused(message):
    with pytest.raises(ProtocolError):
        frame(message, MOST)


def test_a_name_that_is_no_utf8_is_sent_with_its_bytes_shown():
    reader = FrameReader(MOST)
    reader.feed(frame({"name": "a\udcff"}, MOST))
    assert reader.take() == {"name": "a\\udcff"}
