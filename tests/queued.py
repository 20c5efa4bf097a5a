"""Sinks, records and waiting for the tests of QueueHandler and QueueListener."""

import contextlib
import logging
import sys
import threading
import weakref

from threadlog.handlers import QueueHandler

LONG = 10  # seconds: whoever waits as long has failed


class Sink(logging.Handler):
    """Keeps what it is given. `gate` closed: does not return. `error`: raises it instead."""

    def __init__(self, level=logging.NOTSET, error=None, name=None):
        super().__init__(level)
        self.records, self.texts, self.idents, self.errors = [], [], [], []
        self.error = error
        self.gate = threading.Event()
        self.gate.set()
        self.called = threading.Semaphore(0)
        if name:
            self.set_name(name)

    def emit(self, record):
        self.called.release()
        assert self.gate.wait(LONG)
        if self.error is not None:
            raise self.error
        self.records.append(record)
        self.texts.append(self.format(record))
        self.idents.append(threading.get_ident())

    def handleError(self, record):
        self.errors.append((record, sys.exc_info()[1]))

    def wait_for_call(self):
        assert self.called.acquire(timeout=LONG)


class Chatty(Sink):
    """Logs to `handlers` whenever it is called, as to a logger that has them."""

    handlers = ()

    def emit(self, given):
        for handler in self.handlers:
            handler.handle(record(f"about {given.getMessage()}"))
        super().emit(given)


def record(message="hello", *args, level=logging.INFO, **fields):
    made = logging.LogRecord(
        "test", level, __file__, 1, message, args, fields.pop("exc_info", None)
    )
    made.__dict__.update(fields)
    return made


def log(handler, *messages, level=logging.INFO):
    for message in messages:
        handler.handle(record(message, level=level))


@contextlib.contextmanager
def logger_with(handler, name="queued", level=logging.DEBUG):
    """A logger that has only *handler*."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        logger.setLevel(before)


@contextlib.contextmanager
def full(sink, capacity=1, **options):
    """A handler whose queue is full: the sink is called with "0", and "1" and so on wait."""
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink], capacity=capacity + 1, **options)
    try:
        log(handler, "0")
        sink.wait_for_call()
        log(handler, *(str(number) for number in range(1, capacity + 1)))
        assert handler.statistics().queued == capacity + 1
        yield handler
    finally:
        sink.gate.set()
        handler.close()


class Error(Exception):
    """One that can be referred to weakly."""


def caught(text="oops"):
    """Return an exception's exc_info, and a weak reference to it."""
    try:
        raise Error(text)
    except Error as error:
        return sys.exc_info(), weakref.ref(error)
