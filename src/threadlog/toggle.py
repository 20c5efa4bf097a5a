"""The toggle: thread info on every handler of the process, and exactly what was there after it.

While any claim is held, `logging.Handler.handle` stamps each record in the thread that logs
and makes sure that the handler wears our formatter; `Handler.setFormatter` dresses a new one;
`Handler.format` bears that the formatter changes under it.
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
from threadlog.nearest import did_you_mean
from threadlog.rendering import render
from threadlog.standard import standing_in_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PLAIN = logging.Formatter()  # what logging renders with when a handler has no formatter

# Handlers that give records away. What comes after them renders.
_HANDS_ON = ("QueueHandler", "SocketHandler", "MemoryHandler", "HTTPHandler")
_hands_on: tuple[type, ...] = ()

_MOST_PREFIXES = 256


class _Worn(ThreadInfoFormatter):
    """The formatter that one handler wears while the toggle is on."""

    def __init__(self, handler: logging.Handler, original: logging.Formatter | None) -> None:
        super().__init__(wrapped=_PLAIN if original is None else original)
        # Not a weak reference: a free-threaded build's fork may strand the lock that reading one
        # takes, and it is read at each record. At worst a stranger of the same id goes undressed.
        self.owner = id(handler)
        self.original = original

    def __getattr__(self, name: str) -> Any:
        # Some handlers call more of their formatter than logging does.
        if name == "wrapped" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def format(self, record: logging.LogRecord) -> str:
        if not (hasattr(record, "thread_info") and hasattr(record, "native_id")):
            stamp(record)
        wrapped: Any = self.wrapped
        text = render(wrapped, record)
        if text is None:
            return self._with_prefix(record, wrapped.format(record))
        info = record.thread_info  # type: ignore[attr-defined]
        shown = _shown
        if type(info) is str and info not in text and shown.claims is claims:
            prefix = shown.prefixes.get(info)
            if prefix is not None:
                return prefix + text
        return self._with_prefix(record, text)

    def _prefix_of(self, record: logging.LogRecord) -> str:
        global _shown
        shown = _shown
        if shown.claims is not claims:
            _shown = shown = _Shown(claims)
        return shown.prefix_of(record)


class _Shown:
    """The prefix that some claims show."""

    def __init__(self, claims: dict[object, str | None]) -> None:
        self.claims = claims
        own = [prefix for prefix in claims.values() if prefix is not None]
        # Without a claim it is a copy that outlived the toggle in another's hands.
        self._prefix = own[-1] if own else DEFAULT_PREFIX if claims else ""
        self._is_of_info = "%(thread_info)s" in self._prefix and self._prefix.count("%(") == 1
        self.prefixes: dict[str, str] = {}  # of a thread_info, if it depends on nothing else

    def prefix_of(self, record: logging.LogRecord) -> str:
        try:
            prefix = self._prefix % record.__dict__
        except Exception:  # "%(native_id)d" of a record from elsewhere, which has none
            return DEFAULT_PREFIX % record.__dict__
        info = record.thread_info  # type: ignore[attr-defined]
        if self._is_of_info and type(info) is str:
            if len(self.prefixes) >= _MOST_PREFIXES:
                self.prefixes.clear()
            self.prefixes[info] = prefix
        return prefix


class _Patch:
    """Our methods in place of `logging.Handler`'s, each calling the one that was there."""

    names = ("handle", "format", "setFormatter")

    def __init__(self) -> None:
        self.were = {name: getattr(logging.Handler, name) for name in self.names}
        handle, format_ = logging.Handler.handle, logging.Handler.format
        set_formatter = logging.Handler.setFormatter

        @standing_in_for(handle)
        def stamping_handle(self: logging.Handler, record: logging.LogRecord) -> bool:
            prepare(self, record)
            return handle(self, record)

        @standing_in_for(set_formatter)
        def dressing_set_formatter(self: logging.Handler, fmt: logging.Formatter | None) -> None:
            with _locked():  # not between the reading and the writing of another's formatter
                set_formatter(self, fmt)
                _dress(self)

        @standing_in_for(format_)
        def steady_format(self: logging.Handler, record: logging.LogRecord) -> str:
            # The one below reads self.formatter twice; in between we may have put None back.
            worn = self.formatter
            return worn.format(record) if type(worn) is _Worn else format_(self, record)

        ours = (stamping_handle, steady_format, dressing_set_formatter)
        self.are = dict(zip(self.names, ours, strict=True))
        for name, method in self.are.items():
            setattr(logging.Handler, name, method)

    def remove(self) -> None:
        for name, method in self.are.items():
            if getattr(logging.Handler, name) is method:  # else another has wrapped it: it stays
                setattr(logging.Handler, name, self.were[name])


# claim -> its prefix, if it wants one of its own; the newest last. Never changed in place: it is
# read without the lock, and a free-threaded build's fork may strand a dictionary's own lock.
claims: dict[object, str | None] = {}
_shown = _Shown(claims)
_started = object()  # the claim of start_… and stop_…
_patch: _Patch | None = None
_settling = False
_dressed: weakref.WeakValueDictionary[int, logging.Handler] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock, _settling, _shown
    _lock = threading.RLock()
    _shown = _Shown(claims)  # another thread may have been adding to it
    _settling = False  # by a thread that is not here any more
    _settle([])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def _locked() -> Iterator[list[logging.Handler]]:
    """Hold the toggle's lock. Nothing is called under it that takes another.

    Yields a list for handlers that must not die under it: logging takes its own lock then, which
    `dictConfig` holds while it sets formatters, that is, waits for ours.

    Still, the garbage collector may run any finalizer here, which may log and so want a handler's
    lock, whose holder may wait for ours. Therefore the wait is bounded: to go on after a second
    risks that one handler is dressed a record late, to wait on would be a deadlock.
    """
    lock = _lock
    alive: list[logging.Handler] = []
    got = lock.acquire(timeout=1)
    try:
        yield alive
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
    check_prefix(prefix)
    _claim(_started, prefix)


