"""What keeps a handler alive: waits that end, and errors that stay inside."""

from __future__ import annotations

import contextlib
import logging
import select
import sys
import time

from threadlog import toggle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    T = TypeVar("T")

TURN = 1.0  # seconds: as long another thread's turn is waited for
_CONFIGURED = 30.0  # seconds: as long somebody configures logging


@contextlib.contextmanager
def turn(lock: Any) -> Iterator[bool]:
    """Hold *lock*, but go on without it (False) after a while, rather than wait for ever.

    A finalizer may run anywhere, also where its thread holds *lock*, and wait for what the thread
    that wants *lock* has.
    """
    has_it = lock.acquire(timeout=TURN)
    try:
        yield has_it
    finally:
        if has_it:
            lock.release()


def locked(
    lock: Any, seconds: float, function: Callable[..., T], *args: Any, needed: bool = True
) -> T | None:
    """Return `function(*args)`, called under the re-entrant *lock*.

    The lock is waited for as many seconds: a finalizer may run where its thread holds it, and wait
    for what the thread has that wants it here. If it did not come, nothing is called if it is
    *needed*, and None is returned. It is released even if an interrupt comes between its being
    taken and the note that it was (of nested calls, in the outermost).
    """
    was_ours, is_taken = lock._is_owned(), None
    try:
        is_taken = lock.acquire(False) or lock.acquire(timeout=seconds)
        return function(*args) if is_taken or not needed else None
    finally:
        if is_taken or (is_taken is None and not was_ours and lock._is_owned()):
            lock.release()


def filtered(handler: logging.Handler, record: logging.LogRecord) -> logging.LogRecord | None:
    """Return what the toggle and the filters of *handler* make of *record*; None: not wanted.

    A filter that raises is reported, and the record passes.
    """
    if toggle.claims:
        toggle.prepare(handler, record)
    try:
        passed: Any = handler.filter(record)
    except Exception:
        report_error(handler, record)
        return record
    if passed is record or passed is True:
        return record
    if isinstance(passed, logging.LogRecord):  # 3.12+
        return passed
    return record if passed else None


def warning_of_loss(
    path: str, message: str, count: int, since: float, until: float, *rest: object
) -> logging.LogRecord:
    """Return a record that says how many are missing, and between which times of the wall clock."""
    times = [time.strftime("%H:%M:%S", time.localtime(at)) for at in (since, until)]
    return logging.LogRecord(
        "threadlog.handlers", logging.WARNING, path, 0, message, (count, *times, *rest), None
    )


def report_error(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Call `handleError` for the exception at hand."""
    # Showing the arguments may recurse as formatting them did; handleError lets that pass.
    with contextlib.suppress(RecursionError):
        handler.handleError(record)


def substitute(record: logging.LogRecord) -> str:
    """Return a message for a *record* whose own cannot be rendered, in its `except` block."""
    error = sys.exc_info()[1]
    return f"{shown(record.msg)} {shown(record.args)} (not formatted: {shown(error)})"


def shown(value: object) -> str:
    """Return the `repr` of *value*, or that it has none."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def say(text: str) -> None:
    """Write a line on stderr, as `logging.raiseExceptions` allows, and only if it does not wait.

    It may be a full pipe that nobody reads, in which case another thread may well be writing to it
    and hold the stream's lock.
    """
    stream = sys.stderr
    if not logging.raiseExceptions or stream is None:
        return
    with contextlib.suppress(Exception):
        if _takes_text(stream):
            stream.write(f"{text}\n")
            stream.flush()


def _takes_text(stream: Any) -> bool:
    try:
        descriptor = stream.fileno()
    except Exception:  # no file
        return True
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def forget_at_exit(handler: logging.Handler) -> None:
    """See that nobody waits for *handler*, which does not return, when the process ends.

    `logging.shutdown` would wait for its lock, and the interpreter for the one inside of a standard
    stream that takes no text, in order to flush it.
    """
    known = getattr(logging, "_handlerList", [])
    known[:] = [reference for reference in known if reference() is not handler]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not _takes_text(stream):
            setattr(sys, name, None)


def close_as_logging_does(handler: logging.Handler) -> None:
    """Close *handler* under `logging`'s own lock, as `dictConfig` does, if it comes in time.

    `logging.FileHandler.close` takes that lock under its own. Whoever takes the two in the other
    order, as `dictConfig` does with a handler that is there, would wait for ever (gh-96727).
    """
    locked(logging._lock, _CONFIGURED, handler.close)  # type: ignore[attr-defined]


def holds_logging_lock() -> bool:
    """Return whether this thread has `logging`'s own lock, under which nobody may wait.

    `dictConfig` has it while it closes the handlers that were there.
    """
    try:
        return bool(logging._lock._is_owned())  # type: ignore[attr-defined]
    except AttributeError:
        return True  # not known: rather do not wait
