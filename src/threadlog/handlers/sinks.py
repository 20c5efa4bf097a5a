"""Sinks: gives records to the handlers behind a queue, whatever these do.

It is the work of one thread at a time, its shift. Callers that deliver a record themselves have a
shift for that one. A sink that raises is contained; if one does not return, another thread relieves
the one that is stuck in it, and goes on with the other sinks.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import threading
import time
from collections import deque

from threadlog import lifecycle
from threadlog.filters import stamp
from threadlog.handlers.backlog import Backlog, Derived
from threadlog.handlers.bell import make_bell, ring
from threadlog.handlers.file import FileHandler
from threadlog.ledger import Burst, level_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from threadlog.ledger import Ledger

    class Listener(Protocol):
        queue: Any
        handlers: tuple[logging.Handler, ...]
        respect_handler_level: bool

        def handle(self, record: Any) -> None: ...
        def passes_as_is(self) -> bool: ...
        def is_alone(self) -> bool: ...
        def free(self, places: int) -> None: ...
        def work(self, shift: Shift) -> None: ...


STUCK_AFTER = 2.0  # seconds in one call: then the other sinks go on without this one
_BOOKED_AFTER = 0.001  # seconds: as long the ledger may not know what has been written
_REFUSED = "every handler raised"
_STUCK = "the handler did not return"
_INTERRUPTED = "an interrupt came"
_CLOSED = "the handler was closed"


class Shift:
    """One thread's work at the sinks behind one queue."""

    def __init__(self, sinks: Sinks, *, is_callers: bool = False) -> None:
        self.sinks = sinks
        self.is_callers = is_callers  # the thread is not the listener's own
        self.as_is = False  # the listener is not to be asked what it makes of each record
        self.outer: Shift | None = None  # what the thread was at before, and will be after
        self.batch: deque[Any] = deque()  # from the queue
        # The record at hand; None: there is none.
        self.record: Any = None
        self.is_derived = False  # a sink has logged it, or it tells of a burst
        self.burst: Burst | None = None  # of which it tells, if it is not a program's
        self.aside: deque[logging.LogRecord] = deque()  # what sinks have logged on it
        self.followed: set[int] = set()  # ids of the handlers to which they have
        self.took = self.failed = self.missed = 0  # how many sinks did
        self.lost_to = _REFUSED  # why, if none took it
        self.handlers: tuple[logging.Handler, ...] = ()  # the sinks
        self.position = 0  # among them
        self.sink: logging.Handler | None = None  # that is being called
        # What the ledger does not know yet.
        self.written = 0
        self.places = 0  # in the queue, that are free again
        self.book_at = 0.0
        self.is_slow = False  # the sinks took longer than that for one
        # For the thread that watches. `since`, `is_over` and `aside` change under the lock.
        self.lock = threading.RLock()
        self.since = 0.0  # when the sink was called; 0.0: none is being called
        self.is_over = False  # another thread goes on with what is left, or the process forked
        self.is_done = False  # the thread has ended
        self.has_watch = False
        self.is_unwatched = True  # the watch sleeps
        self.bell = make_bell()

    def begin(self, record: Any, *, is_derived: bool = False, burst: Burst | None = None) -> None:
        self.record, self.is_derived, self.burst = record, is_derived, burst
        self.took = self.failed = self.missed = self.position = 0
        self.handlers = self.sinks.listener.handlers
        if self.followed:
            self.followed = set()

    def successor(self) -> Shift:
        """Return the shift of a thread that goes on behind the sink that is being called."""
        other = Shift(self.sinks)
        other.batch, other.aside, other.followed = self.batch, self.aside, self.followed
        other.record, other.is_derived, other.burst = self.record, self.is_derived, self.burst
        other.took, other.failed, other.missed = self.took, self.failed, self.missed + 1
        other.written, other.places = self.written, self.places
        other.handlers, other.position = self.handlers, self.position + 1
        self.batch, self.aside, self.record = deque(), deque(), None
        return other

    def within(self, queue: object) -> Shift | None:
        """Return the shift, this or an outer one, of this thread at the sinks of *queue*."""
        shift: Shift | None = self
        while shift is not None and shift.sinks.listener.queue is not queue:
            shift = shift.outer
        return shift


# What each thread is at, by its ident.
_shifts: dict[int, Shift] = {}


def _after_fork() -> None:
    for shift in _shifts.values():
        shift.is_over = True  # the parent finishes it
    _shifts.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def shift_here() -> Shift | None:
    """Return what the running thread is at, if it is calling sinks."""
    return _shifts.get(_thread.get_ident())


