from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import threading

import pytest

from beamlens.probes import logtap
from beamlens.probes.logtap import LogText


@pytest.fixture
def tapped():
    found = []

    def sink(fields):
        found.append(logtap.log_text(fields))

    logtap.add(sink)
    yield found
    logtap.remove(sink)


@pytest.fixture
def log():
    logger = logging.getLogger("host.orders")
    logger.setLevel(logging.DEBUG)
    return logger


def test_a_record_is_read_as_text_with_its_place(tapped, log):
    log.info("order %s took %d ms", "a", 5)
    (record,) = tapped
    assert (record.logger, record.level, record.text) == ("host.orders", logging.INFO, "order a took 5 ms")
    assert (record.file, record.function) == (__file__, "test_a_record_is_read_as_text_with_its_place")
    assert record.exception is None


def test_a_logger_that_does_not_propagate_is_read_too(tapped, log):
    log.propagate = False
    try:
        log.warning("x")
    finally:
        log.propagate = True
    assert len(tapped) == 1


def test_what_the_hosts_levels_hold_back_is_not_read(tapped, log):
    log.setLevel(logging.ERROR)
    log.info("x")
    assert tapped == []


def test_our_own_records_are_left_out(tapped):
    logging.getLogger("beamlens.watcher").error("x")
    assert tapped == []


def test_basic_config_still_works_while_tapped(tapped):
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        logging.basicConfig()
        assert len(root.handlers) == 1
    finally:
        root.handlers = before


def test_an_exception_is_kept_as_text(tapped, log):
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("failed")
    (record,) = tapped
    assert (record.exception.type, record.exception.message) == ("ValueError", "wrong")
    assert record.exception.place.file == __file__


def test_a_str_that_logs_does_not_go_round_and_one_that_fails_does_not_reach_the_host(tapped, log):
    class Logs:
        def __str__(self):
            log.info("inner")
            return "outer"

    class Fails:
        def __str__(self):
            raise RuntimeError

    handlers, log.handlers, log.propagate = log.handlers, [logging.NullHandler()], False
    try:
        log.info("%s", Logs())
        log.info("%s", Fails())
    finally:
        log.handlers, log.propagate = handlers, True
    assert [record.text for record in tapped] == ["outer", "%s [not formatted: RuntimeError]"]


def test_what_logs_while_it_is_made_text_in_a_mapping_or_by_its_keys_does_not_go_round(tapped, quiet):
    class Logs:
        def __str__(self):
            quiet.info("inner")
            return "outer"

    class Mapping(dict):
        def __getitem__(self, key):
            quiet.info("inner")
            return key

        def __iter__(self):
            quiet.info("inner")
            return super().__iter__()

    quiet.info("%(who)s", {"who": Logs()})
    quiet.info("%(who)s", Mapping(who=1))
    quiet.info("%s of %s", 1, Logs())
    assert [record.text for record in tapped] == ["outer", "who", "1 of outer"]


def test_another_thread_is_read_while_one_makes_text_of_an_object(tapped, quiet):
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        def __str__(self):
            inside.set()
            go_on.wait(20)
            return "slow"

    thread = threading.Thread(target=lambda: quiet.info("%s", Slow()))
    thread.start()
    assert inside.wait(20)
    quiet.info("meanwhile")
    go_on.set()
    thread.join()
    quiet.info("after")
    assert [record.text for record in tapped] == ["meanwhile", "slow", "after"]


def test_names_of_loggers_without_end_are_read_and_not_kept(tapped, quiet):
    for number in range(2500):
        record = logging.LogRecord(f"host.{number}", logging.INFO, __file__, 1, "x", (), None)
        quiet.handle(record)
    quiet.handle(logging.LogRecord("beamlens.any", logging.INFO, __file__, 1, "x", (), None))
    assert [record.logger for record in tapped] == [f"host.{number}" for number in range(2500)]
    assert len(logtap._hosts_loggers) <= 1000


def test_a_wrong_format_string_does_not_reach_the_host(tapped, log):
    handlers, log.handlers, log.propagate = log.handlers, [logging.NullHandler()], False
    try:
        log.info("%d", "x")
    finally:
        log.handlers, log.propagate = handlers, True
    assert tapped[0].text == "%d [not formatted: TypeError]"


def test_a_long_text_is_cut(tapped, log):
    log.info("x" * 10_000)
    assert len(tapped[0].text) == 2048


