"""What must happen when the process forks, and when it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    class AfterFork(Protocol):
        def after_fork(self) -> None: ...

    class Ending(Protocol):
        def end(self) -> object: ...

    class Draining(Protocol):
        def finish(self) -> object: ...
        def stop(self) -> None: ...
        def let_go(self) -> None: ...


_copied: weakref.WeakSet[AfterFork] = weakref.WeakSet()
_running: set[Draining] = set()
_before_queues: weakref.WeakSet[Draining] = weakref.WeakSet()
_BEFORE_QUEUES = 100  # multiprocessing's queues begin to close at 10
_has_ended = False
_is_registered = False


def renew_in_child(thing: AfterFork) -> None:
    """Call `thing.after_fork()` in every forked child, as long as *thing* lives."""
    _copied.add(thing)


def drain_at_exit(thing: Draining) -> None:
    """When the process ends, call `finish`, `stop` and `let_go` of *thing*, unless `is_drained`."""
    _running.add(thing)
    _register_with_multiprocessing()


def stop_before_queues_close(thing: Draining) -> None:
    """Call `thing.stop()` when the process ends, before multiprocessing closes its queues."""
    _before_queues.add(thing)
    _register_with_multiprocessing()


def is_drained(thing: Draining) -> None:
    """*thing* has nothing left to write."""
    _running.discard(thing)


def has_ended() -> bool:
    """Return whether the process is at its end: everything was drained, nothing is to start."""
    return _has_ended


def end_after_children(thing: Ending) -> None:
    """Call `thing.end()` when this process ends, after multiprocessing's children have ended."""
    from multiprocessing import util

    def register(_: object = None) -> None:
        util.Finalize(None, thing.end, exitpriority=-500)

    register()
    # A child that imports us before it begins forgets its finalizers then.
    util.register_after_fork(thing, register)


def _drain() -> None:
    """End all. They write at the same time, and each has a deadline of its own."""
    global _has_ended
    _has_ended = True
    things = list(_running)
    for step in ("finish", "stop", "let_go"):
        _call_each(step, things)


def _after_fork() -> None:
    global _running, _before_queues, _has_ended, _is_registered
    _running = set()
    _before_queues = weakref.WeakSet()
    _has_ended = _is_registered = False
    _call_each("after_fork", list(_copied))


def _call_each(name: str, things: Iterable[object]) -> None:
    """Call the method of that name of each; if one raises, the others have their turn."""
    for thing in things:
        try:
            getattr(thing, name)()
        except Exception:  # of a queue that is closed, for example
            sys.__excepthook__(*sys.exc_info())


def _register_with_multiprocessing() -> None:
    """See to the end of this process where multiprocessing, if it is imported, sees to it, too.

    It closes its queues before `atexit` runs what we have there, which a child of its may not run
    at all. What it runs are its finalizers. But a child forgets, when it begins, those that it was
    forked with and those of the modules that it has imported before; what is registered for after a
    fork comes later.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is None or _is_registered:
        return
    with contextlib.suppress(AttributeError):  # half imported: an import hook may log
        util.register_after_fork(_drain, _finalize)
        _finalize()


def _finalize(_: object = None) -> None:
    global _is_registered
    util: Any = sys.modules["multiprocessing.util"]
    # Of no object: since Python 3.15 one that is garbage can still be reached by a weak reference
    # when its finalizer is called, and would empty a queue that others use by now.
    util.Finalize(None, _stop_before_queues, exitpriority=_BEFORE_QUEUES)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        # After all others: grandchildren are waited for, and finalizers may log.
        util.Finalize(None, _drain, exitpriority=-1000)
    _is_registered = True


def _stop_before_queues() -> None:
    _call_each("stop", list(_before_queues))


atexit.register(_drain)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