class Sinks:
    """The handlers of one listener, called by one thread at a time and by callers in between."""

    def __init__(self, listener: Listener, ledger: Ledger) -> None:
        self.listener = listener  # whose handlers may be replaced at any time
        self.ledger = ledger
        self.untold: Burst | None = None  # no sink took it
        self.are_closing = False  # dictConfig may close them while records for them wait
        self._failing: set[int] = set()  # ids of the sinks whose last call raised
        self._stuck: dict[int, Burst] = {}  # what those that do not return have missed

    def run(self, shift: Shift, action: Callable[[Shift], None]) -> None:
        """Call *action*, which is what this thread is at meanwhile."""
        ident = _thread.get_ident()
        shift.outer = _shifts.get(ident)
        try:
            _shifts[ident] = shift
            try:
                action(shift)
            finally:
                self._abandon(shift)
        finally:
            if shift.outer is None:
                _shifts.pop(ident, None)
            else:
                _shifts[ident] = shift.outer
            self._abandon(shift)  # once more, if an interrupt has come in the first time

    def deliver(self, record: Any) -> None:
        """Give *record*, which did not wait, to the sinks at once, in the calling thread."""
        shift = Shift(self, is_callers=True)

        def count() -> None:  # nothing is called: an interrupt finds both done, or none
            self.ledger.under_way += 1
            shift.record = record

        def action(shift: Shift) -> None:
            shift.begin(None)
            self.ledger.locked(count)
            self._finish_record(shift)

        self.run(shift, action)

    def put_aside(self, shift: Shift, record: logging.LogRecord) -> bool:
        """A sink has logged *record* in the middle of *shift*: it follows the one at hand.

        Return False if another goes on with what follows, who does not look for it any more.
        """
        with shift.lock:
            if shift.is_over:
                return False
            self.ledger.begin(is_derived=True)
            shift.aside.append(record)
            return True

    def finish_batch(self, shift: Shift) -> None:
        """Give the records of the shift's batch to the sinks, and first the one at hand, if any."""
        batch = shift.batch
        shift.book_at = time.monotonic() + _BOOKED_AFTER
        shift.as_is = self.listener.passes_as_is()
        if shift.record is not None:  # another's, who is stuck with it
            self.call(shift, shift.record)
            self._finish_record(shift, is_passed=True)
        if len(batch) > 1:
            self._write_batch(shift)
        while batch and not shift.is_over:
            record = batch.popleft()
            is_derived = type(record) is Derived
            shift.begin(record.record if is_derived else record, is_derived=is_derived)
            shift.places += 1
            self._finish_record(shift)
            if time.monotonic() >= shift.book_at:
                shift.is_slow = True
                self._book(shift)
        self._book(shift)

    def _write_batch(self, shift: Shift) -> None:
        """Give the whole batch to the sink, if it is the only one and can take it."""
        handlers, batch = self.listener.handlers, shift.batch
        sink = handlers[0] if len(handlers) == 1 else None
        if not (isinstance(sink, FileHandler) and shift.as_is and sink.takes_batches()):
            return
        if id(sink) in self._stuck or any(type(record) is Derived for record in batch):
            return
        level = sink.level if self.listener.respect_handler_level else logging.NOTSET
        shift.begin(batch[0])
        shift.sink = sink
        try:
            rendered = sink.render_batch([record for record in batch if record.levelno >= level])
        except BaseException as error:
            shift.sink = None
            if shift.is_callers and not isinstance(error, Exception):
                raise
            return  # one by one: it is raised again, by the record whose it is
        shift.places += len(batch)
        shift.written += len(batch)
        record, shift.record = shift.record, None
        batch.clear()
        try:
            sink.write_batch(rendered)
        except Exception:
            self._report(shift, sink, record)
        finally:
            shift.sink = None
        if shift.aside and self._next(shift) is not None:
            self._finish_record(shift)

    def tell(self, shift: Shift, burst: Burst) -> None:
        """Give the sinks a record that says what was dropped."""
        self._begin_telling(shift, burst)
        self._finish_record(shift)

    def _begin_telling(self, shift: Shift, burst: Burst) -> None:
        record = burst.as_record()
        stamp(record)
        shift.begin(record, is_derived=True, burst=burst)

    def _finish_record(self, shift: Shift, *, is_passed: bool = False) -> None:
        """See the record at hand to its end, and what the sinks have logged on it."""
        record = shift.record
        while record is not None:
            if not is_passed:
                try:
                    if shift.as_is:
                        self.call(shift, record)
                    else:
                        self.listener.handle(record)
                except Exception:  # of a subclass
                    shift.failed += 1
                    self._report(shift, None, record)
            if shift.is_over:
                return
            is_passed = False
            self._settle(shift)
            record = None
            if shift.aside or self.untold is not None or shift.is_callers:
                record = self._next(shift)

    def _next(self, shift: Shift) -> Any:
        """Begin with what belongs to the record that was at hand, if anything does."""
        if shift.aside:
            shift.begin(shift.aside.popleft(), is_derived=True)
        elif self.untold is not None and shift.took:  # a sink works again
            burst, self.untold = self.untold, None
            self._begin_telling(shift, burst)
        elif shift.took and self.ledger.burst is not None and self.listener.is_alone():
            dropped = self.ledger.take_burst()
            if dropped is not None:
                self._begin_telling(shift, dropped)
        return shift.record

    def _settle(self, shift: Shift) -> None:
        """The sinks have had the record at hand: what has become of it?"""
        has_failed = shift.failed > 0 and shift.took == 0
        if shift.burst is not None:
            shift.record = None
            if has_failed:
                self._keep(shift.burst)
        elif shift.took or not (shift.failed or shift.missed):
            shift.record = None
            shift.written += 1
        else:
            self._lose(shift, shift.lost_to if has_failed else "")

    def _lose(self, shift: Shift, told: str) -> None:
        """The record at hand is lost: either both is noted, or none, if an interrupt comes."""

        def lose(level: int) -> None:
            shift.record = None
            self.ledger.under_way -= 1
            self.ledger.dropped += 1
            if told:
                self.ledger.tell(level, told)

        self.ledger.locked(lose, level_of(shift.record))

    def _keep(self, burst: Burst) -> None:
        if self.untold is None:
            self.untold = burst
        else:
            self.untold.merge(burst)

    def _book(self, shift: Shift) -> None:
        """Tell the ledger what was written, and the queue which places are free."""
        if shift.is_over:
            return
        if shift.written:
            self.ledger.locked(self._book_written, shift)
        if shift.places:
            places, shift.places = shift.places, 0
            self.listener.free(places)
        shift.book_at = time.monotonic() + _BOOKED_AFTER

    def _book_written(self, shift: Shift) -> None:
        written, shift.written = shift.written, 0
        self.ledger.under_way -= written
        self.ledger.written += written

    def _abandon(self, shift: Shift) -> None:
        """The thread leaves its shift. If it is by an interrupt, what is under way is lost."""
        if shift.is_over:
            return
        if shift.burst is not None or (shift.batch and shift.batch[0] is shift.record):
            shift.record = None
        if shift.record is not None:
            self._lose(shift, _INTERRUPTED)
        for records in (shift.aside, shift.batch):
            while records:
                self.ledger.locked(self._lose_one_of, records, shift, level_of(records[0]))
        self._book(shift)

    def _lose_one_of(self, records: deque[Any], shift: Shift, level: int) -> None:
        self.ledger.under_way -= 1
        self.ledger.dropped += 1
        shift.places += records is shift.batch
        records.popleft()
        self.ledger.tell(level, _INTERRUPTED)

    def call(self, shift: Shift, record: Any) -> None:
        """Give *record* to one sink after the other, from `shift.position` on."""
        handlers = shift.handlers
        respects_level = self.listener.respect_handler_level
        watch = shift if len(handlers) > 1 and not shift.is_callers else None
        if watch is not None:
            shift.record = record  # as prepared: another may have to go on with it
            if not shift.has_watch:
                self._start_watch(shift)
        for position in range(shift.position, len(handlers)):
            sink = handlers[position]
            if respects_level and record.levelno < getattr(sink, "level", logging.NOTSET):
                continue
            if self._stuck and self._misses(sink, record):
                shift.missed += 1
                continue
            if self.are_closing and _is_closed_for_good(sink):
                shift.failed, shift.lost_to = shift.failed + 1, _CLOSED
                continue
            if record.exc_info:
                record.exc_text = None  # rendered by another sink's formatter, in its own way
            shift.sink = sink
            if watch is not None:
                with watch.lock:
                    watch.position, watch.since = position, time.monotonic()
                if watch.is_unwatched:  # looked at after `since` is set, as the watch does it
                    ring(watch.bell)
            try:
                sink.handle(record)
            except BaseException as error:
                if shift.is_callers and not isinstance(error, Exception):
                    raise
                shift.failed, shift.lost_to = shift.failed + 1, _REFUSED
                self._report(shift, sink, record)
            else:
                shift.took += 1
                if self._failing:
                    self._failing.discard(id(sink))
            shift.sink = None
            if watch is not None:
                with watch.lock:
                    watch.since = 0.0
            if self._stuck:
                self._return(shift, sink)
            if shift.is_over:
                return

    def _report(self, shift: Shift, sink: logging.Handler | None, record: Any) -> None:
        """Count an exception that came out of *sink* (None: the listener's own methods).

        Report the first in a row.
        """
        self.ledger.count_error()
        if id(sink) not in self._failing:
            self._failing.add(id(sink))
            try:
                # One that was never made: to make one takes logging's own lock.
                (sink or logging.Handler.__new__(logging.Handler)).handleError(record)
            except BaseException as error:
                if shift.is_callers and not isinstance(error, Exception):
                    raise

    def flush(self) -> None:
        """Flush the sinks, but for those that would be waited for."""
        called = self.being_called()
        for sink in self.listener.handlers:
            if sink not in called and id(sink) not in self._stuck:
                with contextlib.suppress(Exception):
                    sink.flush()

    # A sink that does not return.

    def being_called(self) -> list[logging.Handler]:
        """Return the sinks that other threads are calling, perhaps for long."""
        here = _thread.get_ident()
        return [
            shift.sink
            for ident, shift in list(_shifts.items())
            if ident != here and shift.sinks is self and shift.sink is not None
        ]

    def leave_alone(self) -> None:
        """The time is up: nobody shall call the sinks that have not returned by now."""
        for sink in self.being_called():
            self._stuck.setdefault(id(sink), Burst(_STUCK))
            if sink not in self.being_called():  # it has returned just now, and not looked there
                self._stuck.pop(id(sink), None)

    def _misses(self, sink: logging.Handler, record: Any) -> bool:
        """Return whether *sink* is stuck with an earlier record, and count what it misses."""
        return self.ledger.locked(self._count_missed, id(sink), record.levelno)

    def _count_missed(self, sink: int, level: int) -> bool:
        burst = self._stuck.get(sink)
        if burst is not None:
            burst.add(level)
        return burst is not None

    def _start_watch(self, shift: Shift) -> None:
        shift.has_watch = True
        if lifecycle.has_ended():
            return
        watch = threading.Thread(
            target=self._watch, args=(shift,), name="threadlog-watch", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # at the end of the process: without one
            watch.start()

    def _watch(self, shift: Shift) -> None:
        """Look whether the thread of *shift* is stuck in a sink; if it is, take its place."""
        while not shift.is_done:
            since = shift.since
            left = since + STUCK_AFTER - time.monotonic()
            if since == 0.0:
                shift.is_unwatched = True
                if shift.since == 0.0 and not shift.is_done:
                    shift.bell.acquire()
                shift.is_unwatched = False
            elif left > 0:
                shift.bell.acquire(timeout=left)
            else:
                successor = self._relieve(shift, since)
                if successor is not None:
                    self.listener.work(successor)
                    return
                shift.bell.acquire(timeout=STUCK_AFTER)

    def _relieve(self, shift: Shift, since: float) -> Shift | None:
        """End *shift* if it is in one call since *since*, and others have something to get."""
        with shift.lock:
            sink, record = shift.sink, shift.record
            if shift.since != since or record is None:
                return None
            others = [
                other
                for other in shift.handlers
                if other is not sink and id(other) not in self._stuck
            ]
            if not (others and self._have_some(others, shift)):
                return None
            self._stuck[id(sink)] = Burst(_STUCK)
            shift.is_over = True
            return shift.successor()

    def _have_some(self, others: list[logging.Handler], shift: Shift) -> bool:
        """Return whether any record that waits is for one of *others*, as far as one can know."""
        queue = self.listener.queue
        if not isinstance(queue, Backlog) or not self.listener.respect_handler_level:
            return True
        least = min(getattr(other, "level", logging.NOTSET) for other in others)
        behind = any(
            level_of(shift.record) >= getattr(sink, "level", logging.NOTSET)
            for sink in shift.handlers[shift.position + 1 :]
            if sink in others
        )
        return behind or any(level_of(it) >= least for it in (*shift.batch, *queue.snapshot()))

    def _return(self, shift: Shift, sink: logging.Handler) -> None:
        """If *sink* was stuck, it has returned: tell it what it has missed, and let it go on."""
        while True:
            burst = self.ledger.locked(self._take_missed, id(sink))
            if burst is None:
                return
            record = burst.as_record()
            stamp(record)
            try:
                sink.handle(record)
            except BaseException as error:
                if shift.is_callers and not isinstance(error, Exception):
                    raise
                self._report(shift, sink, record)

    def _take_missed(self, sink: int) -> Burst | None:
        burst = self._stuck.get(sink)
        if burst is not None and burst.levels:
            self._stuck[sink] = Burst(_STUCK)
            return burst
        self._stuck.pop(sink, None)
        return None


def _is_closed_for_good(sink: logging.Handler) -> bool:
    """Return whether *sink* is a file that was closed, and that is not opened a second time."""
    return bool(
        getattr(sink, "_closed", False)
        and getattr(sink, "mode", None) == "w"
        and getattr(sink, "stream", sink) is None
    )
