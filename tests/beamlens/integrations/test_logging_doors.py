"""loguru and structlog reach the log ring, through a door or through `logging`."""

import logging

import loguru
import pytest
import structlog

from beamlens.domains.exception.recorder import ExceptionRecorder
from beamlens.domains.logger.recorder import LogRecorder
from beamlens.integrations import loguru as loguru_door
from beamlens.integrations.structlog import processor
from beamlens.probes import logtap


@pytest.fixture
def recorder():
    recorder, exceptions = LogRecorder(), ExceptionRecorder()
    recorder.install()
    exceptions.install()
    recorder.exceptions = exceptions
    yield recorder
    recorder.uninstall()
    exceptions.uninstall()


@pytest.fixture
def loguru_logger():
    loguru.logger.remove()
    loguru_door.init()
    yield loguru.logger
    loguru_door.remove()


@pytest.fixture
def structured():
    printed = []

    def keep(_log, _method, event):
        printed.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[processor, keep], cache_logger_on_first_use=False)
    yield structlog.get_logger(), printed
    structlog.reset_defaults()


def latest(recorder):
    return recorder.records()[0]


def test_a_record_of_loguru_is_kept_with_its_line(recorder, loguru_logger):
    loguru_logger.warning("order {} is late", 7)  # noqa: PLE1205 - not `logging`
    record = latest(recorder)
    assert (record.level, record.logger, record.text) == (logging.WARNING, __name__, "order 7 is late")
    assert (record.file, record.function) == (__file__, "test_a_record_of_loguru_is_kept_with_its_line")


def test_an_exception_of_loguru_is_kept(recorder, loguru_logger):
    try:
        raise LookupError("no such order")
    except LookupError:
        loguru_logger.exception("failed")
    assert latest(recorder).exception.type == "LookupError"
    (one,) = recorder.exceptions.recorded()
    assert one.text.place.function == "test_an_exception_of_loguru_is_kept"


def test_the_door_of_loguru_opens_once_and_closes(recorder, loguru_logger):
    loguru_door.init()
    loguru_logger.error("one")
    assert len(recorder.records()) == 1
    loguru_door.remove()
    loguru_door.remove()
    loguru_logger.error("two")
    assert len(recorder.records()) == 1


def test_the_door_of_loguru_opens_again_after_all_sinks_were_removed(recorder, loguru_logger):
    loguru.logger.remove()
    loguru_door.init()
    loguru_logger.error("one")
    assert len(recorder.records()) == 1


def test_without_a_listener_a_door_does_nothing(loguru_logger, structured):
    assert not logtap.installed()
    loguru_logger.error("one")
    structured[0].error("two")
    assert structured[1] == [{"event": "two"}]


def test_an_event_of_structlog_is_kept_with_its_line_and_passed_on(recorder, structured):
    log, printed = structured
    log.error("order late", order=7)
    record = latest(recorder)
    assert (record.level, record.logger, record.text) == (logging.ERROR, __name__, "order late order=7")
    assert (record.file, record.function) == (
        __file__, "test_an_event_of_structlog_is_kept_with_its_line_and_passed_on",
    )  # fmt: skip
    assert printed == [{"event": "order late", "order": 7}]


@pytest.mark.parametrize("how", ["exception", "exc_info", "instance"])
def test_an_exception_of_structlog_is_kept(recorder, structured, how):
    log, _printed = structured
    try:
        raise LookupError("no such order")
    except LookupError as error:
        if how == "exception":
            log.exception("failed")
        else:
            log.error("failed", exc_info=True if how == "exc_info" else error)
    assert latest(recorder).exception.type == "LookupError"
    assert latest(recorder).level == logging.ERROR
    assert len(recorder.exceptions.recorded()) == 1


def test_a_value_that_cannot_be_shown_does_not_harm_the_log_call(recorder, structured):
    class Mute:
        def __repr__(self):
            raise RuntimeError("no")

    log, printed = structured
    log.error("order", value=Mute())
    assert len(printed) == 1


def test_structlog_over_logging_needs_no_door(recorder):
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    try:
        structlog.get_logger("shop").error("order late")
    finally:
        structlog.reset_defaults()
    assert (latest(recorder).logger, latest(recorder).text) == ("shop", "order late")
    assert len(recorder.records()) == 1
