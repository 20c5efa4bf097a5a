"""Who is measured: how each is set up, and what it guarantees.

All write the same line. Each is set up as its own documentation recommends; where that is
said stands beside it. A peer that is not installed, or not for this Python, is left out.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import logging.handlers

import threadlog.handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    # Of a path. What it yields has a method info().
    SetUp = Callable[[str], AbstractContextManager[Any]]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOGURU_FORMAT = "{time:YYYY-MM-DD HH:mm:ss,SSS} {level} {name}: {message}"
SIZE = {"maxBytes": 2_000_000, "backupCount": 5}  # what the longest run writes is kept
TIME = {"when": "midnight", "backupCount": 5}


@contextlib.contextmanager
def threadlog_on(*, fast: bool = False, shown: bool = False) -> Iterator[None]:
    """With fast logging if *fast*, with thread info if *shown*."""
    with contextlib.ExitStack() as stack:
        if fast:
            stack.enter_context(threadlog.fast_logging())
        if shown:
            stack.enter_context(threadlog.logging_with_thread_info())
        yield


@contextlib.contextmanager
def attached(handler: Any, name: str = "bench", package: Any = logging) -> Iterator[Any]:
    handler.setFormatter(package.Formatter(FORMAT))
    logger = package.getLogger(name)
    logger.propagate = False
    logger.setLevel(package.INFO)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


@contextlib.contextmanager
def with_handler(
    path: str, make: Callable[..., logging.Handler], *, fast: bool, shown: bool, **options: Any
) -> Iterator[logging.Logger]:
    with attached(make(path, **options)) as logger, threadlog_on(fast=fast, shown=shown):
        yield logger


def handler(
    make: Callable[..., logging.Handler], *, fast: bool = False, shown: bool = False, **options: Any
) -> SetUp:
    return functools.partial(with_handler, make=make, fast=fast, shown=shown, **options)


@contextlib.contextmanager
def with_picologging(path: str) -> Iterator[Any]:
    # Its index page, "Usage": `import picologging as logging`, and everything else as with logging.
    import picologging

    handler = picologging.FileHandler(path)
    with attached(handler, package=picologging) as logger:
        # Without a date format it writes garbage bytes for the date (0.9.3 on Python 3.11.7). With
        # one the date is right, has no milliseconds, and takes as long.
        handler.setFormatter(picologging.Formatter(FORMAT, "%Y-%m-%d %H:%M:%S"))
        yield logger


def message(name: str, text: str) -> str:
    """*text*, a message in logging's style, in the style of contender *name*."""
    return text.replace("%s", "{}").replace("%d", "{}") if name.startswith(LOGURU) else text


@contextlib.contextmanager
def with_loguru(path: str, **options: Any) -> Iterator[Any]:
    # Its README, "Easier file logging", and its recipes, "Compatibility with multiprocessing
    # using enqueue argument": enqueue=True, and complete() at the end of each process.
    import loguru

    logger = loguru.logger
    logger.remove()
    logger.add(path, format=LOGURU_FORMAT, **options)
    yield logger
    logger.complete()
    logger.remove()


def with_concurrent_log_handler(path: str) -> AbstractContextManager[Any]:
    # Its README, "Important Usage Guidelines", 1: made in each process. keep_file_open, its
    # "Performance Optimized", is on by default.
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    return with_handler(path, ConcurrentRotatingFileHandler, fast=False, shown=False, **SIZE)


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# Names, as they stand in the tables.

LOGGING = "logging.FileHandler"
SHOWN = "logging.FileHandler, thread info"
OURS = "threadlog FileHandler"
FAST = "threadlog FileHandler, fast"
FAST_SHOWN = "threadlog FileHandler, fast, thread info"
LOGGING_SIZE = "logging RotatingFileHandler"
OURS_SIZE = "threadlog RotatingFileHandler"
FAST_SIZE = "threadlog RotatingFileHandler, fast"
FAST_SIZE_SHOWN = "threadlog RotatingFileHandler, fast, thread info"
LOGGING_TIME = "logging TimedRotatingFileHandler"
OURS_TIME = "threadlog TimedRotatingFileHandler"
FAST_TIME = "threadlog TimedRotatingFileHandler, fast"
PICOLOGGING = "picologging.FileHandler"
LOGURU = "loguru"
LOGURU_QUEUE = "loguru, enqueue=True"
CONCURRENT = "concurrent-log-handler"
LOGGING_QUEUE = "logging QueueHandler"
OURS_QUEUE = "threadlog QueueHandler"
FAST_QUEUE = "threadlog QueueHandler, fast"
LOGGING_PROCESSES = "logging QueueHandler, multiprocessing.Queue"

_rotating = logging.handlers.RotatingFileHandler
_timed = logging.handlers.TimedRotatingFileHandler
# Those that write to a file in the process that logs.
IN_PROCESS: dict[str, SetUp] = {
    LOGGING: handler(logging.FileHandler),
    SHOWN: handler(logging.FileHandler, shown=True),
    OURS: handler(threadlog.handlers.FileHandler),
    FAST: handler(threadlog.handlers.FileHandler, fast=True),
    FAST_SHOWN: handler(threadlog.handlers.FileHandler, fast=True, shown=True),
    LOGGING_SIZE: handler(_rotating, **SIZE),
    OURS_SIZE: handler(threadlog.handlers.RotatingFileHandler, **SIZE),
    FAST_SIZE: handler(threadlog.handlers.RotatingFileHandler, fast=True, **SIZE),
    FAST_SIZE_SHOWN: handler(threadlog.handlers.RotatingFileHandler, fast=True, shown=True, **SIZE),
    LOGGING_TIME: handler(_timed, **TIME),
    OURS_TIME: handler(threadlog.handlers.TimedRotatingFileHandler, **TIME),
    FAST_TIME: handler(threadlog.handlers.TimedRotatingFileHandler, fast=True, **TIME),
}
if is_installed("picologging"):
    IN_PROCESS[PICOLOGGING] = with_picologging
if is_installed("loguru"):
    IN_PROCESS[LOGURU] = with_loguru
if is_installed("concurrent_log_handler"):
    IN_PROCESS[CONCURRENT] = with_concurrent_log_handler
