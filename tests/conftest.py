"""Every test leaves logging as it found it: the suite runs in random order in one process."""

import logging

import pytest

import threadlog

METHODS = ("handle", "format", "setFormatter")


def disabled():
    loggers = list(logging.root.manager.loggerDict.items())
    return [name for name, logger in loggers if getattr(logger, "disabled", False)]


@pytest.fixture(autouse=True)
def logging_is_left_as_found():
    methods = {name: getattr(logging.Handler, name) for name in METHODS}
    last_resort, formatter = logging.lastResort, logging.lastResort.formatter
    level, raising = logging.root.level, logging.raiseExceptions
    yield
    assert not threadlog.is_logging_with_thread_info()
    assert {name: getattr(logging.Handler, name) for name in METHODS} == methods
    assert logging.lastResort is last_resort
    assert last_resort.formatter is formatter
    assert (logging.root.level, logging.raiseExceptions) == (level, raising)
    assert disabled() == []
