"""QueueListener: the thread between a queue and its sinks, from its beginning to its end."""

from __future__ import annotations

import _thread
import contextlib
import logging
import logging.handlers
import math
import queue as queues
import threading
import time
import weakref
from collections import deque

from threadlog.handlers import lifecycle
from threadlog.handlers.backlog import Backlog
from threadlog.handlers.bell import ring
from threadlog.handlers.guard import forget_at_exit, holds_logging_lock, say
from threadlog.handlers.ledger import Burst, Ledger
from threadlog.handlers.putting import Putting
from threadlog.handlers.sinks import Shift, Sinks, shift_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from threadlog.handlers.ledger import Statistics

_NAME = "threadlog-listener"
_GRACE = 0.5  # seconds after the deadline: by then, whoever waited has given up
# A queue that raises something else has given a record that cannot be read.
_QUEUE_IS_GONE = (OSError, EOFError, ValueError, getattr(queues, "ShutDown", EOFError))
_UNREADABLE = 100  # records in a row: then it is the queue


# Listeners whose thread cannot run, by the id of their queue: who puts there delivers instead.
_without_thread: weakref.WeakValueDictionary[int, QueueListener] = weakref.WeakValueDictionary()


def without_thread(queue: object) -> QueueListener | None:
    """Return the listener to whose sinks the records of *queue* must be given directly, if any."""
    listener = _without_thread.get(id(queue)) if _without_thread else None
    return listener if listener is not None and listener.queue is queue else None


