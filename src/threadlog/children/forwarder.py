"""Forwarder: the handler by which a child's records leave for the parent."""

from __future__ import annotations

import logging
import os

from threadlog import lifecycle
from threadlog.filters import stamp
from threadlog.guard import report_error, say
from threadlog.ledger import Ledger
from threadlog.records import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from threadlog.children.levels import Levels
    from threadlog.children.sender import Sender

FLUSH = 1.0  # seconds: as long the end of the process waits for a parent that does not read
_REASON = "the parent process did not take them"


class Forwarder(logging.Handler):
    """Sends each record for which this process has no handler of its own.

    It is on the root logger, so that logging is set up for whoever asks, and takes the place of
    `logging.lastResort`, for loggers that do not propagate and for a root logger that was emptied.
    Thread-safe without a lock of the handler's.
    """

    def __init__(self, sender: Sender, levels: Levels) -> None:
        super().__init__()
        self.sender = sender
        self._levels = levels  # as this process's loggers have them, as far as we have set them
        self._ledger = Ledger()
        self._last_resort = logging.lastResort
        self._take_levels()
        lifecycle.renew_in_child(self)
        lifecycle.drain_at_exit(self)

    def createLock(self) -> None:
        self.lock = None

    def stand_in(self) -> None:
        """Begin to take this process's records."""
        logging.root.addHandler(self)
        logging.lastResort = self
        self._basic_config = logging.basicConfig
        logging.basicConfig = self._make_way

    def _make_way(self, **options: Any) -> None:
        """Do what `logging.basicConfig` does where logging is not set up.

        Without options it is what `logging.info` and its like do first, and has nothing to do.
        """
        if options and logging.root.handlers == [self]:
            logging.root.removeHandler(self)
        self._basic_config(**options)

    def after_fork(self) -> None:
        """Have a connection of its own in a child."""
        self._ledger.after_fork()
        self.sender.after_fork()
        lifecycle.drain_at_exit(self)
        self.sender.try_open()

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            if not self._is_handled_here(record):
                stamp(record)
                self._forward(record)
        except Exception:
            report_error(self, record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.handle(record)

    def _forward(self, record: logging.LogRecord) -> None:
        if record.levelno < self._levels.least(record.name):
            return
        if self.sender.send(encode(record)):
            if self._ledger.burst is not None:
                self._tell()
        elif not self.sender.is_dismissed:
            self._ledger.drop(record.levelno, _REASON)
        elif self._last_resort is not None and record.levelno >= self._last_resort.level:
            self._last_resort.handle(record)
        if self.sender.levels is not self._levels:
            self._take_levels()

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

    def _take_levels(self) -> None:
        levels, before = self.sender.levels, self._levels
        if levels is not None:
            self._levels = levels
            levels.set_here(before)

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
        left += burst.count() if burst else 0
        if left and not self.sender.is_dismissed:
            parent = self.sender.parent
            say(
                f"threadlog: {left} log records of process {os.getpid()} did not reach"
                f" {'its parent' if parent is None else f'process {parent}'}"
            )

    def stop(self) -> None: ...

    def let_go(self) -> None: ...
