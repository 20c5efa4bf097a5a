"""The ways of a record whose instructions are counted, each in a process of its own:
`python bench/paths.py PATH FILE RECORDS`. Imports little, for all of it runs under valgrind.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import logging.handlers
import os
import queue
import sys
import threading

import contenders as who
import threadlog.handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

DISABLED, FAST_DISABLED = "debug() disabled", "debug() disabled, fast"
SABOTEUR = "saboteur: as the first, and renders each record twice"


class Blocked(logging.Handler):
    """A sink that never returns: whoever reads the queue does nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        self.is_reached.set()
        threading.Event().wait()


@contextlib.contextmanager
def before_nobody(
    _: str, make: Callable[[logging.Handler], logging.Handler], *, fast: bool
) -> Iterator[logging.Logger]:
    sink = Blocked()
    with who.attached(make(sink)) as logger, who.threadlog_on(fast=fast):
        logger.info("hello")
        sink.is_reached.wait()
        yield logger


def standard_queue(sink: logging.Handler) -> logging.Handler:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    logging.handlers.QueueListener(records, sink).start()
    return logging.handlers.QueueHandler(records)


def our_queue(sink: logging.Handler) -> logging.Handler:
    return threadlog.handlers.QueueHandler(handlers=[sink])


@contextlib.contextmanager
def disabled(_: str, *, fast: bool) -> Iterator[logging.Logger]:
    with who.attached(logging.NullHandler()) as logger, who.threadlog_on(fast=fast):
        logger.setLevel(logging.WARNING)
        yield logger


@contextlib.contextmanager
def sabotaged(path: str) -> Iterator[logging.Logger]:
    with who.IN_PROCESS[who.FAST_SHOWN](path) as logger:
        handler = logger.handlers[0]
        handler.addFilter(lambda record: bool(handler.format(record)))
        yield logger


PATHS: dict[str, Callable[[str], AbstractContextManager[logging.Logger]]] = {
    **who.IN_PROCESS,
    who.LOGGING_QUEUE: functools.partial(before_nobody, make=standard_queue, fast=False),
    who.FAST_QUEUE: functools.partial(before_nobody, make=our_queue, fast=True),
    DISABLED: functools.partial(disabled, fast=False),
    FAST_DISABLED: functools.partial(disabled, fast=True),
    SABOTEUR: sabotaged,
}


def log(name: str, path: str, records: int) -> None:
    with PATHS[name](path) as logger:
        gc.collect()
        gc.freeze()
        for _ in range(records):
            logger.info("hello %s %d", "world", 42)
        os._exit(0)  # nothing that depends on how many they were


if __name__ == "__main__":
    _, name, path, records = sys.argv
    log(name, path, int(records))