@pytest.mark.parametrize("args", [("x" * 100_000,), tuple("x" * 200 for _ in range(1000)), ("x" * 200,) * 10])
def test_what_is_kept_of_a_record_is_bounded_whatever_its_arguments(quiet, args):
    kept = []
    logtap.add(kept.append)
    quiet.info("%s " * len(args), *args)
    logtap.remove(kept.append)
    (fields,) = kept
    assert len(repr(fields[3])) < 2500
    assert logtap.log_text(fields).text == ("%s " * len(args) % args)[:2048]


def test_a_sink_that_raises_harms_neither_host_nor_other_sinks(tapped, log):
    def broken(_fields, _error):
        raise RuntimeError

    logtap.add(broken)
    later = []
    logtap.add(sink := lambda fields: later.append(fields))
    log.info("x")
    logtap.remove(broken)
    logtap.remove(sink)
    assert len(tapped) == len(later) == 1


def test_the_last_sink_puts_the_method_back():
    original = logging.Logger.callHandlers
    first, second = (lambda *_: None), (lambda *_: None)
    logtap.add(first)
    logtap.add(second)
    logtap.remove(first)
    assert logging.Logger.callHandlers is not original
    logtap.remove(second)
    assert logging.Logger.callHandlers is original


def test_if_somebody_wrapped_it_after_us_ours_passes_through(log):
    original = logging.Logger.callHandlers
    found = []
    logtap.add(sink := lambda fields: found.append(fields))
    ours = logging.Logger.callHandlers
    logging.Logger.callHandlers = lambda self, record: ours(self, record)
    try:
        logtap.remove(sink)
        log.info("x")
        assert found == []
        assert not logtap.installed()
    finally:
        logging.Logger.callHandlers = original
        logtap._original = None


