"""A progress bar that log lines pass above, unbroken. The only module that knows tqdm."""

from __future__ import annotations

import contextlib
import logging
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=description, file=sys.stderr, dynamic_ncols=True) as shown:
        with _writing_above():
            yield lambda done: _set(shown, done)


def _set(shown: Any, done: int) -> None:
    shown.update(done - shown.n)


class _Above:
    """A terminal stream whose whole writes go above the bars. All else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._pid = os.getpid()
        self._line = ""

    def write(self, text: str) -> int:
        from tqdm import tqdm

        if (
            os.getpid() != self._pid
        ):  # a forked child: tqdm's lock may be stranded, the bar is not ours
            return int(self._stream.write(text))
        # print() writes a line and its end apart: the bar must not come between them.
        *whole, self._line = (self._line + text).rpartition("\n")
        if any(whole):
            with tqdm.external_write_mode(file=self._stream):
                self._stream.write("".join(whole))
                self._stream.flush()
        return len(text)

    def finish(self) -> None:
        line, self._line = self._line, ""
        if line:
            self._stream.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _writing_above() -> Iterator[None]:
    above = {
        name: _Above(stream)
        for name in ("stdout", "stderr")
        if (stream := getattr(sys, name)) is not None and stream.isatty()
    }
    originals = {id(stream._stream): stream for stream in above.values()}
    handlers: list[tuple[logging.StreamHandler[Any], _Above]] = []
    for reference in list(getattr(logging, "_handlerList", ())):
        handler = reference()
        if isinstance(handler, logging.StreamHandler) and "stream" in handler.__dict__:
            stream = originals.get(id(handler.stream))
            if stream is not None:
                handler.stream = stream
                handlers.append((handler, stream))
    for name, stream in above.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in above.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._stream)
        for handler, stream in handlers:
            if handler.stream is stream:
                handler.stream = stream._stream
        for stream in above.values():
            stream.finish()
