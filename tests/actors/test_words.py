"""Foreign exceptions and values are told in words, whatever their own code does."""

from __future__ import annotations

from beamlens_actors import ActorCrashed, Crash, ReplyError
from beamlens_actors.words import in_words, shown, text_of


class Mute(Exception):
    def __str__(self):
        raise ValueError

    __repr__ = __str__


def test_an_exception_is_told_as_its_type_and_what_it_says():
    assert in_words(KeyError("shelf")) == "KeyError: 'shelf'"


def test_one_that_cannot_be_told_is_still_named():
    assert in_words(Mute()) == "Mute: <no text: __str__ failed>"
    assert text_of(Mute()) == "<no text: __str__ failed>"
    assert shown(Mute()) == "<Mute: __repr__ failed>"


def test_errors_and_reasons_that_carry_such_a_one_can_be_made_and_shown():
    assert str(ActorCrashed(Mute())) == "the actor was ended by <Mute: __repr__ failed>"
    assert str(ReplyError(Mute())) == "<no text: __str__ failed>"
    assert repr(Crash(Mute())) == "Crash(exception=<Mute: __repr__ failed>)"
    assert repr(Crash(KeyError(1))) == "Crash(exception=KeyError(1))"