class QueueListener(logging.handlers.QueueListener):
    """Takes records from *queue*, in a thread of its own, and gives them to *handlers*, the sinks.

    It takes the arguments of `logging.handlers.QueueListener`. *queue* is anything with
    `get(block)` and, for `stop`, `put_nowait`. `start`, `stop` and `close`, which is `stop`, may be
    called in any order, any number of times and from any thread, a sink's own included; a listener
    is a context manager, too.

    A sink, filter or formatter that raises is counted, and reported by the sink's `handleError`,
    once until the sink works again. The other sinks and later records go on. A sink that does not
    return within two seconds is left alone with its record, and has no others until it returns;
    it is told then how many it has missed. (The last one that works is waited for, else the queue
    would be emptied for nobody.) What a sink logs itself to a handler of this queue follows after
    the record at hand, one for each record, and what it logs about that one is dropped.

    `stop` waits until everything in the queue is written, *drain_timeout* seconds at most; what
    is left then stays in the queue, and is reported on stderr. It does not wait in a sink's
    own thread, nor where the caller holds `logging`'s own lock. A listener that runs when the
    process ends is stopped; what a `QueueHandler` of this package puts in its queue after that
    goes to the sinks at once, and so it does where threads cannot start.

    Thread-safe. In a forked child it does not run.
    """

    if TYPE_CHECKING:  # logging does not say so
        _thread: threading.Thread | None
        handlers: tuple[logging.Handler, ...]
        queue: Any
        _sentinel: Any

    def __init__(
        self,
        queue: Any,
        *handlers: logging.Handler,
        respect_handler_level: bool = False,
        drain_timeout: float = 5.0,
    ) -> None:
        super().__init__(queue, *handlers, respect_handler_level=respect_handler_level)
        self.drain_timeout = drain_timeout
        self._owns_queue = isinstance(queue, Backlog)
        self._ledger = queue if isinstance(queue, Backlog) else Ledger()
        if isinstance(queue, Backlog):
            queue.call_listener = self.start_soon
        self._renew()
        lifecycle.renew_in_child(self)

    def _renew(self) -> None:
        self._thread = None
        self._ended: threading.Thread | None = None  # the last one that has nothing left to do
        self._vacancy = deque([None])  # whoever pops it attends to the queue
        self._deadline = math.inf  # when what is left is given up
        self._has_given_up = False
        self._owes_sentinel = False  # there was no room for it
        self._sentinels = 0  # of ours, in the queue
        self._sinks = Sinks(self, self._ledger)

    def after_fork(self) -> None:
        """In a forked child: there is no thread, and nothing is under way."""
        self._renew()
        self._ledger.after_fork()

    def statistics(self) -> Statistics:
        """Return what has become of the records so far, at one moment: see `Statistics`."""
        return self._ledger.statistics()

    # Beginning and end.

    def start(self) -> None:
        """Start the thread. If it runs already, do nothing but take back an earlier `stop`."""
        self._deadline = math.inf
        self._has_given_up = self._owes_sentinel = False
        _without_thread.pop(id(self.queue), None)
        if self._owns_queue:
            self.queue.reopen()
        try:
            self._vacancy.pop()
        except IndexError:
            return
        lifecycle.drain_at_exit(self)
        try:
            self._make_thread().start()
        except RuntimeError:
            self._go_direct()

    def start_soon(self) -> None:
        """Have a thread attend to the queue, or do so here if none can start.

        It may be called anywhere, by a signal handler in the middle of `threading.Thread.start` for
        example. Therefore no `Thread` is started here, which would take the lock that one has.
        """
        try:
            self._vacancy.pop()
        except IndexError:
            return
        if lifecycle.has_ended():
            self._attend_here()
            return
        lifecycle.drain_at_exit(self)  # the end may come before the thread does
        try:
            _thread.start_new_thread(self._start_thread, (self._make_thread(),))
        except RuntimeError:  # a subinterpreter, too many threads, or the end of the process
            lifecycle.is_drained(self)
            self._attend_here()

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._monitor, name=_NAME, daemon=True)

    def _start_thread(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError:
            lifecycle.is_drained(self)
            self._attend_here()

    def finish(self) -> None:
        """End when everything in the queue is written; do not wait for it."""
        if self._deadline != math.inf:
            return
        self._deadline = time.monotonic() + self.drain_timeout
        if self._owns_queue:
            self.queue.finish()
        elif not self._vacancy:
            self._put_sentinel()

    def _put_sentinel(self) -> None:
        self._owes_sentinel = True
        while self._owes_sentinel:
            try:
                with Putting(self.queue):
                    self.enqueue_sentinel()
                self._sentinels += 1
                self._owes_sentinel = False
            except queues.Full:  # the thread makes room, unless it is stuck
                if _must_not_wait(self) or time.monotonic() > self._deadline:
                    return  # the thread puts it
                time.sleep(0.001)

    def stop(self) -> None:
        """End when everything in the queue is written, and wait for it, *drain_timeout* at most."""
        self.finish()
        if _must_not_wait(self):
            return
        if not wait_until(self._is_idle, self._deadline):
            self._give_up()
        elif lifecycle.has_ended():
            with contextlib.suppress(IndexError):
                self._vacancy.pop()
                self._go_direct()
        elif self._ended is not None:
            self._ended.join(1.0)  # it has nothing left to do

    def let_go(self) -> None:
        """At the end of the process: have nobody wait for the sinks that do not return."""
        for sink in self._sinks.being_called():
            forget_at_exit(sink)

    def close(self) -> None:
        """Stop."""
        self.stop()

    def flush(self) -> None:
        """Wait until what was accepted before is written, *drain_timeout* at most."""
        if _must_not_wait(self):
            return
        accepted = self.statistics().accepted
        ledger = self._ledger
        if wait_until(
            lambda: ledger.written + ledger.dropped >= accepted,
            min(self._deadline, time.monotonic() + self.drain_timeout),
        ):
            for sink in self.handlers:
                with contextlib.suppress(Exception):
                    sink.flush()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _go_direct(self) -> None:
        """Without a thread, callers deliver from now on. See to what came before they knew."""
        lifecycle.is_drained(self)
        if not self._owns_queue:
            _without_thread[id(self.queue)] = self
        self._attend_here()

    def _is_idle(self) -> bool:
        return bool(self._vacancy) and not (self._owns_queue and self.queue.qsize())

    def _give_up(self) -> None:
        """The time is up: drop what is left, or leave it in a queue that is not ours. Say so."""
        with self._ledger.counting():
            if self._has_given_up:
                return
            self._has_given_up = True
        if self._owns_queue:
            burst = self.queue.give_up()
            count = sum(burst.levels.values()) + self._ledger.under_way
            what = f"{count} records were not written"
        else:
            left = "some"
            with contextlib.suppress(Exception):  # not every queue can tell
                left = str(self.queue.qsize() - self._sentinels)
            what = f"{left} records are left in the queue"
        say(f"threadlog: {what} after {self.drain_timeout} seconds")

    # The listener's thread.

    def _monitor(self) -> None:
        self.work(Shift(self._sinks))

    def work(self, shift: Shift) -> None:
        """Attend to the queue, as the listener's thread, until the end of *shift*."""
        self._thread = threading.current_thread()
        if self._owns_queue:
            self.queue.attend()
        try:
            self._attend(shift)
        finally:
            shift.is_done = True
            ring(shift.bell)
            if not shift.is_over:
                self._leave()

    def _leave(self) -> None:
        if self._deadline != math.inf:
            self._close_again()
        self._ended, self._thread = self._thread, None
        lifecycle.is_drained(self)
        self._vacancy.append(None)
        if self._owns_queue and self.queue.qsize():  # it came in the very last moment
            self.queue.rouse()

    def _close_again(self) -> None:
        """Close the sinks that `dictConfig` has closed when they had records to come."""
        for sink in self.handlers:
            if getattr(sink, "_closed", False):
                with contextlib.suppress(Exception):
                    sink.close()
        untold, self._sinks.untold = self._sinks.untold, None
        if untold is not None:
            say(f"threadlog: {untold.as_record().getMessage()}")

    def _attend_here(self) -> None:
        """Attend to the queue in this thread, which has taken the vacancy, until it is empty."""
        while True:
            try:
                self._attend(Shift(self._sinks, is_callers=True))
            finally:
                self._vacancy.append(None)
            if not self._owns_queue or self.queue.empty():
                return
            try:
                self._vacancy.pop()
            except IndexError:  # another attends to the rest
                return

    def _attend(self, shift: Shift) -> None:
        """Take records from the queue until its end, or until *shift* is over."""
        sinks = self._sinks
        fetch = self.queue.fetch if self._owns_queue else self._fetch_one
        with shift:
            sinks.finish_batch(shift)
            while not shift.is_over:
                found = fetch(shift.batch, not shift.is_callers, shift.is_slow)
                if found is None:
                    return
                if isinstance(found, Burst):
                    sinks.tell(shift, found)
                else:
                    shift.is_slow = False
                    sinks.finish_batch(shift)
                if self._deadline != math.inf and time.monotonic() >= self._deadline + _GRACE:
                    self._give_up()
                if self._has_given_up:
                    return

    def _fetch_one(self, batch: deque[Any], block: bool, _: bool) -> bool | None:
        """Add the next record of a queue that is not ours to *batch*. None: there is none."""
        for attempt in range(_UNREADABLE):
            if self._owes_sentinel:
                self._put_sentinel()
            try:
                item = self.dequeue(block)
            except queues.Empty:
                return None
            except _QUEUE_IS_GONE as error:
                say(f"threadlog: a QueueListener has ended: its queue raised {error!r}")
                return None
            except Exception as error:
                self._ledger.count_error()
                if attempt == 0:
                    say(f"threadlog: a record could not be read from the queue: {error!r}")
                continue
            if item is not self._sentinel:
                self._ledger.begin()
                batch.append(item)
                return True
            self.free(1)
            self._sentinels -= 1
            if self._sentinels < 0 or (self._sentinels == 0 and self._deadline != math.inf):
                self._sentinels = 0
                return None  # somebody else's, or that of the last stop
        return None

    def passes_as_is(self) -> bool:
        """Return whether records may go to the sinks without `handle` and `prepare`."""
        return (
            self._owns_queue
            and type(self).handle is QueueListener.handle
            and type(self).prepare is logging.handlers.QueueListener.prepare
        )

    def free(self, places: int) -> None:
        """Tell the queue that so many records are done."""
        if self._owns_queue:
            self.queue.give_back(places)
        elif hasattr(self.queue, "task_done"):
            for _ in range(places):
                self.queue.task_done()

    # One record.

    def deliver(self, record: logging.LogRecord) -> None:
        """Give *record* to the sinks at once, in the calling thread."""
        self._sinks.deliver(record)

    def handle(self, record: logging.LogRecord) -> None:
        """Give *record* to the sinks. What they raise is reported, and not raised."""
        record = self.prepare(record)
        shift = shift_here()
        if shift is not None and shift.sinks is self._sinks:
            self._sinks.call(shift, record)
        else:
            self._sinks.deliver(record)


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Return whether *condition* came true before *deadline*. Takes no lock."""
    pause = 0.0005
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def _must_not_wait(listener: QueueListener) -> bool:
    """Return whether *listener* waits for this thread, or may wait for it."""
    shift = shift_here()
    return holds_logging_lock() or (shift is not None and shift.within(listener.queue) is not None)
