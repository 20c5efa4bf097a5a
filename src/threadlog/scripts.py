"""configure: logging for a script, in one call."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading

from threadlog.filters import stamp
from threadlog.level import level_number
from threadlog.nearest import with_hint
from threadlog.switches import turned_on
from threadlog.toggle import check_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_lock = threading.RLock()
_current: Configuration | None = None


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def configure(
    filename: str | os.PathLike[str] | None = None,
    *,
    level: int | str = "INFO",
    console: bool = True,
    thread_info: bool | str = True,
    rotate: int | str | None = None,
    backup_count: int = 5,
    queue: bool = False,
    children: bool = False,
    uncaught: bool = False,
    fast: bool = True,
    format: str = FORMAT,  # noqa: A002  as in logging.basicConfig
) -> Configuration:
    """Set up the root logger, in one call.

    *filename*: log to this file, by `threadlog.handlers.FileHandler`. *level*: of the root logger.
    *console*: log to stderr. *thread_info*: show who wrote each line; a text is the prefix to show,
    as for `start_logging_with_thread_info`. *rotate*: a number is the size in bytes at which the
    file is rolled over, a text is the *when* of `TimedRotatingFileHandler` ("midnight", "H", "W0");
    *backup_count* old files are kept (5). *queue*: log through a `QueueHandler`, so that no call
    waits for console or file. *children*: handle what child processes log, as
    `start_logging_from_children` does. *uncaught*: log what ends the program, a thread, an asyncio
    task or a finalizer, once, by the logger `threadlog.uncaught`; the hooks that were there have
    their turn after that. *fast*: have all loggers make their records faster, as
    `start_fast_logging` does. *format*: of each line, in %-style.

    Returns a handle. Its `close()` restores what was there before; nobody has to call it. The root
    logger's handlers are set aside until then, not closed. Called again with the same arguments, it
    does nothing and returns the same handle; with others, the new set-up takes the place of the old
    one, and at the end of a `with` block gives it back. Raises ValueError and TypeError for wrong
    arguments, OSError if the file cannot be opened; nothing has been changed then. Thread-safe and
    fork-safe.
    """
    global _current
    options = {
        "filename": _path(filename),
        "level": level_number(level),
        "console": console,
        "thread_info": thread_info,
        "rotate": rotate,
        "backup_count": backup_count,
        "queue": queue,
        "children": children,
        "uncaught": uncaught,
        "fast": fast,
        "format": format,
    }
    _check(options)
    with contextlib.ExitStack() as ending, _lock:
        if _current is not None and not _current._is_in_place():  # another has set up since
            _current._leave(ending)
        if _current is None or _current._options != options:
            Configuration(options)._take_over(ending)
        assert _current is not None
        return _current


class Configuration:
    """What `configure` has set up, until `close`. A context manager, too.

    `handlers` are those of the root logger.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.handlers: tuple[logging.Handler, ...] = ()
        self._replaced: Configuration | None = None
        self._is_entered = self._is_closed = False
        self._ending = contextlib.ExitStack()
        self._before: list[logging.Handler] = []
        self._level_before = logging.NOTSET

    def close(self) -> None:
        """Give the root logger the handlers and the level back that it had before `configure`.

        What was set meanwhile stays: handlers that were added, another level, and if none of these
        handlers is there any more, all handlers. Everything that was logged is written first.
        Does nothing the second time, or if another `configure` has taken the place of this one.
        """
        self._is_closed = True
        with contextlib.ExitStack() as ending, _lock:
            if _current is self:
                self._leave(ending)

    def __enter__(self) -> Self:
        self._is_entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        with contextlib.ExitStack() as ending, _lock:
            if _current is not self:
                return
            if self._replaced is None or self._replaced._is_closed or not self._is_in_place():
                self._leave(ending)
            else:
                self._replaced._take_over(ending)

    # Under the lock. What is to end is pushed on *ending*, for when it is released: handlers wait
    # for what is queued, and what takes it may configure logging itself.

    def _is_in_place(self) -> bool:
        return any(handler in logging.root.handlers for handler in self.handlers)

    def _take_over(self, ending: contextlib.ExitStack) -> None:
        """Set up the root logger, in place of the one that has."""
        global _current
        opened = _open(self._options)  # in the order in which they are closed
        try:
            names = ("thread_info", "children", "uncaught", "fast")
            switches = turned_on(**{name: self._options[name] for name in names})
        except BaseException:
            _close(opened)
            raise
        self.handlers = tuple(opened[:1] if self._options["queue"] else opened)
        before = _current
        if before is None:
            self._before, self._level_before = logging.root.handlers, logging.root.level
            logging.root.handlers = list(self.handlers)  # at once: no record finds none
        else:
            self._before, self._level_before = before._before, before._level_before
            before._replace_by(self.handlers)
            ending.push(before._ending)
            if before is not self._replaced and not before._is_closed:
                self._replaced = before
            if not before._is_entered:
                before._replaced = None  # it will not be asked for: no longer chain than blocks
        logging.root.setLevel(self._options["level"])
        self._ending = contextlib.ExitStack()
        self._ending.callback(_close, opened)
        self._ending.push(switches)
        _current = self

    def _leave(self, ending: contextlib.ExitStack) -> None:
        """Restore what was there before."""
        global _current
        _current = None
        self._replace_by(self._before)
        if logging.root.level == self._options["level"]:
            logging.root.setLevel(self._level_before)
        ending.push(self._ending)

    def _replace_by(self, handlers: Sequence[logging.Handler]) -> None:
        if self._is_in_place():
            known = (*self.handlers, *handlers)
            added = [handler for handler in logging.root.handlers if handler not in known]
            logging.root.handlers = [*handlers, *added]


