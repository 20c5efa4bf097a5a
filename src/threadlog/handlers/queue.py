"""QueueHandler: the caller's side of a queue."""

from __future__ import annotations

import contextlib
import copy
import logging
import logging.handlers
import pickle
import queue as queues
import threading
import time

from threadlog import fastrecord, lifecycle
from threadlog.filters import stamp
from threadlog.guard import filtered, report_error, say, shown, substitute
from threadlog.handlers.backlog import OVERFLOW, QUIET, Backlog, Derived
from threadlog.handlers.listener import QueueListener, without_thread
from threadlog.handlers.putting import use, use_here
from threadlog.handlers.sinks import shift_here
from threadlog.ledger import Ledger
from threadlog.nearest import with_hint
from threadlog.toggle import own_formatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from threadlog.handlers.sinks import Shift
    from threadlog.ledger import Statistics

_LogRecord = logging.LogRecord
_FastRecord = fastrecord.LogRecord
_new = object.__new__
# What cannot change between the call and the rendering. Exactly these: a subclass may do anything.
_IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, complex))
_IN_PROCESS = (queues.Queue, queues.SimpleQueue)
_PLAIN = logging.Formatter()


class QueueHandler(logging.handlers.QueueHandler):
    """Hands records to a queue, so that the caller never waits for what becomes of them.

    `QueueHandler(handlers=[sink, ...])` has a queue and a listener of its own. There is nothing to
    start or stop: the listener's thread begins with the first record, in a forked child too, and
    when the process ends, what has been accepted is written. The queue is lost if the process
    is killed.

    *capacity*: as many records may wait (10,000), those that are being written included.
    *overflow*: what is done with a record that finds no room. "block" waits for room, *timeout*
    seconds (1.0) at most, and then drops it; after such a time-out nobody waits again until the
    sinks have written something. "drop_new" drops it. "drop_old" drops the one that has waited
    longest. "direct" has the caller give it to the sinks itself, ahead of those that wait.
    *reserve*: as many places of the capacity (0) are for records of WARNING and above; with
    "drop_old" these then are not dropped for lesser ones either. Dropped records are counted, and
    told of by one WARNING record of the logger's name `threadlog.handlers` for each burst of them.
    *respect_handler_level*: sinks get no records below their own level (True, unlike
    `logging.handlers.QueueListener`, where it is False by default). *drain_timeout*: `flush`,
    `close` and the end of the process wait for the sinks as long, in seconds (5.0); what is not
    written by then is dropped, and its number said on stderr.

    `QueueHandler(queue)` is used as `logging.handlers.QueueHandler`, with a listener elsewhere; the
    arguments above are not for it. *queue* is anything with `put_nowait`; what raises
    `queue.Full` is counted and told in the log.

    Who wrote a record is captured in the caller, by `ThreadInfoFilter`'s rules. Its message is
    rendered there if an argument may change later, by the sinks otherwise; of a dict as the message
    they get a copy. An exception is rendered by each sink. A formatter of the handler is used by
    those sinks that have none.
    `QueueHandler(queue)` renders the message in the caller, all of it if the handler has a
    formatter, as `logging` does; and for a queue that may leave the process, which is any but a
    `queue.Queue` or `queue.SimpleQueue`, it makes the record ready to be pickled.

    Raises ValueError and TypeError for wrong arguments. Thread-safe; may be called from signal
    handlers, finalizers and its own sinks. Fork-safe: a child begins with an empty queue.
    """

    if TYPE_CHECKING:
        queue: Any
        listener: Any

    _is_own = False  # until it is whole: a signal handler may configure logging, which flushes all

    def __init__(
        self,
        queue: Any = None,
        *,
        handlers: Iterable[logging.Handler] = (),
        capacity: int = 10_000,
        overflow: str = "block",
        timeout: float = 1.0,
        reserve: int = 0,
        respect_handler_level: bool = True,
        drain_timeout: float = 5.0,
    ) -> None:
        sinks = _checked_sinks(handlers)
        options = {
            "capacity": capacity,
            "overflow": overflow,
            "timeout": timeout,
            "reserve": reserve,
            "respect_handler_level": respect_handler_level,
            "drain_timeout": drain_timeout,
        }
        if queue is None:
            _check(capacity, overflow, timeout, reserve, drain_timeout)
            if not sinks:
                raise ValueError("give handlers=[...], the sinks, or a queue that a listener reads")
            queue = Backlog(capacity, overflow, timeout, reserve)
        else:
            _refuse_for_a_queue(queue, sinks, options)
        super().__init__(queue)
        self.listener = None
        self._is_own = isinstance(queue, Backlog)
        self._drops_new = overflow == "drop_new"
        if isinstance(queue, Backlog):
            self._ledger: Ledger = queue
            self.listener = QueueListener(
                queue,
                *sinks,
                respect_handler_level=respect_handler_level,
                drain_timeout=drain_timeout,
            )
        else:
            self._ledger = Ledger()
            lifecycle.renew_in_child(self._ledger)

    def statistics(self) -> Statistics:
        """Return what has become of the records so far, at one moment: see `Statistics`.

        Without a listener of its own, *written* counts what the queue has taken.
        """
        return self._ledger.statistics()

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Use *fmt* for the sinks that have no formatter of their own, if it has sinks."""
        before, self.formatter = self.formatter, fmt
        if self._is_own:
            for sink in self.listener.handlers:
                own = own_formatter(sink)
                if own is None or own is before:
                    sink.setFormatter(fmt)

    # The way of a record: handle, emit, prepare, enqueue.

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and emit *record*, without the handler's lock: a caller may wait for room."""
        passed = filtered(self, record)
        if passed is None:
            return False
        self.emit(passed)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Hand *record* over. No error reaches the caller: see `handleError`."""
        try:
            shift = shift_here()
            if shift is not None and self._is_followed_up(shift, record):
                return
            if not self._is_own:
                self._emit_to_queue(record)
            elif self._drops_new and self.queue.would_drop(record.levelno):
                self.queue.refuse(record.levelno)  # there is no need to prepare it
            else:
                self.enqueue(self.prepare(record))
        except Exception:
            report_error(self, record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy of *record*, stamped, that may be rendered later and elsewhere."""
        if type(record) is _LogRecord or type(record) is _FastRecord:
            ready: logging.LogRecord = _new(_LogRecord)
            ready.__dict__ = record.__dict__.copy()
        else:
            ready = copy.copy(record)
        stamp(ready)
        if not self._is_own:
            self._render_for_queue(ready)
        else:
            if not _is_fixed(ready):
                self._fix_message(ready)
            if ready.exc_info:
                ready.exc_text = None  # another handler's way: each sink has its own
        return ready

    def _fix_message(self, ready: logging.LogRecord) -> None:
        if type(ready.msg) is dict and not ready.args:
            with contextlib.suppress(RecursionError):  # it contains itself
                ready.msg = _copied(ready.msg)
                return
        self._render_message(ready)

    def _render_message(self, ready: logging.LogRecord) -> None:
        try:
            ready.message = ready.getMessage()
        except Exception:
            report_error(self, ready)
            ready.message = substitute(ready)
        ready.msg, ready.args = ready.message, None

    def _render_for_queue(self, ready: logging.LogRecord) -> None:
        """Render as `logging` does, in the caller; but an exception is no part of the message."""
        if self.formatter is not None:
            ready.message = ready.msg = self.format(ready)  # with traceback and stack
            ready.args = ready.exc_info = ready.exc_text = ready.stack_info = None
            return
        self._render_message(ready)
        stays_here = isinstance(self.queue, _IN_PROCESS)
        if ready.exc_info and stays_here:
            ready.exc_text = None
        elif ready.exc_info:
            ready.exc_text = ready.exc_text or _PLAIN.formatException(ready.exc_info)
            ready.exc_info = None
        if not stays_here:
            _make_portable(ready)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put *record* in the queue, as `prepare` has returned it. To be overridden, as ever."""
        if not self._is_own:
            self.queue.put_nowait(record)
        elif not self.queue.put(record):
            self.listener.deliver(record)

    def _is_followed_up(self, shift: Shift, record: logging.LogRecord) -> bool:
        """See to what is logged while sinks are called in this thread, by a sink most likely.

        It must not feed back: one such record may follow a program's, and none may follow it.
        Return False if it may be handed over as any other.
        """
        own = shift.within(self.queue)
        if shift.record is None:  # by a finalizer, while the listener is between two records
            if own is None or not self._is_own:
                return False
            self.queue.put_at_once(self.prepare(record))
        elif shift.is_derived or id(self) in shift.followed:
            self._ledger.drop(record.levelno)
        else:
            shift.followed.add(id(self))
            ready = self.prepare(record)
            if own is not None and own.sinks.put_aside(own, ready):
                return True
            if not self._is_own:
                return False
            self.queue.put_at_once(Derived(ready))
        return True

    # A queue that is not ours.

    def _emit_to_queue(self, record: logging.LogRecord) -> None:
        """Put *record*, and then what this thread has logged to this handler meanwhile.

        The queue itself may log, as multiprocessing's does, or a signal handler, while the queue's
        lock is held. These wait here.
        """
        within = use_here(self.queue)
        if within is None:
            use(self.queue, lambda: self._put(record))
        elif within.is_later or not self._ledger.may_derive():
            self._ledger.drop(record.levelno)
        else:
            within.later.append(lambda: self._put(record, is_derived=True))

    def _put(self, record: logging.LogRecord, *, is_derived: bool = False) -> None:
        ledger = self._ledger
        ledger.begin(is_derived=is_derived)
        written, told = False, ""
        try:
            ready = self.prepare(record)
            listener = without_thread(self.queue)
            if listener is not None:
                listener.deliver(ready)
            else:
                self.enqueue(ready)
            written = True
        except queues.Full:
            told = "the queue was full"
        except Exception:
            ledger.count_error()
            report_error(self, record)
        finally:
            if written:
                ledger.write(1)
            else:
                ledger.lose(record.levelno, told)
        if written and ledger.burst is not None:
            self._tell_of_burst(time.monotonic() - QUIET)

    def _tell_of_burst(self, over_since: float) -> None:
        """Put a record in the queue that says what was dropped, unless it goes on."""
        burst = self._ledger.burst
        if burst is None or (burst.ended > over_since and burst.is_short()):
            return
        burst = self._ledger.take_burst()
        if burst is not None:
            try:
                self.enqueue(self.prepare(burst.as_record()))
            except Exception:
                self._ledger.keep_burst(burst)

    # The end.

    def flush(self) -> None:
        """Wait until what was accepted before is written, *drain_timeout* at most.

        Does not wait in a sink's own thread, nor under `logging`'s own lock. For a queue that is
        not its own it does nothing.
        """
        if self._is_own:
            self.listener.flush()

    def close(self) -> None:
        """Write what is left, as `flush` does, and end the listener. Idempotent.

        Where it may not wait, the listener goes on alone, and closes those sinks once more that
        were closed meanwhile. A record that comes later goes to the sinks at once. The sinks
        are not closed.
        """
        if self._is_own:
            self.listener.stop()
        elif self._ledger.burst is not None and use_here(self.queue) is None:
            use(self.queue, lambda: self._tell_of_burst(time.monotonic()))
            burst = self._ledger.take_burst()
            if burst is not None:
                say(f"threadlog: {burst.as_record().getMessage()}")
        super().close()

    def __del__(self) -> None:
        try:
            if self._is_own:
                self.listener.finish()
        except Exception:  # it was never made whole, or the interpreter is at its end
            pass


def _copied(value: Any) -> Any:
    """Return a copy of a message that is a dict: some formatters know what to do with its parts."""
    if type(value) is dict:
        return {key: _copied(part) for key, part in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(map(_copied, value))
    return value


def _is_fixed(record: logging.LogRecord) -> bool:
    """Return whether the message will be the same later."""
    if type(record.msg) is not str:
        return False
    args = record.args
    if type(args) is tuple:
        for arg in args:  # noqa: SIM110  a generator costs as much as all of this
            if type(arg) not in _IMMUTABLE:
                return False
        return True
    return not args


def _make_portable(record: logging.LogRecord) -> None:
    """Replace what cannot be pickled by its repr: a queue may pickle late, and lose it silently."""
    for name, value in record.__dict__.items():
        if type(value) not in _IMMUTABLE and name != "log_context":
            try:
                pickle.dumps(value)
            except Exception:
                record.__dict__[name] = shown(value)


def _refuse_for_a_queue(queue: object, sinks: object, options: dict[str, object]) -> None:
    if isinstance(queue, Backlog):
        raise ValueError("this queue is another QueueHandler's own: give that one to the loggers")
    if sinks:
        raise ValueError(
            "handlers are for a handler with a queue of its own; for this queue write "
            "QueueListener(queue, *handlers)"
        )
    defaults = QueueHandler.__init__.__kwdefaults__ or {}
    for name, value in options.items():
        if value != defaults[name]:
            raise ValueError(
                f"{name} is for a handler with a queue of its own, made by QueueHandler(handlers="
                "[...]): this queue and its listener see to it themselves; logging's dictConfig "
                "makes one where '()' names the class, and not 'class'"
            )


def _checked_sinks(handlers: Any) -> list[logging.Handler]:
    if isinstance(handlers, (str, bytes, logging.Handler)) or not hasattr(handlers, "__iter__"):
        raise TypeError(f"handlers must be a list of handlers, not {handlers!r}")
    if isinstance(handlers, list):  # dictConfig's looks up cfg:// only where it is indexed
        sinks = [handlers[index] for index in range(len(handlers))]
    else:
        sinks = list(handlers)
    for sink in sinks:
        if isinstance(sink, dict):
            raise ValueError(
                f"handlers has one that dictConfig has not made, {sink!r}: it makes them in the "
                "order of their names, so give this handler a name that comes later, or use "
                "threadlog.config.dictConfig"
            )
        if not callable(getattr(sink, "handle", None)):
            hint = (
                f"; in logging's dictConfig write 'cfg://handlers.{sink}', or use "
                "threadlog.config.dictConfig"
                if isinstance(sink, str)
                else ""
            )
            raise TypeError(f"handlers must be a list of handlers; {sink!r} is none{hint}")
    return sinks


def _check(
    capacity: object, overflow: object, timeout: object, reserve: object, drain_timeout: object
) -> None:
    if type(capacity) is not int or capacity < 1:
        raise ValueError(f"capacity must be a whole number above 0, not {capacity!r}")
    if overflow not in OVERFLOW:
        what = f"overflow must be one of {', '.join(map(repr, OVERFLOW))}, not {overflow!r}"
        raise ValueError(with_hint(what, overflow, OVERFLOW))
    if type(reserve) is not int or not 0 <= reserve < capacity:
        raise ValueError(
            f"reserve must be a whole number below the capacity ({capacity}), not {reserve!r}"
        )
    for name, seconds in (("timeout", timeout), ("drain_timeout", drain_timeout)):
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"{name} must be a number of seconds, 0 or more, not {seconds!r}")
