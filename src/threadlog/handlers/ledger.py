"""Ledger: what has become of the records. It knows nothing of queues and sinks.

Numbers that must agree with each other change together under a re-entrant lock, for a few steps in
which nothing else is called. It is never waited for without an end (see `guard.turn`), and a forked
child has one of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import namedtuple

from threadlog.handlers.guard import TURN, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import NamedTuple

    class _Numbers(NamedTuple):
        accepted: int
        written: int
        dropped: int
        queued: int
        errors: int
        lag: float

else:  # without typing, which costs as much to import as half of logging
    _Numbers = namedtuple("_Numbers", "accepted written dropped queued errors lag")  # noqa: PYI024

LONGEST_BURST = 10.0  # seconds: what is dropped without an end is told as often


class Statistics(_Numbers):
    """What has become of the records: `accepted == written + dropped + queued`, at every moment.

    *accepted*: came from a logging call (with a listener of its own: from the queue), whatever
    became of them. *written*: given to the sinks, and not refused by all of them. *dropped*: for
    want of room, because every sink that they were given to raised, or because the time at the end
    was up. *queued*: waiting, or under way. *errors*: exceptions that came out of sinks. *lag*:
    seconds since the oldest queued record was created, by the wall clock; 0.0 if none is queued.
    """

    __slots__ = ()


class Burst:
    """Dropped records that are to be told as one: how many of which level, from when to when."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.levels: dict[int, int] = {}
        self.since = self.until = time.time()
        self.began = self.ended = time.monotonic()

    def add(self, level: int, count: int = 1) -> None:
        self.levels[level] = self.levels.get(level, 0) + count
        self.until = time.time()
        self.ended = time.monotonic()

    def merge(self, later: Burst) -> None:
        for level, count in later.levels.items():
            self.levels[level] = self.levels.get(level, 0) + count
        self.until, self.ended = later.until, later.ended

    def is_short(self) -> bool:
        return time.monotonic() - self.began < LONGEST_BURST

    def as_record(self) -> logging.LogRecord:
        levels = ", ".join(
            f"{count} {logging.getLevelName(level)}" for level, count in sorted(self.levels.items())
        )
        since, until = (
            time.strftime("%H:%M:%S", time.localtime(at)) for at in (self.since, self.until)
        )
        return logging.LogRecord(
            "threadlog.handlers",
            logging.WARNING,
            __file__,
            0,
            "%d records dropped from %s to %s (%s): %s",
            (sum(self.levels.values()), since, until, levels, self.reason),
            None,
        )


class Ledger:
    """Counts records. Every one is waiting, under way, written or dropped, and in one place only.

    Thread-safe, also for a signal handler or a finalizer in the middle of it; `after_fork` begins
    anew in a child, since what the parent has is not the child's.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self.written = self.dropped = self.under_way = self.errors = 0
        self._derivable = 0  # as many more may sinks log themselves
        self._created: float | None = None  # of the record that the listener is at
        self.burst: Burst | None = None

    def counting(self) -> AbstractContextManager[bool]:
        """Hold the lock. Between two numbers that must agree nothing may be called."""
        return turn(self._lock)

    def waiting(self) -> int:
        """Return how many records wait. Called under the lock."""
        return 0

    def oldest(self) -> logging.LogRecord | None:
        """Return the record that has waited longest, if any does."""
        return None

    def begin(self, *, is_derived: bool = False) -> None:
        """A record is under way that has not waited; *is_derived*: a sink has logged it."""
        with self.counting():
            self.under_way += 1
            self._derivable += not is_derived

    def write(self, count: int) -> None:
        """So many records are under way no more, but written."""
        lock = self._lock  # not counting(), which costs as much as all of this
        has_it = lock.acquire(False) or lock.acquire(timeout=TURN)
        try:
            self.under_way -= count
            self.written += count
        finally:
            if has_it:
                lock.release()

    def lose(self, level: int, told: str = "") -> None:
        """A record of *level* is under way no more, but dropped, and is to be *told* of."""
        with self.counting():
            self.under_way -= 1
            self.dropped += 1
            if told:
                self.tell(level, told)

    def drop(self, level: int, told: str = "") -> None:
        """A record of *level* has come and is dropped."""
        with self.counting():
            self.dropped += 1
            if told:
                self.tell(level, told)

    def tell(self, level: int, reason: str) -> None:
        """Add to the burst of which the log will tell. Called under the lock."""
        burst = self.burst
        if burst is None:
            burst = self.burst = Burst(reason)
        burst.add(level)

    def count_error(self) -> None:
        with self.counting():
            self.errors += 1

    def may_derive(self) -> bool:
        """Return whether a sink's own record may follow: at most one for each of a user's."""
        with self.counting():
            if self._derivable <= 0:
                return False
            self._derivable -= 1
            return True

    def statistics(self) -> Statistics:
        """Return the numbers of one moment."""
        with self.counting():
            oldest = self.oldest()
            created = self._created if oldest is None else oldest.created
            waiting = self.waiting()
            written, dropped, under_way = self.written, self.dropped, self.under_way
            errors = self.errors
        queued = waiting + under_way
        lag = max(0.0, time.time() - created) if queued and created is not None else 0.0
        return Statistics(written + dropped + queued, written, dropped, queued, errors, lag)