def test_ten_threads_lose_no_record(tapped, log):
    def work(name):
        for number in range(200):
            log.debug("%s-%d", name, number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.text for record in tapped}) == 2000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_nothing_is_read_after_it_was_told(tapped, log):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        logtap.after_fork()
        log.info("child")
        os.write(write, str(len(tapped)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"0"
    os.close(read)
    os.close(write)


@pytest.fixture
def quiet():
    """A logger that nobody else knows: the test runner's own handlers would fail, or keep what they get."""
    logger = logging.Logger("host.alone")  # noqa: LOG001
    logger.addHandler(logging.NullHandler())
    return logger


def test_a_wrapper_that_copied_our_attributes_is_not_taken_for_ours():
    original = logging.Logger.callHandlers
    logtap.add(sink := lambda *_: None)
    ours = logging.Logger.callHandlers

    @functools.wraps(ours)
    def theirs(self, record):
        ours(self, record)

    logging.Logger.callHandlers = theirs
    try:
        logtap.remove(sink)
        assert logging.Logger.callHandlers is theirs
    finally:
        logging.Logger.callHandlers = original


def test_when_somebody_put_another_method_in_the_next_add_reads_again_and_nothing_twice(quiet):
    original = logging.Logger.callHandlers
    found = []
    logtap.add(sink := lambda fields: found.append(fields))
    ours = logging.Logger.callHandlers
    try:
        logging.Logger.callHandlers = lambda self, record: ours(self, record)
        logtap.add(sink)
        quiet.info("wrapped")
        assert len(found) == 1
        logging.Logger.callHandlers = original
        quiet.info("our tap is gone")
        assert len(found) == 1
        logtap.add(sink)
        quiet.info("and here again")
        assert len(found) == 2
    finally:
        logtap.remove(sink)
        logging.Logger.callHandlers = original


@pytest.mark.parametrize(
    "odd",
    [{"name": None}, {"exc_info": True}, {"exc_info": (None, None, None)}, {"exc_info": ("a",)}, {"args": {"a": 1}}],
)
def test_a_record_made_by_hand_is_read_and_cannot_hurt_the_host(tapped, quiet, odd):
    quiet.handle(logging.makeLogRecord({"name": "host", "msg": "x", "levelno": 40} | odd))
    assert len(tapped) == 1
    assert tapped[0].level == 40


def test_a_record_class_that_formats_otherwise_is_asked(tapped, quiet):
    class Braces(logging.LogRecord):
        def getMessage(self):
            return str(self.msg).format(*self.args)

    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Braces)
    try:
        quiet.info("{} of {}", 3, 5)
    finally:
        logging.setLogRecordFactory(factory)
    assert tapped[0].text == "3 of 5"


def test_nothing_but_plain_text_is_kept_of_a_message(tapped, quiet):
    class Text(str):
        __slots__ = ()

        def __str__(self):
            return self

    class Message:
        def __str__(self):
            return Text("built")

    quiet.info(Message())
    quiet.info(Text("whole"))
    quiet.info("%s", Text("part"))
    assert [(type(record.text), record.text) for record in tapped] == [(str, "built"), (str, "whole"), (str, "part")]


def test_an_exception_that_cannot_be_described_costs_no_record(tapped, quiet):
    class Odd(Exception):
        def __bool__(self):
            raise RuntimeError

    lost = logtap.lost()
    try:
        try:
            raise Odd
        except Odd as odd:
            raise KeyError("k") from odd
    except KeyError:
        quiet.error("x", exc_info=True)
    assert [record.text for record in tapped] == ["x"]
    assert tapped[0].exception is not None or logtap.lost() == lost + 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_what_must_not_be_swallowed_is_not_and_reading_goes_on_after_it(tapped, quiet, stop):
    class Stops:
        def __str__(self):
            raise stop

    for message, args in (("%s", (Stops(),)), (Stops(), ())):
        with pytest.raises(stop):
            quiet.info(message, *args)
    try:
        raise ValueError(Stops())
    except ValueError:
        with pytest.raises(stop):
            quiet.error("x", exc_info=True)
    quiet.info("after")
    assert [record.text for record in tapped] == ["after"]


def test_a_group_of_exceptions_is_read(tapped, quiet):
    try:
        raise ExceptionGroup("two", [ValueError(1), OSError(2)])
    except ExceptionGroup:
        quiet.exception("x")
    assert tapped[0].exception.type == "ExceptionGroup"


def test_a_failing_sink_is_counted(quiet):
    def broken(_fields, _error):
        raise RuntimeError

    before = logtap.lost()
    logtap.add(broken)
    quiet.info("x")
    logtap.remove(broken)
    assert logtap.lost() == before + 1


def test_records_at_the_very_end_of_the_interpreter_do_no_harm():
    # Modules are cleared in the reverse order of their import: what `middle` holds dies after ours, before logging.
    program = """
import logging, os, sys, types
log = logging.getLogger("host")
log.addHandler(logging.NullHandler())
class Late:
    def __del__(self, log=log, write=os.write, modules=sys.modules):
        log.error("late %s", 1)
        try:
            raise ValueError("late")
        except ValueError:
            log.error("late", exc_info=True)
        write(1, b"logged\\n")
        raise OSError("for the hook")
middle = sys.modules["middle"] = types.ModuleType("middle")
middle.late = Late()
from beamlens.probes import logtap, hooks
logtap.add(lambda fields: None)
hooks.add(lambda *info: None)
del middle, Late
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout == "logged\n"
    assert done.stderr.splitlines()[-1] == "OSError: for the hook"
    assert done.stderr.count("Error") == 1


class Told:
    """An error sink, and what a record's argument was asked."""

    def __init__(self):
        self.errors = []
        self.formatted = 0

    def take(self, error, text, level, thread, route, trace_id):
        self.errors.append((error, text.message, level, thread, route, trace_id))

    def __str__(self):
        self.formatted += 1
        return "argument"


@pytest.fixture
def told():
    found = Told()
    logtap.add_error_sink(found.take)
    logtap.add_error_sink(found.take)
    yield found
    logtap.remove(found.take)


def test_who_wants_exceptions_only_gets_them_once_and_no_message_is_formatted_for_it(told, quiet):
    error = ValueError("wrong")
    quiet.warning("no exception: %s", told)
    quiet.error("failed: %s", told, exc_info=error)
    assert told.errors == [(error, "wrong", logging.ERROR, "MainThread", "", "")]
    assert told.formatted == 0


def test_a_record_of_another_library_tells_its_exception_too(told):
    error = ValueError("wrong")
    record = LogText(0.0, logging.ERROR, "host", "failed", "/a.py", 1, "f", None)
    logtap.hand_in(record, error)
    logtap.hand_in(record)
    assert told.errors == [(error, "wrong", logging.ERROR, "MainThread", "", "")]


def test_an_error_sink_that_raises_is_counted_and_harms_nobody(told, quiet):
    def broken(*_told):
        raise RuntimeError

    logtap.add_error_sink(broken)
    before = logtap.lost()
    try:
        quiet.error("failed", exc_info=ValueError("wrong"))
        logtap.hand_in(LogText(0.0, 40, "host", "failed", "/a.py", 1, "f", None), ValueError("wrong"))
    finally:
        logtap.remove(broken)
    assert logtap.lost() == before + 2
    assert len(told.errors) == 2
