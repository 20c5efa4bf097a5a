"""Forwarder: the handler by which a child's records leave for the parent."""

from __future__ import annotations

import functools
import logging
import os
import threading

from threadlog import lifecycle
from threadlog.children.sender import NEWS
from threadlog.guard import locked, report_error, say
from threadlog.ledger import Ledger
from threadlog.records import UNJUDGED, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from threadlog.children.sender import Sender

FLUSH = 1.0  # seconds: as long the end of the process waits for a parent that does not read
_REASON = "the parent process did not take them"


class Forwarder(logging.Handler):
    """Sends each record for which this process has no handler of its own.

    *sets_levels*: this process's loggers have the parent's levels, and get them when they change.
    Thread-safe without a lock of the handler's.
    """

    def __init__(self, sender: Sender, *, sets_levels: bool) -> None:
        super().__init__()
        self.sender = sender
        self.levels = sender.levels  # those that hold here
        self._sets_levels = sets_levels
        self._levels_lock = threading.RLock()
        self._ledger = Ledger()
        lifecycle.renew_in_child(self)
        lifecycle.drain_at_exit(self)

    def createLock(self) -> None:
        self.lock = None

    def after_fork(self) -> None:
        """Have a connection of its own in a child."""
        if current is not self:  # the child of a child that hosts sends to that
            return
        self._levels_lock = threading.RLock()
        self._ledger.after_fork()
        self.sender.after_fork()
        lifecycle.drain_at_exit(self)
        self.sender.try_open()

    def handle(self, record: logging.LogRecord) -> bool:
        if not self._is_handled_here(record):
            self.forward(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.handle(record)

    def forward(self, record: logging.LogRecord) -> None:
        """Send *record*, if the parent wants it. Raises nothing."""
        try:
            if self.levels is None:
                self._send(record, encode(record) + UNJUDGED)
            elif record.levelno >= self.levels.least(record.name):
                self._send(record, encode(record))
        except Exception:
            report_error(self, record)

    def catch_up(self) -> None:
        """Take the levels that the parent has announced."""
        if self.sender.page[0] != self.sender.version:
            self.sender.catch_up()
        if self.levels is not self.sender.levels:
            locked(self._levels_lock, NEWS, self._take_levels)

    def _take_levels(self) -> None:
        levels, before = self.sender.levels, self.levels
        if levels is not None and levels is not before:
            if self._sets_levels:
                try:
                    levels.set_here(before)
                except Exception as error:  # of a logger class of the program's
                    say(f"threadlog: the parent's levels could not be set: {error!r}")
            self.levels = levels  # last: an interrupt leaves the rest to the next call

    def _send(self, record: logging.LogRecord, message: bytes) -> None:
        if self.sender.send(message):
            if self._ledger.burst is not None:
                self._tell()
        elif not self.sender.is_dismissed:
            self._ledger.drop(record.levelno, _REASON)
        elif _last_resort is not None and record.levelno >= _last_resort.level:
            _last_resort.handle(record)

    def _is_handled_here(self, record: logging.LogRecord) -> bool:
        """Return whether the record's logger has a handler of this process, at any level."""
        logger: Any = logging.root.manager.loggerDict.get(record.name)
        if not isinstance(logger, logging.Logger):
            logger = logging.root
        while logger is not None:
            for handler in logger.handlers:
                if handler is not self and type(handler) is not logging.NullHandler:
                    return True
            logger = logger.parent if logger.propagate else None
        return False

    def _tell(self) -> None:
        burst = self._ledger.take_burst()
        if burst is not None and not self.sender.send(encode(burst.as_record())):
            self._ledger.keep_burst(burst)

    # What `lifecycle` calls at the end of the process.

    def finish(self) -> None:
        left = self.sender.flush(FLUSH)
        if left == 0 and self._ledger.burst is not None:
            self._tell()
        burst = self._ledger.take_burst()
        left += self.sender.given_up + (burst.count() if burst else 0)
        if left and not self.sender.is_dismissed:
            parent = self.sender.parent
            say(
                f"threadlog: {left} log records of process {os.getpid()} did not reach"
                f" {'its parent' if parent is None else f'process {parent}'}"
            )

    def stop(self) -> None: ...

    def let_go(self) -> None: ...


class _LastResort(logging.Handler):
    """Takes what no handler has taken: of loggers that do not propagate, for example."""

    def createLock(self) -> None:
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        if current is not None:
            current.forward(record)
        return True


current: Forwarder | None = None  # by which this process's records leave
_last_resort = logging.lastResort
_basic_config = logging.basicConfig
_is_enabled_for = logging.Logger.isEnabledFor


def use(forwarder: Forwarder) -> None:
    """Have *forwarder* take this process's records.

    It is on the root logger, so that logging is set up for whoever asks.
    """
    global current
    if current is None:
        logging.lastResort = _LastResort()
        logging.basicConfig = _basicConfig
        logging.Logger.isEnabledFor = _isEnabledFor  # type: ignore[method-assign]
    else:
        logging.root.removeHandler(current)
        current.sender.close()
        lifecycle.is_drained(current)
    current = forwarder
    logging.root.addHandler(forwarder)


@functools.wraps(_basic_config)
def _basicConfig(**options: Any) -> None:
    # Without options it is what logging.info and its like do first, and has nothing to do.
    if options and logging.root.handlers == [current]:
        logging.root.handlers.clear()
    _basic_config(**options)


@functools.wraps(_is_enabled_for)
def _isEnabledFor(self: logging.Logger, level: int) -> bool:
    if current is not None:
        sender = current.sender
        if sender.page[0] != sender.version or sender.levels is not current.levels:
            current.catch_up()
    return _is_enabled_for(self, level)
