"""Uncaught: what ends a thread, a process, an asyncio task or a finalizer is logged.

The hooks that were there are called after it, always.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import traceback

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
    told: object = None  # what has been logged, and is now told to the hooks that were there


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
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        message = "an uncaught exception ends the program"
        with _told(error, lambda: _log(logging.CRITICAL, message, (), error)):
            before(kind, error, trace)

    return excepthook


def _for_thread(before: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(args: threading.ExceptHookArgs) -> None:
        message = "an uncaught exception ends thread %s"
        name = threading.current_thread().name
        error = args.exc_value
        with _told(error, lambda: _log(logging.ERROR, message, (name,), error)):
            before(args)

    return excepthook


def _for_unraisable(before: Callable[..., Any]) -> Callable[..., Any]:
    def unraisablehook(unraisable: sys.UnraisableHookArgs) -> None:
        error, what = unraisable.exc_value, unraisable.err_msg or "Exception ignored in"
        if unraisable.object is not None:
            what = f"{what}: {shown(unraisable.object)}"
        with _told(error, lambda: _log(logging.ERROR, "%s", (what,), error)):
            before(unraisable)

    return unraisablehook


def _for_loop(before: Callable[..., Any]) -> Callable[..., Any]:
    def call_exception_handler(self: Any, context: Mapping[str, Any]) -> None:
        with _told(_subject(context), lambda: _log_of_loop(context)):
            before(self, context)

    return call_exception_handler


def _unless_told(before: Callable[..., Any]) -> Callable[..., Any]:
    """All that asyncio's own handler does is to log it."""

    def default_exception_handler(self: Any, context: Mapping[str, Any]) -> None:
        if _here.told is None or _here.told is not _subject(context):
            before(self, context)

    return default_exception_handler


def _subject(context: Mapping[str, Any]) -> object:
    """Return what a loop's *context*, or a copy of it, is about."""
    for key in ("exception", "future", "task"):
        if context.get(key) is not None:
            return context[key]
    return context


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
                message, subject = "an uncaught exception ends process %s", error
                with _told(error, lambda: _log(logging.CRITICAL, message, (self.name,), subject)):
                    raise

        self.run = logged_run
        return before(self, *args, **options)

    return _bootstrap


@contextlib.contextmanager
def _told(subject: object, log: Callable[[], bool]) -> Iterator[None]:
    """Log *subject*, unless we are called for it by a hook that we call; then tell the hook.

    Ctrl-C and `sys.exit` are no errors.
    """
    outer = _here.told
    is_error = not isinstance(subject, (SystemExit, KeyboardInterrupt, type(None)))
    if _claims and is_error and subject is not outer:
        try:
            if log():
                _here.told = subject
        except Exception:  # of a handler: it keeps no hook from its turn
            sys.__excepthook__(*sys.exc_info())
    try:
        yield
    finally:
        _here.told = outer


def _log_of_loop(context: Mapping[str, Any]) -> bool:
    message = context.get("message") or "Unhandled exception in event loop"
    error = context.get("exception")
    task: Any = context.get("task") or context.get("future")
    lines = [message if not hasattr(task, "get_name") else f"{message}: task {task.get_name()}"]
    for key, value in sorted(context.items()):
        if key.endswith("source_traceback"):  # of a loop in debug mode
            lines.append(f"{key}:\n{''.join(traceback.format_list(value)).rstrip()}")
        elif key not in ("message", "exception"):
            lines.append(f"{key}: {shown(value)}")
    fields: Mapping[str, Any] = {}
    if hasattr(task, "get_context"):  # 3.12+: with its bound fields and its work item
        fields = task.get_context().copy().run(identity.as_task, task.get_name())
    elif hasattr(task, "get_name"):
        fields = identity.as_task(task.get_name())
    return _log(logging.ERROR, "%s", ("\n".join(lines),), error, fields)


def _log(
    level: int,
    message: str,
    args: tuple[Any, ...],
    error: BaseException | None,
    fields: Mapping[str, Any] | None = None,
) -> bool:
    """Log it, and return whether that was wanted."""
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(level):
        return False
    info = (type(error), error, error.__traceback__) if error is not None else None
    record = logger.makeRecord(LOGGER, level, __file__, 0, message, args, info)
    record.__dict__.update(fields or {})
    logger.handle(record)
    return True
