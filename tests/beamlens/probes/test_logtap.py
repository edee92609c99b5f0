from __future__ import annotations

import logging
import os
import threading

import pytest

from beamlens.probes import logtap
from beamlens.probes.logtap import LogText


@pytest.fixture
def tapped():
    found = []

    def sink(fields, error):
        found.append(LogText._make(fields))

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


def test_a_sink_that_raises_harms_neither_host_nor_other_sinks(tapped, log):
    def broken(_fields, _error):
        raise RuntimeError

    logtap.add(broken)
    later = []
    logtap.add(sink := lambda fields, _error: later.append(fields))
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
    logtap.add(sink := lambda fields, _error: found.append(fields))
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
