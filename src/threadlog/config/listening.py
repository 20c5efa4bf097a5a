"""Listening: the listeners beside queues, from one config to the next."""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections import deque

from threadlog import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable
    from typing import Any


class Listening:
    """The listener beside a queue, until the next config or the end of the process."""

    def __init__(self, handler: logging.Handler, queue: Any, listener: Any) -> None:
        self.queue = queue
        self._handler = weakref.ref(handler)
        self._listener = listener
        self._start = listener.start
        # Programs that were written for logging's dictConfig start it themselves. Two threads of
        # the standard library's could not be stopped (gh-132106).
        listener.start = self.start

    def start(self) -> None:
        lifecycle.drain_at_exit(self)
        lifecycle.stop_before_queues_close(self)
        if not self._is_running():
            self._start()

    def stop(self) -> None:
        """End it. What the handler still gets goes to the sinks at once. Raises nothing."""
        try:
            if self._is_running():
                self._listener.stop()
        except Exception:  # its queue is full, or broken
            sys.__excepthook__(*sys.exc_info())
        handler: Any = self._handler()
        if handler is not None and handler.lock is not None:
            with handler.lock:  # logging's own handler puts records in the queue under it
                self.deliver_late()
                handler.enqueue = self._listener.handle
        self.deliver_late()

    def deliver_late(self) -> bool:
        """Deliver what has come after the end. Return whether more may come."""
        with contextlib.suppress(Exception):  # queue.Empty, or a queue that is closed
            while True:
                record = self.queue.get(False)
                if record is not None:
                    self._listener.handle(record)
        return self._handler() is not None

    def _is_running(self) -> bool:
        return getattr(self._listener, "_thread", None) is not None

    # What `lifecycle` calls besides.

    def finish(self) -> None: ...

    def let_go(self) -> None: ...


class Listeners:
    """Those of the last config, and those before whose handlers may still be in use."""

    def __init__(self) -> None:
        self._running: list[Listening] = []
        self._retired: deque[Listening] = deque()

    def replace_by(self, new: list[Listening]) -> list[Listening]:
        """Start *new*. Return those that are to `retire`."""
        before, self._running = self._running, new
        for listener in before:
            if self._is_read(listener.queue):  # two that read one queue would end each other
                listener.stop()
        for listener in new:
            listener.start()
        return before

    def retire(self, listeners: Iterable[Listening]) -> None:
        """Stop *listeners*, and keep them for what other threads are about to put in their queues.

        As long as the handler lives, that is; what has come is delivered by the next config, or at
        the end of the process.
        """
        for listener in listeners:
            listener.stop()
            self._retired.append(listener)
        for _ in range(len(self._retired)):
            with contextlib.suppress(IndexError):  # another thread has taken the last
                listener = self._retired.popleft()
                if not self._is_read(listener.queue) and listener.deliver_late():
                    self._retired.append(listener)
                else:
                    lifecycle.is_drained(listener)

    def forget(self) -> None:
        """In a forked child: all are the parent's."""
        self._running = []
        self._retired = deque()

    def _is_read(self, queue: Any) -> bool:
        return any(listener.queue is queue for listener in self._running)
