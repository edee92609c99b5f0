"""An exception as text."""

import gc
import threading
import traceback
import weakref

import pytest

from beamlens.probes import exceptions
from beamlens.probes.exceptions import describe


def fail(depth):
    if depth == 0:
        raise LookupError(
            "no such order",
        )
    return (
        1
        + fail(depth - 1)
    )  # fmt: skip


def caught(call):
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("depth", [0, 1, 9])
def test_frames_are_those_of_the_traceback_innermost_first(depth):
    error = caught(lambda: fail(depth))
    expected = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    frames = describe(error).frames
    assert [(frame.file, frame.line) for frame in frames] == expected[::-1]
    assert frames[0].function == "fail"


def test_the_innermost_64_frames_are_kept():
    error = caught(lambda: fail(200))
    frames = describe(error).frames
    assert len(frames) == 64
    assert frames[0].line == traceback.extract_tb(error.__traceback__)[-1].lineno


def test_a_frame_in_a_loop_is_told_at_the_line_where_it_stood():
    def walk():
        for number in (1, 0):
            1 / number
            str(number)

    frame = describe(caught(walk)).frames[0]
    assert frame.line == walk.__code__.co_firstlineno + 2


def test_frames_of_ours_are_known_as_ours():
    from beamlens.testing import check_domain

    error = caught(lambda: check_domain(object()))
    modules = {frame.function: frame.module for frame in describe(error).frames}
    assert modules["check_domain"] == "beamlens"
    assert modules["caught"] == ""
    assert describe(error).place.function == "test_frames_of_ours_are_known_as_ours.<locals>.<lambda>"


def test_the_sample_service_is_a_program_like_any_other():
    import beamlens.demo.shop.payments as payments

    frame = exceptions.at_instruction(payments.__loader__.get_code(payments.__name__), 0)
    assert frame.file.endswith("payments.py")
    assert frame.module == ""


class Order:
    """What a request is about."""


def refusal(order):
    """An exception of a class that nobody else holds, with `order` in its frames."""

    class Refused(Exception):
        pass

    def refuse(held):
        raise Refused(type(held).__name__)

    return caught(lambda: refuse(order))


def test_nothing_of_the_exception_is_kept_alive():
    order = Order()
    error = refusal(order)
    gone, kind = weakref.ref(order), weakref.ref(type(error))
    text = describe(error)
    assert (text.message, text.frames[0].function) == ("Order", "refusal.<locals>.refuse")
    del order, error
    gc.collect()
    assert (gone(), kind()) == (None, None)


def test_causes_are_told_nearest_first_and_a_circle_ends():
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert describe(first).chain == ("KeyError: 'b'",)


def test_a_hidden_context_is_left_out():
    def hide():
        try:
            raise ValueError("secret")
        except ValueError:
            raise KeyError("shown") from None

    assert describe(caught(hide)).chain == ()


def test_an_exception_that_has_no_text_says_so():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert describe(Mute()).message == "<no text: __str__ failed>"


def test_many_threads_can_describe_new_classes_at_once():
    classes = [type(f"E{number}", (ValueError,), {}) for number in range(200)]
    found = []

    def work():
        found.extend(describe(cls("x")).type.rpartition(".")[2] for cls in classes)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == sorted([cls.__name__ for cls in classes] * 4)
