"""A progress bar that log lines pass above, unbroken. The only module that knows tqdm."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

REFRESH = 0.1  # seconds between two looks at the count: tqdm's own mininterval


def require() -> None:
    """Raise ImportError with what to install, if tqdm is not there."""
    try:
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "progress=True needs tqdm: pip install 'threadlog[progress]'", name="tqdm"
        ) from error


@contextlib.contextmanager
def bar(total: int | None, description: str | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr and yield a function that sets how many items are done.

    Where stderr is no terminal nothing is shown. While the bar stands, what is written to
    `sys.stdout`, `sys.stderr` or by a log handler to either goes above it.
    """
    # A run inside another one finds its stream in place: the bar goes to the terminal itself.
    terminal = sys.stderr._stream if isinstance(sys.stderr, _Above) else sys.stderr
    if not _is_terminal(terminal):
        yield lambda _: None
        return
    from tqdm import tqdm

    # The bar ends first: half a line that was held back comes after it.
    with (
        _writing_above(terminal),
        tqdm(total=total, desc=description, file=terminal, dynamic_ncols=True) as shown,
    ):
        yield lambda done: _set(shown, done)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, a program's own stream, a closed one
        return False


def _set(shown: Any, done: int) -> None:
    shown.update(done - shown.n)


class _Above:
    """A terminal stream whose whole lines go above the bars. All else is the stream's own."""

    def __init__(self, stream: Any, terminal: Any) -> None:
        self._stream = stream
        self._terminal = terminal  # the bar's
        self._pid = os.getpid()
        # print() writes a line and its end apart: neither the bar nor another thread's line
        # must come between them. Each thread touches its own entry only.
        self._begun: dict[int, str] = {}

    def write(self, text: str) -> int:
        from tqdm import tqdm

        if os.getpid() != self._pid:
            # A forked child: tqdm's lock may be stranded, and the bar is not ours.
            return int(self._stream.write(text))
        thread = threading.get_ident()
        lines, end, rest = (self._begun.pop(thread, "") + text).rpartition("\n")
        if rest:
            self._begun[thread] = rest
        if end:
            with tqdm.external_write_mode(file=self._terminal):
                self._stream.write(lines + end)
                self._stream.flush()
        return len(text)

    def finish(self) -> None:
        while self._begun:
            self._stream.write(self._begun.popitem()[1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _writing_above(terminal: Any) -> Iterator[None]:
    above = {
        name: _Above(stream, terminal)
        for name in ("stdout", "stderr")
        if not isinstance(stream := getattr(sys, name), _Above) and _is_terminal(stream)
    }
    _exchange({id(stream._stream): stream for stream in above.values()})
    for name, stream in above.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in above.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._stream)
        # Handlers that were made meanwhile, too: they took what was in sys.
        _exchange({id(stream): stream._stream for stream in above.values()})
        for stream in above.values():
            stream.finish()


def _exchange(streams: Mapping[int, Any]) -> None:
    """Give each handler that writes to one of these streams, named by id, the other one."""
    for reference in list(getattr(logging, "_handlerList", ())):
        handler = reference()
        if isinstance(handler, logging.StreamHandler):
            # Not getattr: lastResort's is a property, which reads sys.stderr itself.
            stream = streams.get(id(handler.__dict__.get("stream")))
            if stream is not None:
                handler.stream = stream
