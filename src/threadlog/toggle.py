"""The toggle: thread info on every handler of the process, and exactly what was there after it.

While any claim is held, `logging.Handler.handle` stamps each record in the thread that logs
and makes sure that the handler wears our formatter; `Handler.setFormatter` dresses a new one.
So handlers that come later, or change meanwhile, need no watching. No filter is installed:
a list of filters cannot be changed safely while another thread walks it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import weakref

from threadlog.filters import stamp
from threadlog.formatters import DEFAULT_PREFIX, ThreadInfoFormatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = logging.Formatter()  # what logging renders with when a handler has no formatter

# Handlers that give records away. What comes after them renders.
_HANDS_ON = ("QueueHandler", "SocketHandler", "MemoryHandler", "HTTPHandler")


class _Worn(ThreadInfoFormatter):
    """The formatter that one handler wears while the toggle is on."""

    def __init__(self, handler: logging.Handler, original: logging.Formatter | None) -> None:
        super().__init__(wrapped=_PLAIN if original is None else original)
        self.owner = weakref.ref(handler)
        self.original = original

    def _prefix_of(self, record: logging.LogRecord) -> str:
        claims = _claims  # read once: it may be replaced meanwhile
        if not claims:
            return ""  # a copy that outlived the toggle in another's hands shows nothing
        return list(claims.values())[-1] % record.__dict__


class _Patch:
    """Our two methods in place of `logging.Handler`'s, each calling the one that was there."""

    def __init__(self) -> None:
        self.were = (logging.Handler.handle, logging.Handler.setFormatter)
        handle, set_formatter = self.were

        def stamping_handle(self: logging.Handler, record: logging.LogRecord) -> bool:
            if _claims:
                worn = self.formatter
                if type(worn) is not _Worn or worn.owner() is not self:
                    _dress(self)
                stamp(record)
            return handle(self, record)

        def dressing_set_formatter(self: logging.Handler, fmt: logging.Formatter | None) -> None:
            with _locked():  # not between the reading and the writing of another's formatter
                set_formatter(self, fmt)
                _dress(self)

        self.are = (stamping_handle, dressing_set_formatter)
        logging.Handler.handle, logging.Handler.setFormatter = self.are  # type: ignore[method-assign]

    def remove(self) -> None:
        if logging.Handler.handle is self.are[0]:  # else another has wrapped it: it stays below
            logging.Handler.handle = self.were[0]  # type: ignore[method-assign]
        if logging.Handler.setFormatter is self.are[1]:
            logging.Handler.setFormatter = self.were[1]  # type: ignore[method-assign]


# claim -> its prefix, the newest last. Replaced, never changed in place: read without the lock.
_claims: dict[object, str] = {}
_started = object()  # the claim of start_… and stop_…
_patch: _Patch | None = None
_dressed: weakref.WeakValueDictionary[int, logging.Handler] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Hold the toggle's lock. Nothing is called under it that takes another.

    Still, the garbage collector may run any finalizer here, which may log and so want a handler's
    lock, whose holder may wait for ours. Therefore the wait is bounded: to go on after a second
    risks that one handler is dressed a record late, to wait on would be a deadlock.
    """
    lock = _lock
    got = lock.acquire(timeout=1)
    try:
        yield
    finally:
        if got:
            lock.release()


def start_logging_with_thread_info(*, prefix: str = DEFAULT_PREFIX) -> None:
    """Show on every handler of this process who wrote each record, until `stop_…`.

    Every handler: on any logger, `logging.lastResort`, with any formatter or none, those that
    are added or given another formatter later, too. Handlers that hand records on (queue, socket,
    memory, http) are stamped and not rendered, so that no prefix appears twice.

    *prefix* is a %-style format of the fields of a stamped record; of several claims the newest
    one's prefix is shown. Raises ValueError for a prefix that no record could fill. Idempotent:
    after two starts one stop is enough. A program without handlers gets none. Thread-safe,
    may be called while others log; a forked child keeps what was on.
    """
    _claim(_started, prefix)


def stop_logging_with_thread_info() -> None:
    """Take back `start_logging_with_thread_info`. Without one it does nothing.

    When no context manager holds a claim of its own, every handler has its own formatter
    object back, and one that was set meanwhile stays. Thread-safe, fork-safe.
    """
    _release(_started)


@contextlib.contextmanager
def logging_with_thread_info(*, prefix: str = DEFAULT_PREFIX) -> Iterator[None]:
    """Show thread info as long as the block lasts; nests in any order, from any thread.

    Holds its own claim: neither `stop_logging_with_thread_info` nor another block ends it.
    Works as a decorator of ordinary functions, too (`contextlib.contextmanager`).
    """
    claim = object()
    _claim(claim, prefix)
    try:
        yield
    finally:
        _release(claim)


def is_logging_with_thread_info() -> bool:
    """Return whether any claim is held."""
    return bool(_claims)


def _claim(claim: object, prefix: str) -> None:
    global _claims, _patch
    _check(prefix)
    with _locked():
        others = {key: held for key, held in _claims.items() if key is not claim}
        _claims = {**others, claim: prefix}
        if _patch is None:
            _patch = _Patch()
            for handler in _live_handlers():
                _dress(handler)


def _release(claim: object) -> None:
    global _claims, _patch
    with _locked():
        _claims = {key: held for key, held in _claims.items() if key is not claim}
        if not _claims and _patch is not None:
            for handler in list(_dressed.values()):
                _undress(handler)
            _dressed.clear()
            _patch.remove()
            _patch = None


def _check(prefix: str) -> None:
    record = logging.makeLogRecord({})
    stamp(record)
    fields = record.__dict__
    try:
        prefix % fields
    except KeyError as missing:
        import difflib

        name = missing.args[0]
        near = difflib.get_close_matches(str(name), fields, 1)
        hint = f"did you mean {near[0]!r}?" if near else "use thread_info, native_id, threadName …"
        raise ValueError(f"prefix {prefix!r}: no record has a field {name!r}; {hint}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"prefix {prefix!r} is no %-style format: {error}; write for example {DEFAULT_PREFIX!r}"
        ) from None


def _live_handlers() -> Iterator[logging.Handler]:
    # Copies, without logging's lock: that one may be held by a thread that waits for ours.
    for reference in list(getattr(logging, "_handlerList", ())):
        handler = reference()
        if handler is not None:
            yield handler
    # logging forgets its list on each dictConfig; those it forgot may still be on a logger.
    for logger in [logging.root, *list(logging.root.manager.loggerDict.values())]:
        if isinstance(logger, logging.Logger):
            yield from list(logger.handlers)
    if logging.lastResort is not None:
        yield logging.lastResort


def _renders(handler: logging.Handler) -> bool:
    handlers = sys.modules.get("logging.handlers")  # not imported: no instance of its classes
    if handlers is None:
        return True
    return not isinstance(handler, tuple(getattr(handlers, name) for name in _HANDS_ON))


def _dress(handler: logging.Handler) -> None:
    if not _renders(handler):
        return
    with _locked():
        worn = handler.formatter
        if not _claims:
            return
        original = worn
        if isinstance(worn, _Worn):
            if worn.owner() is handler:
                return
            original = worn.original  # taken over from another handler together with our coat
        with contextlib.suppress(Exception):  # a formatter that cannot be set or wrapped stays
            # Not setFormatter: what a subclass does there is not ours to set off.
            handler.formatter = _Worn(handler, original)
            _dressed[id(handler)] = handler


def _undress(handler: logging.Handler) -> None:
    worn = handler.formatter
    if isinstance(worn, _Worn):
        with contextlib.suppress(Exception):
            handler.formatter = worn.original
