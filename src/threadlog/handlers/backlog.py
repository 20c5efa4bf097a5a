"""Backlog: a bounded queue of records that is safe to use from anywhere.

Any thread puts, a signal handler or a finalizer in the middle of another `put` included: where
there is room, a record is on its way without a lock. Room is a supply of places, one for each
record that may wait. Taking a place, appending and popping are each one step of a
`collections.deque`, which nothing can interrupt.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import deque

from threadlog.guard import TURN, holds_logging_lock
from threadlog.handlers.bell import make_bell, ring
from threadlog.ledger import Burst, Ledger, level_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OVERFLOW = ("block", "drop_new", "drop_old", "direct")
URGENT = logging.WARNING  # from here on a record may take the reserved room
LARGEST_BATCH = 100  # records that are out of reach for "drop_old"
INTERRUPTED = 1.0  # seconds: who has taken a place and not used it by then, does not
QUIET = 0.1  # seconds without a drop, and nothing waits: then the burst is over


class Derived:
    """A record in the queue that a sink of another queue has logged."""

    __slots__ = ("created", "levelno", "record")

    def __init__(self, record: logging.LogRecord) -> None:
        self.record, self.levelno, self.created = record, record.levelno, record.created


class Backlog(Ledger):
    """At most *capacity* records that wait for a listener, and a count of all that came.

    Of the capacity, *reserve* places are for records of WARNING and above. A record that was
    fetched keeps its place until `give_back`. Programs may look at it as at a `queue.Queue`:
    `qsize`, `empty`, `full`, `maxsize`.
    """

    call_listener: Callable[[], None] | None = None  # a record has come, and no listener is there

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
        self._records: deque[Any] = deque()
        self._places: deque[None] = deque([None]) * (self.maxsize - self.reserve)
        self._reserved: deque[None] = deque([None]) * self.reserve
        self._waiting: deque[_Caller] = deque()  # those who wait for a place
        self._waiting_urgently: deque[_Caller] = deque()  # these may have a reserved one
        self._bell = make_bell()
        self._is_unwatched = True  # the listener sleeps, or there is none
        self._is_attended = False  # there is one
        self._stood_still_at = -1  # how many were written when somebody had waited in vain
        self._left = 0  # records that have left the queue, in its order
        self._finished = 0  # as many of them are written, or dropped
        self.is_closed = self.is_closed or self._is_finishing

    # The callers' side.

    def put(self, record: Any) -> bool:
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

    def _put_without_room(self, record: Any) -> bool:
        level = level_of(record)
        if self._is_unwatched:  # whoever has filled it was interrupted before he could call
            self.rouse()
        has_place = (
            (level >= URGENT and self._take_place(level))
            or (self.overflow == "block" and self._wait_for_room(level))
            or (self.overflow == "drop_old" and self.locked(self._displace, level))
        )
        if has_place:
            self._append(record)
        elif self.overflow == "direct":
            return False
        else:
            self.refuse(level)
        return True

    def refuse(self, level: int) -> None:
        """Drop a record of *level* for want of room."""
        self.drop(level, self._full)
        if self._is_unwatched and self._is_attended:  # there is something to tell
            self.rouse()

    def would_drop(self, level: int) -> bool:
        """Return whether there is no room for a record of *level* now."""
        return not (self._places or (level >= URGENT and self._reserved) or self.is_closed)

    def put_at_once(self, record: Any) -> None:
        """Take *record* without waiting, or drop it for want of room."""
        level = level_of(record)
        if self._take_place(level):
            self._append(record)
        else:
            self.refuse(level)

    def _append(self, record: Any) -> None:
        self._records.append(record)
        if self._is_unwatched:
            self.rouse()

    def rouse(self) -> None:
        """Have a listener look."""
        if self._is_attended:
            ring(self._bell)
        elif self.call_listener is not None:
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
        if not self._records:  # the only ones are under way
            return False
        oldest = level_of(self._records[0])
        if self.reserve and oldest >= URGENT > level:
            return False
        self.dropped += 1
        self._records.popleft()
        self._left += 1
        self.tell(oldest, self._full)
        return True

    def _wait_for_room(self, level: int) -> bool:
        """Wait for a place; not again, after a time-out, until something has been written."""
        written = self.written
        if self._stood_still_at == written or holds_logging_lock():
            return False
        waiting = self._waiting_urgently if level >= URGENT else self._waiting
        caller = _Caller()  # our own: a signal handler in the middle of this waits for another one
        has_one = False
        try:
            waiting.append(caller)
            has_one = self._take_place(level)  # one may have come back just before
            if not has_one:
                caller.bell.acquire(timeout=self.timeout)
        except BaseException:  # an interrupt
            self.give_back(caller.leave(waiting) + has_one)
            raise
        places = caller.leave(waiting) + has_one
        if places > 1:
            self.give_back(places - 1)
        elif places == 0 and self.written == written:
            self._stood_still_at = written
        return places > 0

    # The listener's side. One listener at a time.

    def attend(self) -> None:
        """There is a listener from now on, until `leave`."""
        self._is_attended = True
        self._is_unwatched = False

    def rouse_to_finish(self) -> None:
        """Have the listener see that it is to `finish`, if there is one."""
        if self._is_attended or self._records:
            self.rouse()
        else:
            self.is_closed = self._is_finishing

    def leave(self) -> None:
        """There is no listener any more: who puts must call one."""
        self._is_attended = False
        self._is_unwatched = True

    def fetch(self, batch: deque[Any], block: bool, one_by_one: bool) -> Burst | bool | None:
        """Move records to *batch*, or return a Burst to tell of.

        Waits for them if *block*. None: there are none, and if *block*, it is closed, too. What was
        fetched before is done by now.
        """
        self._finished = self._left
        while True:
            pause = math.inf
            if self.burst is not None:
                pause = self._until_told(block)
                if pause <= 0:
                    burst = self.take_burst()
                    if burst is not None:
                        return burst
            if self._records:
                count = self.locked(self._take, batch, 1 if one_by_one else self._batch)
                if count:
                    return True
            self._created = None
            is_last = self.locked(self._close_if_finishing) or not block
            if is_last:
                self._is_attended = False
            self._is_unwatched = True
            if self._records or (self._is_finishing and not is_last):
                self._is_unwatched, self._is_attended = False, block
            elif is_last:
                return None
            else:
                self._sleep(max(0.0, pause))

    def _close_if_finishing(self) -> bool:
        self.is_closed = self._is_finishing
        return self.is_closed

    def _sleep(self, pause: float) -> None:
        """Wait for the bell, *pause* seconds at most."""
        missing = self.maxsize - len(self._places) - len(self._reserved)
        if missing < 0:  # he did come after all
            self._take_place(logging.NOTSET)
        if missing > 0 and not self.under_way:
            # A caller is about to append, or was interrupted just before it: then in vain.
            left, pause = self._left, min(pause, INTERRUPTED)
            is_rung = self._bell.acquire(timeout=pause)
            now_missing = self.maxsize - len(self._places) - len(self._reserved)
            if not (is_rung or self._records) and (left, missing) == (self._left, now_missing):
                self.give_back(missing)
        else:
            self._bell.acquire(timeout=-1 if pause == math.inf else pause)
        self._is_unwatched = False

    def _take(self, batch: deque[Any], most: int) -> int:
        records = self._records
        count = min(len(records), most)
        if count:
            self._created = getattr(records[0], "created", None)
        self._left += count
        self.under_way += count
        for _ in range(count):
            batch.append(records.popleft())
        return count

    def give_back(self, places: int) -> None:
        """So many records that were fetched are done: others may have their places."""
        for _ in range(places):
            if self.reserve:
                self.locked(self._give_back_one)
            else:
                self._give_place(is_reserved=False)

    def _give_back_one(self) -> None:
        self._give_place(is_reserved=len(self._reserved) < self.reserve)

    def _give_place(self, *, is_reserved: bool) -> None:
        """Give a place to one that waits, the urgent and then the oldest first, or keep it."""
        places = self._reserved if is_reserved else self._places
        queues = (self._waiting_urgently, self._waiting)[: 1 if is_reserved else 2]
        while True:
            for waiting in queues:
                try:
                    caller = waiting.popleft()
                except IndexError:
                    continue
                caller.places.append(None)
                ring(caller.bell)
                return
            places.append(None)
            if not any(queues):
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

    def reopen(self) -> None:
        self._is_finishing = self.is_closed = False

    def give_up(self) -> int:
        """Drop all that waits, and be closed. Return how many were dropped and not told."""
        self._is_finishing = self.is_closed = True
        untold, count = self.locked(self._give_up)
        self.give_back(count)
        return untold + count

    def _give_up(self) -> tuple[int, int]:
        burst, self.burst = self.burst, None
        count = len(self._records)
        for _ in range(count):
            self._records.popleft()
        self.dropped += count
        self._left += count
        self._finished = self._left
        return (0 if burst is None else burst.count()), count

    # What programs look at.

    def position(self) -> int:
        """Return the place in the order of all records of the last one that waits."""
        return self.locked(lambda: self._left + len(self._records))

    def is_past(self, position: int) -> bool:
        """Return whether the record of that `position` is written, or dropped."""
        return self._finished >= position

    def waiting(self) -> int:
        return len(self._records)

    qsize = waiting

    def empty(self) -> bool:
        return not self._records

    def full(self) -> bool:
        return not self._places

    def snapshot(self) -> list[Any]:
        """Return the records that wait, or none if they change too fast."""
        for _ in range(10):
            with contextlib.suppress(RuntimeError):  # one has come or gone meanwhile
                return list(self._records)
        return []

    def oldest(self) -> Any:
        try:
            return self._records[0]
        except IndexError:
            return None


class _Caller:
    """One that waits for a place."""

    def __init__(self) -> None:
        self.bell = make_bell()
        self.places: deque[None] = deque()  # that it was given, before the bell was rung

    def leave(self, waiting: deque[_Caller]) -> int:
        """Wait no more, and return how many places it was given."""
        try:
            waiting.remove(self)
        except ValueError:  # somebody has taken it out in order to give it one
            if not self.places:
                self.bell.acquire(timeout=TURN)
        return len(self.places)