def _close(handlers: Sequence[logging.Handler]) -> None:
    for handler in handlers:
        handler.close()


def _path(filename: object) -> str | None:
    if filename is None:
        return None
    if not isinstance(filename, (str, bytes, os.PathLike)):
        raise TypeError(f"filename must be a path, not {filename!r}")
    return os.path.abspath(os.fsdecode(filename))


def _check(options: dict[str, Any]) -> None:
    for name in ("console", "queue", "children", "uncaught", "fast"):
        if not isinstance(options[name], bool):
            raise TypeError(f"{name} must be True or False, not {options[name]!r}")
    if not isinstance(options["thread_info"], (bool, str)):
        raise TypeError(
            f"thread_info must be True, False or a prefix, not {options['thread_info']!r}"
        )
    if isinstance(options["thread_info"], str):
        check_prefix(options["thread_info"])
    _check_format(options["format"], is_stamped=bool(options["thread_info"]))
    count = options["backup_count"]
    if type(count) is not int or count < 0:
        raise ValueError(f"backup_count must be a whole number, 0 or more, not {count!r}")
    if options["filename"] is None and not options["console"]:
        raise ValueError("give a filename, or leave console true: there is nothing to log to")
    rotate = options["rotate"]
    if rotate is None:
        return
    if options["filename"] is None:
        raise ValueError(f"rotate={rotate!r} needs a filename")
    is_size = type(rotate) is int and rotate > 0
    is_time = isinstance(rotate, str) and re.fullmatch("[SMHD]|MIDNIGHT|W[0-6]", rotate.upper())
    if not is_size and not is_time:
        raise ValueError(
            "rotate must be a number of bytes such as 10_000_000, or a time such as 'midnight',"
            f" 'H' or 'W0', not {rotate!r}"
        )


def _check_format(text: object, *, is_stamped: bool) -> None:
    if not isinstance(text, str):
        raise TypeError(f"format must be text, not {text!r}")
    record = logging.LogRecord("root", logging.INFO, __file__, 1, "", (), None)
    if is_stamped:
        stamp(record)
    try:
        logging.Formatter(text).format(record)
    except (TypeError, ValueError) as error:
        missing = error.__context__
        name = missing.args[0] if isinstance(missing, KeyError) else None
        if name is None:
            raise ValueError(f"format {text!r}: {error}; write for example {FORMAT!r}") from None
        what = f"format {text!r}: no record has a field {name!r}"
        raise ValueError(with_hint(what, name, record.__dict__)) from None


def _open(options: dict[str, Any]) -> list[logging.Handler]:
    formatter = logging.Formatter(options["format"])
    handlers: list[logging.Handler] = [logging.StreamHandler()] if options["console"] else []
    if options["filename"] is not None:
        handlers.append(_open_file(options))
    for handler in handlers:
        handler.setFormatter(formatter)
    if options["queue"]:
        from threadlog.handlers import QueueHandler

        return [QueueHandler(handlers=handlers), *handlers]
    return handlers


def _open_file(options: dict[str, Any]) -> logging.Handler:
    from threadlog.handlers import FileHandler, RotatingFileHandler, TimedRotatingFileHandler

    name, rotate, count = options["filename"], options["rotate"], options["backup_count"]
    if rotate is None:
        return FileHandler(name)
    if isinstance(rotate, str):
        return TimedRotatingFileHandler(name, when=rotate, backupCount=count)
    return RotatingFileHandler(name, maxBytes=rotate, backupCount=count)
