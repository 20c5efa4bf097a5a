"""What a thread does with a queue that is not ours, and must not do in the middle of it.

Such a queue may log while it has its lock, as multiprocessing's does; a signal handler or a
finalizer may come in between and log. To put that in the same queue at once would wait for ever.
"""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")


class Use:
    """One thread's use of a queue."""

    def __init__(self) -> None:
        self.later: list[Callable[[], object]] = []  # what it would have done meanwhile
        self.is_later = False  # that is being done


_uses: dict[tuple[int, int], Use] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_uses.clear)


def use_here(queue: Any) -> Use | None:
    """Return what this thread is in the middle of, if it uses *queue*."""
    return _uses.get((_thread.get_ident(), id(queue)))


def use(queue: Any, action: Callable[[], T]) -> T:
    """Return `action()`, which uses *queue*. After it comes what is left for `later`."""
    key = (_thread.get_ident(), id(queue))
    outer, this = _uses.get(key), Use()
    try:
        _uses[key] = this
        try:
            return action()
        finally:
            this.is_later = True
            for deferred in this.later:
                deferred()
    finally:
        if outer is None:
            _uses.pop(key, None)
        else:
            _uses[key] = outer
