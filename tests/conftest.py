"""Every test leaves logging as it found it: the suite runs in random order in one process."""

import faulthandler
import logging
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

import threadlog
from support import eventually, threads

# How long an example takes is the machine's affair: pytest-timeout ends what hangs.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# A script's job in the background ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    """End even if a thread of a failed test goes on for ever: after a minute, and say where."""
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)


METHODS = ("handle", "format", "setFormatter")


def disabled():
    loggers = list(logging.root.manager.loggerDict.items())
    return [name for name, logger in loggers if getattr(logger, "disabled", False)]


@pytest.fixture(autouse=True)
def logging_is_left_as_found():
    methods = {name: getattr(logging.Handler, name) for name in METHODS}
    last_resort, formatter = logging.lastResort, logging.lastResort.formatter
    level, raising = logging.root.level, logging.raiseExceptions
    standard_log, level_names = logging.Logger._log, logging.getLevelNamesMapping()
    running = threads()
    yield
    eventually(lambda: set(threads()) <= set(running))
    assert logging.getLevelNamesMapping() == level_names
    assert logging.Logger._log is standard_log
    assert not threadlog.is_logging_with_thread_info()
    assert {name: getattr(logging.Handler, name) for name in METHODS} == methods
    assert logging.lastResort is last_resort
    assert last_resort.formatter is formatter
    assert (logging.root.level, logging.raiseExceptions) == (level, raising)
    assert disabled() == []