def stop_logging_with_thread_info() -> None:
    """Take back `start_logging_with_thread_info`. Without one it does nothing.

    When no context manager holds a claim of its own, every handler has its own formatter
    object back, and one that was set meanwhile stays. Thread-safe, fork-safe.
    """
    _release(_started)


@contextlib.contextmanager
def logging_with_thread_info(*, prefix: str | None = None) -> Iterator[None]:
    """Show thread info as long as the block lasts; nests in any order, from any thread.

    *prefix*: None leaves the one that is shown already, or else shows the default one.
    Holds its own claim: neither `stop_logging_with_thread_info` nor another block ends it.
    Works as a decorator of ordinary functions, too (`contextlib.contextmanager`).
    """
    claim = object()
    if prefix is not None:
        check_prefix(prefix)
    _claim(claim, prefix)
    try:
        yield
    finally:
        _release(claim)


def is_logging_with_thread_info() -> bool:
    """Return whether any claim is held."""
    return bool(claims)


def prepare(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Dress *handler* and stamp *record* if any claim is held: for a `handle` of one's own."""
    if claims:
        worn = handler.formatter
        if (type(worn) is not _Worn or worn.owner != id(handler)) and _renders(handler):
            _dress(handler)
        if not (hasattr(record, "thread_info") and hasattr(record, "native_id")):
            stamp(record)


def own_formatter(handler: logging.Handler) -> logging.Formatter | None:
    """Return the formatter that *handler* has, or will have again when the toggle is off."""
    worn = handler.formatter
    return worn.original if isinstance(worn, _Worn) else worn


def _claim(claim: object, prefix: str | None) -> None:
    with _locked() as alive:
        _replace_claim(claim, {claim: prefix})
        _settle(alive)


def _release(claim: object) -> None:
    with _locked() as alive:
        _replace_claim(claim, {})
        _settle(alive)


def _replace_claim(claim: object, new: dict[object, str | None]) -> None:
    global claims
    while True:
        before = claims
        after = {key: prefix for key, prefix in before.items() if key is not claim} | new
        if claims is before:  # else a signal handler of this thread has toggled in between
            claims = after
            return


def _settle(alive: list[logging.Handler]) -> None:
    """Do what the claims ask for, until it is done.

    The lock keeps other threads out. But a signal handler or a finalizer of this thread may start
    and stop at any point here; then it leaves the work to what it has interrupted.
    """
    global _patch, _settling
    while bool(claims) is (_patch is None) and not _settling:
        _settling = True
        try:
            if claims and _patch is None:
                _patch = _Patch()
                alive += _live_handlers()
                for handler in alive:
                    _dress(handler)
            elif not claims and _patch is not None:
                alive += _dressed.values()
                for handler in alive:
                    _undress(handler)
                _dressed.clear()
                _patch.remove()
                _patch = None
        finally:
            _settling = False


def check_prefix(prefix: str) -> None:
    """Raise TypeError or ValueError for a prefix that no record could fill."""
    if not isinstance(prefix, str):
        raise TypeError(
            f"prefix must be a %-style format such as {DEFAULT_PREFIX!r}, not {prefix!r}"
        )
    record = logging.LogRecord("root", logging.INFO, __file__, 1, "", (), None)
    stamp(record)
    fields = record.__dict__ | {"work_item": 0}
    try:
        prefix % fields
    except KeyError as missing:
        name = missing.args[0]
        hint = did_you_mean(name, fields) or "use thread_info, native_id, threadName …"
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
    global _hands_on
    if not _hands_on:
        handlers = sys.modules.get("logging.handlers")
        if handlers is None:  # not imported: no instance of its classes
            return True
        found = [getattr(handlers, name, None) for name in _HANDS_ON]
        if None in found:  # half imported, by another thread
            return True
        _hands_on = tuple(found)  # type: ignore[arg-type]
    return not isinstance(handler, _hands_on)


def _dress(handler: logging.Handler) -> None:
    if not _renders(handler):
        return
    with _locked():
        worn = handler.formatter
        if not claims:
            return
        with contextlib.suppress(Exception):  # a formatter that cannot be set or wrapped stays
            _dressed[id(handler)] = handler  # first: a fork may come in between
            if not isinstance(worn, _Worn):
                # Not setFormatter: what a subclass does there is not ours to set off.
                handler.formatter = _Worn(handler, worn)
            elif worn.owner != id(handler):  # taken over from another together with our coat
                handler.formatter = _Worn(handler, worn.original)
        if not claims:  # stopped by an interrupt in between
            _undress(handler)


def _undress(handler: logging.Handler) -> None:
    worn = handler.formatter
    if isinstance(worn, _Worn):
        with contextlib.suppress(Exception):
            handler.formatter = worn.original
