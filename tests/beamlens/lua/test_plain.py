from __future__ import annotations

import json
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.lua.plain import MOST_TEXT, MOST_VALUES, NotPlain, plain


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Loud(str):
    __slots__ = ()

    def __str__(self):
        raise AssertionError("the host's code was called")


def test_subclasses_become_what_they_stand_for():
    found = plain(OrderedDict(colour=Colour.RED, level=Level.HIGH, pair=(1, True), loud=Loud("x")))
    assert found == {"colour": "red", "level": 3, "pair": [1, True], "loud": "x"}
    assert [type(value) for value in found.values()] == [str, int, list, str]
    assert type(found) is dict


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "a set, which is no JSON value"),
        ([Decimal(1)], "a Decimal, which"),
        (b"x", "a bytes, which"),
        ({(1, 2): 3}, "a key that is a tuple"),
        ({None: 3}, "a key that is a NoneType"),
        ("x" * (MOST_TEXT + 1), "larger than 1 MB"),
        ({"x" * MOST_TEXT: "y"}, "larger than 1 MB"),
        (list(range(MOST_VALUES)), "more than 50000 values"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_its_type(value, words):
    with pytest.raises(NotPlain, match=words):
        plain(value)


def test_a_circle_is_refused():
    circle: list = []
    circle.append(circle)
    with pytest.raises(NotPlain, match="in a circle"):
        plain(circle)


@pytest.mark.parametrize(("value", "found"), [(2**63, 2.0**63), (-(2**63), -(2**63)), (10**400, float("inf"))])
def test_whole_numbers_beyond_64_bits_become_floats(value, found):
    assert plain(value) == found
    assert type(plain(value)) is type(found)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(_json)
def test_json_passes_unchanged(value):
    assert json.dumps(plain(value)) == json.dumps(value)
