"""Backlog: a bounded queue of records that is safe to use from anywhere.

Any thread puts, a signal handler or a finalizer in the middle of another `put` included: where
there is room, a record is on its way without a lock. Room is a supply of places, one for each
record that may wait. Taking a place, appending and popping are each one step of a
`collections.deque`, which nothing can interrupt.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque

from threadlog.handlers.bell import make_bell, ring
from threadlog.handlers.guard import TURN
from threadlog.handlers.ledger import Burst, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OVERFLOW = ("block", "drop_new", "drop_old", "direct")
URGENT = logging.WARNING  # from here on a record may take the reserved room
LARGEST_BATCH = 100  # records that are out of reach for "drop_old"
QUIET = 0.1  # seconds without a drop, and nothing waits: then the burst is over


class Backlog(Ledger):
    """At most *capacity* records that wait for a listener, and a count of all that came.

    Of the capacity, *reserve* places are for records of WARNING and above. A record that was
    fetched keeps its place until `give_back`. Programs may look at it as at a `queue.Queue`:
    `qsize`, `empty`, `full`, `maxsize`.
    """

    call_listener: Callable[[], None]  # set by the listener: a record has come, and it is not here

    def __init__(self, capacity: int, overflow: str, timeout: float, reserve: int) -> None:
        self.maxsize = capacity
        self.overflow = overflow
        self.timeout = timeout
        self.reserve = reserve
        self._batch = max(1, min(LARGEST_BATCH, capacity // 8))
        self._full = f"the queue of {capacity} was full"
        self.is_closed = False  # nothing waits here any more: callers deliver themselves
        self._is_finishing = False  # closed, once nothing waits
        super().__init__()

    def after_fork(self) -> None:
        # All made anew: the locks that a free-threaded build's objects have inside may be held by
        # threads that are gone.
        super().after_fork()
        self._records: deque[logging.LogRecord] = deque()
        self._derived: set[int] = set()  # ids of records in it that sinks have logged
        self._places: deque[None] = deque([None]) * (self.maxsize - self.reserve)
        self._reserved: deque[None] = deque([None]) * self.reserve
        self._waiting: deque[Any] = deque()  # bells of those who wait for a place
        self._waiting_urgently: deque[Any] = deque()  # these may have a reserved one
        self._bell = make_bell()
        self._is_unwatched = True  # the listener sleeps, or there is none
        self._is_attended = False  # there is one
        self._stood_still_at = -1  # how many were written when somebody had waited in vain
        self.is_closed = self.is_closed or self._is_finishing

    # The callers' side.

    def put(self, record: logging.LogRecord) -> bool:
        """Take *record*, or drop one, or return False: deliver it yourself."""
        if self.is_closed:
            return False
        try:
            self._places.pop()
        except IndexError:
            return self._put_without_room(record)
        self._records.append(record)
        if self._is_unwatched:
            self.rouse()
        return True

    def _put_without_room(self, record: logging.LogRecord) -> bool:
        level = record.levelno
        has_place = (
            (level >= URGENT and self._take_place(level))
            or (self.overflow == "block" and self._wait_for_room(level))
            or (self.overflow == "drop_old" and self._displace(level))
        )
        if has_place:
            self._records.append(record)
            if self._is_unwatched:
                self.rouse()
        elif self.overflow == "direct":
            return False
        else:
            self.refuse(level)
        return True

    def refuse(self, level: int) -> None:
        """Drop a record of *level* for want of room."""
        self.drop(level, self._full)

    def would_drop(self, level: int) -> bool:
        """Return whether there is no room for a record of *level* now."""
        return not (self._places or (level >= URGENT and self._reserved) or self.is_closed)

    def put_at_once(self, record: logging.LogRecord) -> bool:
        """Take *record* without waiting, or return False: it was dropped for want of room."""
        if not self._take_place(record.levelno):
            self.refuse(record.levelno)
            return False
        self._records.append(record)
        if self._is_unwatched:
            self.rouse()
        return True

    def put_derived(self, record: logging.LogRecord) -> None:
        """Take *record*, which a sink of another queue has logged, without waiting."""
        self._derived.add(id(record))
        if not self.put_at_once(record):
            self._derived.discard(id(record))

    def has_derived(self) -> bool:
        return bool(self._derived)

    def pop_derived(self, record: logging.LogRecord) -> bool:
        """Return whether `put_derived` has put *record*, which was fetched. Once."""
        if id(record) not in self._derived:
            return False
        self._derived.discard(id(record))
        self.may_derive()  # it was taken for a program's
        return True

    def rouse(self) -> None:
        """Have a listener look."""
        if self._is_attended:
            ring(self._bell)
        else:
            self.call_listener()

    def _take_place(self, level: int) -> bool:
        for places in (self._places, self._reserved) if level >= URGENT else (self._places,):
            try:
                places.pop()
            except IndexError:
                continue
            return True
        return False

    def _displace(self, level: int) -> bool:
        """Drop the oldest record, whose place is free for one of *level* then."""
        with self.counting():
            if not self._records:  # the only ones are under way
                return False
            oldest = self._records[0].levelno
            if self.reserve and oldest >= URGENT > level:
                return False
            self.dropped += 1
            self._derived.discard(id(self._records.popleft()))
            self.tell(oldest, self._full)
        return True

    def _wait_for_room(self, level: int) -> bool:
        """Wait for a place; not again, after a time-out, until something has been written."""
        written = self.written
        if self._stood_still_at == written:
            return False
        waiting = self._waiting_urgently if level >= URGENT else self._waiting
        bell = make_bell()  # our own: a signal handler in the middle of this waits for another one
        is_rung = has_place = False
        waiting.append(bell)
        try:
            has_place = self._take_place(level)  # one may have come back just before
            is_rung = not has_place and bell.acquire(timeout=self.timeout)
        finally:
            if not is_rung and not _remove(waiting, bell):
                bell.acquire()  # somebody has taken it in order to ring it, that is, has a place
                is_rung = True
                if has_place:
                    self.give_back(1)
        if not (is_rung or has_place) and self.written == written:
            self._stood_still_at = written
        return is_rung or has_place

    # The listener's side. One listener at a time.

    def attend(self) -> None:
        """There is a listener from now on, until `fetch` returns None."""
        self._is_attended = True
        self._is_unwatched = False

    def fetch(
        self, batch: deque[logging.LogRecord], block: bool, one_by_one: bool
    ) -> Burst | bool | None:
        """Move records to *batch*, or return a Burst to tell of.

        Waits for them if *block*. None: there are none, and if *block*, it is closed, too.
        """
        while True:
            pause = math.inf
            if self.burst is not None:
                pause = self._until_told(block)
                if pause <= 0:
                    with self.counting():
                        burst, self.burst = self.burst, None
                    return burst
            if self._records:
                self._take(batch, 1 if one_by_one else self._batch)
                return True
            self._created = None
            if self._is_finishing:
                self.is_closed = True
            if self.is_closed or not block:
                self._is_attended = False
            self._is_unwatched = True
            if self._records or (self._is_finishing and not self.is_closed):
                self._is_unwatched = False
            elif self.is_closed or not block:
                return None
            else:
                self._bell.acquire(timeout=-1 if pause == math.inf else pause)
                self._is_unwatched = False

    def _take(self, batch: deque[logging.LogRecord], most: int) -> None:
        records = self._records
        lock = self._lock  # not counting(), which costs as much as all of this
        has_it = lock.acquire(False) or lock.acquire(timeout=TURN)
        try:
            count = min(len(records), most)
            if count:
                self._created = records[0].created
            self._derivable += count
            self.under_way += count
            for _ in range(count):
                batch.append(records.popleft())
        finally:
            if has_it:
                lock.release()

    def give_back(self, places: int) -> None:
        """So many records that were fetched are done: others may have their places."""
        for _ in range(places):
            if self.reserve:
                with self.counting():
                    self._give_place(is_reserved=len(self._reserved) < self.reserve)
            else:
                self._give_place(is_reserved=False)

    def _give_place(self, *, is_reserved: bool) -> None:
        """Give a place to the one that has waited longest, or keep it."""
        places = self._reserved if is_reserved else self._places
        while True:
            for waiting in (self._waiting_urgently, self._waiting)[: 1 if is_reserved else 2]:
                try:
                    bell = waiting.popleft()
                except IndexError:
                    continue
                ring(bell)
                return
            places.append(None)
            if not (self._waiting_urgently or (self._waiting and not is_reserved)):
                return
            try:  # somebody has come meanwhile
                places.pop()
            except IndexError:
                return

    def _until_told(self, block: bool) -> float:
        """Return in how many seconds the burst may be told, as far as one can know."""
        burst = self.burst
        if burst is None:
            return math.inf
        if not burst.is_short():
            return 0.0
        if self._records:
            return math.inf
        return burst.ended + QUIET - time.monotonic() if block and not self._is_finishing else 0.0

    def finish(self) -> None:
        """Be closed as soon as nothing waits."""
        self._is_finishing = True
        if self._is_attended or self._records:
            self.rouse()
        else:
            self.is_closed = True

    def reopen(self) -> None:
        self._is_finishing = self.is_closed = False

    def give_up(self) -> Burst:
        """Drop all that waits, and be closed. Return what has been dropped and not been told."""
        self._is_finishing = self.is_closed = True
        with self.counting():
            burst, self.burst = self.burst or Burst("the time was up"), None
            count = len(self._records)
            for _ in range(count):
                burst.add(self._records.popleft().levelno)
            self.dropped += count
        self.give_back(count)
        return burst

    # What programs look at.

    def waiting(self) -> int:
        return len(self._records)

    qsize = waiting

    def empty(self) -> bool:
        return not self._records

    def full(self) -> bool:
        return not self._places

    def oldest(self) -> logging.LogRecord | None:
        try:
            return self._records[0]
        except IndexError:
            return None


def _remove(waiting: deque[Any], bell: Any) -> bool:
    """Return False if *bell* is not there any more."""
    try:
        waiting.remove(bell)
    except ValueError:
        return False
    return True
