"""Uncaught: what ends a thread, a process, an asyncio task or a finalizer is logged.

The hooks that were there are called after it, always.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading

from threadlog import identity
from threadlog.guard import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Any

LOGGER = "threadlog.uncaught"

_claims: set[object] = set()
_lock = threading.RLock()
_hooks: list[_Hook] = []


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def logging_uncaught() -> Iterator[None]:
    """Log what nobody catches as long as the block lasts; blocks nest in any order."""
    claim = object()
    log_uncaught(claim)
    try:
        yield
    finally:
        with _lock:
            _claims.discard(claim)
            if not _claims:
                while _hooks:
                    _hooks.pop().remove()


def log_uncaught(claim: object) -> None:
    """Log what nobody catches as long as *claim* is held."""
    with _lock:
        _claims.add(claim)
        logging.getLogger(LOGGER).disabled = False
        if not _hooks:
            _hooks.extend(_install())


def is_logging_uncaught() -> bool:
    """Return whether any claim is held."""
    return bool(_claims)


class _Hook:
    """Our function in place of *owner*'s attribute *name*, which it calls."""

    def __init__(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        self.owner, self.name = owner, name
        self.before = getattr(owner, name)
        self.ours = make(self.before)
        setattr(owner, name, self.ours)

    def remove(self) -> None:
        if getattr(self.owner, self.name) is self.ours:  # else another has wrapped it: it stays
            setattr(self.owner, self.name, self.before)


class _Here(threading.local):
    told: Any = None  # what has been logged, and is now told to the hooks that were there


_here = _Here()


def _install() -> Iterator[_Hook]:
    import asyncio
    from multiprocessing.process import BaseProcess

    loop = asyncio.BaseEventLoop
    yield _Hook(sys, "excepthook", _for_process)
    yield _Hook(threading, "excepthook", _for_thread)
    yield _Hook(sys, "unraisablehook", _for_unraisable)
    yield _Hook(loop, "call_exception_handler", _for_loop)
    yield _Hook(loop, "default_exception_handler", _unless_told)
    yield _Hook(BaseProcess, "_bootstrap", _for_child)


def _for_process(before: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        with _told(error) as is_new:
            if is_new and not issubclass(kind, KeyboardInterrupt):
                _log(logging.CRITICAL, "an uncaught exception ends the program", (), error)
            before(kind, error, traceback)

    return excepthook


def _for_thread(before: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(args: threading.ExceptHookArgs) -> None:
        with _told(args.exc_value) as is_new:
            if is_new and args.exc_value is not None and args.exc_type is not SystemExit:
                name = threading.current_thread().name
                _log(logging.ERROR, "an uncaught exception ends thread %s", (name,), args.exc_value)
            before(args)

    return excepthook


def _for_unraisable(before: Callable[..., Any]) -> Callable[..., Any]:
    def unraisablehook(unraisable: sys.UnraisableHookArgs) -> None:
        with _told(unraisable.exc_value) as is_new:
            if is_new:
                what = unraisable.err_msg or "Exception ignored in"
                args = (what, shown(unraisable.object))
                _log(logging.ERROR, "%s: %s", args, unraisable.exc_value)
            before(unraisable)

    return unraisablehook


def _for_loop(before: Callable[..., Any]) -> Callable[..., Any]:
    def call_exception_handler(self: Any, context: Mapping[str, Any]) -> None:
        with _told(context) as is_new:
            if is_new:
                _log_of_loop(context)
            before(self, context)

    return call_exception_handler


def _unless_told(before: Callable[..., Any]) -> Callable[..., Any]:
    """All that asyncio's own handler does is to log it."""

    def default_exception_handler(self: Any, context: Mapping[str, Any]) -> None:
        if _here.told is not context or not _claims:
            before(self, context)

    return default_exception_handler


def _for_child(before: Callable[..., Any]) -> Callable[..., Any]:
    """Multiprocessing calls no hook for what ends a child, and prints it itself."""

    def _bootstrap(self: Any, *args: Any, **options: Any) -> Any:
        run = self.run

        def logged_run() -> None:
            try:
                run()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                if _claims:
                    message = "an uncaught exception ends process %s"
                    _log(logging.CRITICAL, message, (self.name,), error)
                raise

        self.run = logged_run
        return before(self, *args, **options)

    return _bootstrap


@contextlib.contextmanager
def _told(what: object) -> Iterator[bool]:
    """Yield whether *what* is to be logged: not if we are called for it by the hook before us."""
    outer, _here.told = _here.told, what
    try:
        yield bool(_claims) and outer is not what
    finally:
        _here.told = outer


def _log_of_loop(context: Mapping[str, Any]) -> None:
    message = context.get("message") or "unhandled exception in the event loop"
    error = context.get("exception")
    task: Any = context.get("task") or context.get("future")
    if not hasattr(task, "get_name"):
        _log(logging.ERROR, "%s", (message,), error)
        return
    name = task.get_name()
    if hasattr(task, "get_context"):  # 3.12+: with its bound fields and its work item
        fields = task.get_context().run(identity.as_task, name)
    else:
        fields = identity.as_task(name)
    _log(logging.ERROR, "%s: task %s", (message, name), error, fields)


def _log(
    level: int,
    message: str,
    args: tuple[Any, ...],
    error: BaseException | None,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Log it. What the handlers raise is not to keep the hooks that were there from their turn."""
    try:
        logger = logging.getLogger(LOGGER)
        if logger.isEnabledFor(level):
            info = (type(error), error, error.__traceback__) if error is not None else None
            record = logger.makeRecord(LOGGER, level, __file__, 0, message, args, info)
            record.__dict__.update(fields or {})
            logger.handle(record)
    except Exception:
        sys.__excepthook__(*sys.exc_info())
