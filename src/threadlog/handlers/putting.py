"""Who is in the middle of putting something in a queue that is not ours.

Such a queue may log while it has its lock, as multiprocessing's does, and a signal handler may come
in between and log. To put that in the same queue would wait for ever.
"""

from __future__ import annotations

import _thread
import logging
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class Putting:
    """In the block the thread puts something in *queue*; what it logs meanwhile is for `later`."""

    def __init__(self, queue: Any) -> None:
        self.key = (_thread.get_ident(), id(queue))
        self.later: list[logging.LogRecord] = []
        self.is_later = False  # those are being put now

    def __enter__(self) -> Self:
        _at_it[self.key] = self
        return self

    def __exit__(self, *_: object) -> None:
        _at_it.pop(self.key, None)


_at_it: dict[tuple[int, int], Putting] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_it.clear)


def putting_here(queue: Any) -> Putting | None:
    """Return what this thread is in the middle of, if it puts something in *queue*."""
    return _at_it.get((_thread.get_ident(), id(queue)))
