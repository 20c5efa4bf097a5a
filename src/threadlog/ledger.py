"""Ledger: what has become of the records. It knows nothing of queues and sinks.

Numbers that must agree with each other change together under a re-entrant lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import namedtuple

from threadlog.guard import TURN, locked, warning_of_loss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NamedTuple, TypeVar

    T = TypeVar("T")

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

    def add(self, level: int) -> None:
        self.levels[level] = self.levels.get(level, 0) + 1
        self.until = time.time()
        self.ended = time.monotonic()

    def merge(self, later: Burst) -> None:
        for level, count in later.levels.items():
            self.levels[level] = self.levels.get(level, 0) + count
        self.until, self.ended = later.until, later.ended

    def is_short(self) -> bool:
        return time.monotonic() - self.began < LONGEST_BURST

    def count(self) -> int:
        return sum(self.levels.values())

    def as_record(self) -> logging.LogRecord:
        levels = ", ".join(
            f"{count} {logging.getLevelName(level)}" for level, count in sorted(self.levels.items())
        )
        message = "%d records dropped from %s to %s (%s): %s"
        return warning_of_loss(
            __file__, message, self.count(), self.since, self.until, levels, self.reason
        )


class Ledger:
    """Counts records. Every one is waiting, under way, written or dropped, and in one place only.

    Thread-safe, also for a signal handler or a finalizer in the middle of it, and for one that
    raises; `after_fork` begins anew in a child, since what the parent has is not the child's.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self.written = self.dropped = self.under_way = self.errors = 0
        self._derivable = 0  # as many more may follow from within
        self._created: float | None = None  # of the record that the listener is at
        self.burst: Burst | None = None

    def locked(self, function: Callable[..., T], *args: Any) -> T:
        """Return `function(*args)`, called under the lock, or after a while without it."""
        answer: Any = locked(self._lock, TURN, function, *args, needed=False)
        return answer  # type: ignore[no-any-return]

    def begin(self, *, is_derived: bool = False) -> None:
        """A record is under way that has not waited; *is_derived*: it follows from another."""
        self.locked(self._add, 1, 0, not is_derived)

    def write(self, count: int) -> None:
        """So many records are under way no more, but written."""
        self.locked(self._add, -count, count, 0)

    def lose(self, level: int, told: str = "") -> None:
        """A record of *level* is under way no more, but dropped, and is to be *told* of."""
        self.locked(self._drop, -1, level, told)

    def drop(self, level: int, told: str = "") -> None:
        """A record of *level* has come and is dropped."""
        self.locked(self._drop, 0, level, told)

    def _add(self, under_way: int, written: int, derivable: int) -> None:
        self.under_way += under_way
        self.written += written
        self._derivable += derivable

    def _drop(self, under_way: int, level: int, told: str) -> None:
        self.under_way += under_way
        self.dropped += 1
        if told:
            self.tell(level, told)

    def tell(self, level: int, reason: str) -> None:
        """Add to the burst of which the log will tell. Called under the lock."""
        burst = self.burst
        if burst is None:
            burst = self.burst = Burst(reason)
        burst.add(level)

    def take_burst(self) -> Burst | None:
        """Return the burst, which somebody is about to tell of."""
        return self.locked(self._take_burst)

    def _take_burst(self) -> Burst | None:
        burst, self.burst = self.burst, None
        return burst

    def keep_burst(self, burst: Burst) -> None:
        """It could not be told: keep it for later."""
        self.locked(self._keep_burst, burst)

    def _keep_burst(self, burst: Burst) -> None:
        if self.burst is not None:
            burst.merge(self.burst)
        self.burst = burst

    def count_error(self) -> None:
        self.locked(self._add_error)

    def _add_error(self) -> None:
        self.errors += 1

    def may_derive(self) -> bool:
        """Return whether one more record may follow from within; on average one for each."""
        return self.locked(self._take_derivable)

    def _take_derivable(self) -> bool:
        if self._derivable <= 0:
            return False
        self._derivable -= 1
        return True

    def waiting(self) -> int:
        """Return how many records wait. Called under the lock."""
        return 0

    def oldest(self) -> Any:
        """Return the record that has waited longest, if any does."""
        return None

    def statistics(self) -> Statistics:
        """Return the numbers of one moment."""
        return self.locked(self._statistics)

    def _statistics(self) -> Statistics:
        oldest = self.oldest()
        created = self._created if oldest is None else getattr(oldest, "created", None)
        queued = self.waiting() + self.under_way
        written, dropped = self.written, self.dropped
        lag = max(0.0, time.time() - created) if queued and created is not None else 0.0
        return Statistics(written + dropped + queued, written, dropped, queued, self.errors, lag)


def level_of(record: Any) -> int:
    """Return the level of *record*; who overrides `prepare` may make something else of it."""
    level = getattr(record, "levelno", logging.NOTSET)
    return level if isinstance(level, int) else logging.NOTSET
