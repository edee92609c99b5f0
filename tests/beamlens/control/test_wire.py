from __future__ import annotations

import dataclasses
import enum
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.control import ProtocolError, RemoteError
from beamlens.control.wire import error_from_wire, error_to_wire, plain, status_from_wire, status_to_wire
from beamlens.findings import AgentStatus
from beamlens_actors import ActorDead, AskTimeout

STATUS = AgentStatus("ets", "watcher", "warning", 3, True, 7, 2, ("a", "b"), "wait", "offline", 12.5, 1)
NAMES = [field.name for field in dataclasses.fields(AgentStatus)]


def test_a_status_comes_back_the_same():
    assert status_from_wire(msgpack.unpackb(msgpack.packb(status_to_wire(STATUS)))) == STATUS


@pytest.mark.parametrize("name", NAMES)
def test_a_status_that_lacks_a_field_is_refused(name):
    data = status_to_wire(STATUS)
    del data[name]
    with pytest.raises(ProtocolError, match=f"came without {name}"):
        status_from_wire(data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [{}, [1], b"x"])
def test_a_status_with_a_field_of_another_type_is_refused(name, value):
    with pytest.raises(ProtocolError, match=f"came with {name}"):
        status_from_wire({**status_to_wire(STATUS), name: value})


@settings(deadline=None)
@given(st.none() | st.lists(st.integers()) | st.dictionaries(st.text(), st.none() | st.text() | st.integers()))
def test_what_is_no_status_is_a_protocol_error(data):
    with pytest.raises(ProtocolError):
        status_from_wire(data)


@pytest.mark.parametrize("error", [ActorDead("gone"), AskTimeout("late"), TimeoutError("slow"), ProtocolError("no")])
def test_an_error_that_both_sides_know_is_raised_as_itself(error):
    found = error_from_wire(error_to_wire(error))
    assert (type(found), str(found)) == (type(error), str(error))


class Broken(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"), [(KeyError("x"), "KeyError: 'x'"), (Broken(), "Broken"), (SystemExit(3), "SystemExit: 3")]
)
def test_any_other_error_is_named(error, text):
    found = error_from_wire(error_to_wire(error))
    assert (type(found), str(found)) == (RemoteError, text)


@pytest.mark.parametrize("data", [None, {}, {"type": 1, "message": ""}, {"type": "ActorDead"}])
def test_an_error_that_is_none_is_a_protocol_error(data):
    assert type(error_from_wire(data)) is ProtocolError


def test_a_name_of_a_class_is_never_looked_up():
    assert type(error_from_wire({"type": "os.system", "message": "true"})) is RemoteError


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("code of the host")


def test_values_of_the_host_become_plain_ones():
    deep = deepest = []
    for _ in range(100):
        deepest.append([])
        deepest = deepest[0]
    found = plain(
        {
            "enum": Colour.RED,
            "text": Text("t"),
            "big": 2**70,
            "nan": math.nan,
            "object": object(),
            "tuple": (1, 2.5, None, True),
            3: "number as a name",
            "bytes": b"x",
            "deep": deep,
        }
    )
    assert {**found, "deep": None} == {
        "enum": "red",
        "text": "t",
        "big": "<int of 71 bits>",
        "nan": None,
        "object": "<object>",
        "tuple": [1, 2.5, None, True],
        "3": "number as a name",
        "bytes": "<bytes>",
        "deep": None,
    }
    msgpack.packb(found)
