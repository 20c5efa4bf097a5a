"""QueueListener: the thread between a queue and its sinks, from its beginning to its end."""

from __future__ import annotations

import _thread
import contextlib
import logging
import logging.handlers
import queue as queues
import threading
import time
import weakref
from collections import deque

from threadlog import lifecycle
from threadlog.guard import close_as_logging_does, forget_at_exit, holds_logging_lock, say
from threadlog.handlers.backlog import Backlog
from threadlog.handlers.bell import ring
from threadlog.handlers.putting import use, use_here
from threadlog.handlers.sinks import Shift, Sinks, shift_here
from threadlog.ledger import Burst, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from threadlog.ledger import Statistics

_NAME = "threadlog-listener"
_STARTED_BY = 10.0  # seconds: whoever was about to start a thread has done so, or never will
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
    it is told then how many it has missed. (It is waited for as long as nothing is there for the
    others, else the queue would be emptied for nobody.) What a sink logs itself to a handler of
    this queue follows after the record at hand, one for each record, and what it logs about that
    one is dropped.

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
        if getattr(queue, "call_listener", None) is not None:
            raise ValueError("this queue is a QueueHandler's own, which has a listener")
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
        self._end: _End | None = None  # that was asked for
        self._holder: int | None = None  # the ident of the thread that does
        self._claimed_at = 0.0  # when somebody was about to
        self._starts = 0
        self._owes_sentinel = False  # there was no room for it
        self._sentinel_claim = deque([None])  # whoever pops it puts one
        self._sentinels: deque[None] = deque()  # one for each of ours in the queue
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
        self._ledger.locked(self._take_end_back)
        if not self._owns_queue:
            lifecycle.stop_before_queues_close(self)
        _without_thread.pop(id(self.queue), None)
        self._fill_vacancy(self._start_now)

    def _take_end_back(self) -> None:
        self._starts += 1
        self._end = None
        self._owes_sentinel = self._sinks.are_closing = False
        if self._owns_queue:
            self.queue.reopen()

    def start_soon(self) -> None:
        """Have a thread attend to the queue, or do so here if none can start.

        It may be called anywhere, by a signal handler in the middle of `threading.Thread.start` for
        example. Therefore no `Thread` is started here, which would take the lock that one has.
        """
        self._fill_vacancy(self._start_by_another)

    def _fill_vacancy(self, start: Callable[[deque[None]], None]) -> None:
        if self._vacancy:
            self._claimed_at = time.monotonic()
        elif self._holder is None and time.monotonic() > self._claimed_at + _STARTED_BY:
            self._vacancy.append(None)  # whoever took it was interrupted at once
        if not _take(self._vacancy):  # there is one, or it is on its way
            return
        ticket = deque([None])  # the thread takes it, or after an interrupt we take it back
        try:
            if not lifecycle.has_ended():  # no thread is started at the end
                lifecycle.drain_at_exit(self)  # which may come before the thread does
                with contextlib.suppress(RuntimeError):  # a subinterpreter, or too many threads
                    start(ticket)
                    return
        except BaseException:
            if _take(ticket):
                self._thread = None
                self._vacancy.append(None)
            raise
        self._thread = None
        self._go_direct()

    def _make_thread(self, ticket: deque[None]) -> threading.Thread:
        return threading.Thread(target=self._monitor, args=(ticket,), name=_NAME, daemon=True)

    def _start_now(self, ticket: deque[None]) -> None:
        thread = self._thread = self._make_thread(ticket)  # at once, as logging: who asks, may stop
        thread.start()

    def _start_by_another(self, ticket: deque[None]) -> None:
        _thread.start_new_thread(self._start_or_attend, (self._make_thread(ticket), ticket))

    def _start_or_attend(self, thread: threading.Thread, ticket: deque[None]) -> None:
        if not lifecycle.has_ended():
            with contextlib.suppress(RuntimeError):
                thread.start()
                return
        if _take(ticket):
            self._go_direct()

    def _go_direct(self) -> None:
        """Attend to the queue here, in the vacancy's place. Callers deliver from now on."""
        lifecycle.is_drained(self)
        if not self._owns_queue:
            _without_thread[id(self.queue)] = self
        self._attend_here()

    def finish(self) -> _End:
        """End when everything in the queue is written; do not wait for it."""
        end, is_new = self._ledger.locked(self._ask_for_end)
        if is_new and self._owns_queue:
            self.queue.rouse_to_finish()
        elif is_new and not self._vacancy:
            self._put_sentinel()
        return end

    def _ask_for_end(self) -> tuple[_End, bool]:
        is_new = self._end is None
        if self._end is None:
            self._end = _End(time.monotonic() + self.drain_timeout)
            self._sinks.are_closing = True
            if self._owns_queue:
                self.queue.finish()
        return self._end, is_new

    def _put_sentinel(self) -> None:
        here = use_here(self.queue)
        if here is not None and not here.is_later:  # a signal handler, in the middle of a put
            here.later.append(self._put_sentinel)
            return
        self._owes_sentinel = True  # until it is there: the listener's thread looks at it
        if not _take(self._sentinel_claim):  # another is at it
            return
        try:
            while self._owes_sentinel and not self._put_one_sentinel():
                end = self._end
                if end is None or self._must_not_wait() or time.monotonic() > end.deadline:
                    return
                time.sleep(0.001)  # the listener's thread makes room, unless it is stuck
        finally:
            self._sentinel_claim.append(None)

    def _put_one_sentinel(self) -> bool:
        self._sentinels.append(None)  # first: it may be read at once
        try:
            use(self.queue, self.enqueue_sentinel)
        except queues.Full:
            self._sentinels.pop()
            return False
        except BaseException:
            self._sentinels.pop()
            self._owes_sentinel = False
            raise
        self._owes_sentinel = False
        return True

    def stop(self) -> None:
        """End when everything in the queue is written, and wait for it, *drain_timeout* at most."""
        end = self.finish()
        if self._must_not_wait():
            return
        if not wait_until(lambda: self._is_idle() or self._end is not end, end.deadline):
            self._give_up(end)
        elif self._end is not end:
            return  # another has started it again
        elif lifecycle.has_ended():
            if _take(self._vacancy):
                self._go_direct()
        elif self._ended is not None:
            self._ended.join(1.0)  # it has nothing left to do

    def is_alone(self) -> bool:
        """Return whether there is no thread that would tell of what is dropped."""
        return self._owns_queue and bool(self._vacancy)

    def let_go(self) -> None:
        """At the end of the process: have nobody wait for the sinks that do not return."""
        for sink in self._sinks.being_called():
            forget_at_exit(sink)

    def close(self) -> None:
        """Stop."""
        self.stop()

    def flush(self) -> None:
        """Wait until what is in a `QueueHandler`'s own queue is written, as `stop` does."""
        if not self._owns_queue or self._must_not_wait():
            return
        position, end = self.queue.position(), self._end
        deadline = time.monotonic() + self.drain_timeout
        if end is not None:
            deadline = min(deadline, end.deadline)
        if wait_until(lambda: self.queue.is_past(position), deadline):
            self._sinks.flush()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_idle(self) -> bool:
        return bool(self._vacancy) and not (self._owns_queue and self.queue.qsize())

    def _must_not_wait(self) -> bool:
        """Return whether the listener waits for this thread, or may wait for it."""
        shift = shift_here()
        return (
            (shift is not None and shift.within(self.queue) is not None)
            or self._thread is threading.current_thread()
            or use_here(self.queue) is not None
            or holds_logging_lock()
        )

    def _give_up(self, end: _End) -> None:
        """The time is up: drop what is left, or leave it in a queue that is not ours. Say so."""
        if self._end is not end or not end.claim():
            return
        self._sinks.leave_alone()
        if self._owns_queue:
            count = self.queue.give_up() + self._ledger.under_way
            what = f"{count} records were not written"
        else:
            left = "some"
            with contextlib.suppress(Exception):  # not every queue can tell
                left = str(self.queue.qsize() - len(self._sentinels))
            what = f"{left} records are left in the queue"
        say(f"threadlog: {what} after {self.drain_timeout} seconds")

    # The listener's thread.

    def _monitor(self, ticket: deque[None]) -> None:
        if _take(ticket):  # else it was taken back
            self.work(Shift(self._sinks))

    def work(self, shift: Shift) -> None:
        """Attend to the queue, as the listener's thread, until the end of *shift*."""
        self._thread = threading.current_thread()
        self._holder = _thread.get_ident()
        starts = self._starts
        if self._owns_queue:
            self.queue.attend()
        is_well = False
        try:
            self._sinks.run(shift, self._attend)
            is_well = True
        finally:
            shift.is_done = True
            ring(shift.bell)
            if not shift.is_over:
                self._leave(is_well, starts)
            elif self._vacancy:  # the one that has relieved it has left before
                self._tell_drained()

    def _leave(self, is_well: bool, starts: int) -> None:
        try:
            if self._end is not None:
                self._close_again()
        finally:
            if self._owns_queue:
                self.queue.leave()
            self._ended, self._thread = self._thread, None
            self._tell_drained()
            self._holder = None
            self._vacancy.append(None)
        if not is_well:
            return  # the next record calls another
        if self._owns_queue and self.queue.qsize():  # it came in the very last moment
            self.queue.rouse()
        elif self._starts != starts and self._end is None:  # and so did a start
            self.start()

    def _tell_drained(self) -> None:
        if not self._sinks.being_called():  # else nobody may wait for it when the process ends
            lifecycle.is_drained(self)

    def _close_again(self) -> None:
        """Close the sinks that `dictConfig` has closed when they had records to come."""
        for sink in self.handlers:
            if getattr(sink, "_closed", False):
                with contextlib.suppress(Exception):
                    close_as_logging_does(sink)
        untold, self._sinks.untold = self._sinks.untold, None
        if untold is not None:
            say(f"threadlog: {untold.as_record().getMessage()}")

    def _attend_here(self) -> None:
        """Attend to the queue in this thread, which has taken the vacancy, until it is empty."""
        while True:
            try:
                self._holder = _thread.get_ident()
                self._sinks.run(Shift(self._sinks, is_callers=True), self._attend)
            finally:
                self._holder = None
                self._vacancy.append(None)
                if self._owns_queue:
                    self.queue.leave()
            if not self._owns_queue or self.queue.empty():
                return
            if not _take(self._vacancy):  # another attends to the rest
                return

    def _attend(self, shift: Shift) -> None:
        """Take records from the queue until its end, or until *shift* is over."""
        sinks = self._sinks
        fetch = self.queue.fetch if self._owns_queue else self._fetch_one
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
            end = self._end
            if end is not None:
                if time.monotonic() >= end.deadline + _GRACE:
                    self._give_up(end)
                if end.is_given_up:
                    return

    def _fetch_one(self, batch: deque[Any], block: bool, _: bool) -> bool | None:
        """Add the next record of a queue that is not ours to *batch*. None: there is none."""
        for attempt in range(_UNREADABLE):
            if self._owes_sentinel:
                self._put_sentinel()
            try:
                item = use(self.queue, lambda: self.dequeue(block))
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
            is_ours = bool(self._sentinels)
            if is_ours:
                self._sentinels.popleft()
            if not is_ours or (self._end is not None and not self._sentinels):
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
                use(self.queue, self.queue.task_done)

    # One record.

    def deliver(self, record: logging.LogRecord) -> None:
        """Give *record* to the sinks at once, in the calling thread."""
        self._sinks.deliver(record)

    def handle(self, record: Any) -> None:
        """Give *record* to the sinks. What they raise is reported, and not raised."""
        shift = shift_here()
        if shift is not None and shift.sinks is self._sinks:
            self._sinks.call(shift, self.prepare(record))
        else:
            self._sinks.deliver(record)


class _End:
    """An end that was asked for, and until when it is waited for."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # of the monotonic clock
        self._claims = deque([None])

    def claim(self) -> bool:
        """Return True to the one that gives up, and False to all others."""
        return _take(self._claims)

    @property
    def is_given_up(self) -> bool:
        return not self._claims


def _take(tokens: deque[None]) -> bool:
    """Take one of *tokens*, in one step that nothing can interrupt; False: there is none."""
    try:
        tokens.pop()
    except IndexError:
        return False
    return True


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Return whether *condition* came true before *deadline*. Takes no lock."""
    pause = 0.0005
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True
