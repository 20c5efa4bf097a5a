"""FileHandler: the standard one by its arguments, whole and kept by its promises."""

from __future__ import annotations

import codecs
import contextlib
import locale
import logging
import math
import os
import stat
import sys
import threading
import time

from threadlog.filters import stamp
from threadlog.formatters import ThreadInfoFormatter
from threadlog.guard import (
    TURN,
    filtered,
    report_error,
    substitute,
    turn,
    warning_of_loss,
)
from threadlog.handlers.append import AppendFile
from threadlog.lifecycle import renew_in_child
from threadlog.rendering import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_Formatter = logging.Formatter
_PLAIN = _Formatter()  # what logging renders with when a handler has no formatter
_OWN_WAYS = {"handle", "emit", "handleError"}
_MODES = ("a", "w", "x")  # as for open()


class _Lost:
    """Records that could not be written: how many, from when to when, and why."""

    def __init__(self) -> None:
        self.count = 0
        self.since = time.time()
        self.until = self.since
        self.reason = ""
        self.is_being_told = False

    def add(self, reason: str) -> None:
        self.count += 1
        self.until = time.time()
        self.reason = reason

    def as_record(self) -> logging.LogRecord:
        message = "%d records lost from %s to %s: %s"
        return warning_of_loss(__file__, message, self.count, self.since, self.until, self.reason)


class FileHandler(logging.FileHandler):
    """Appends records to a file that any number of threads and processes may share.

    It takes the arguments of `logging.FileHandler`. When a call returns, its record is in the
    kernel, whole: what kills the process then does not lose it (a power failure may). Processes
    may inherit the handler by fork or open the same path each for itself.

    *encoding* is utf-8 and *errors* "backslashreplace" by default: with these no text can fail.
    *permissions* is the exact mode of a file that it creates (0o640, or "0640" where a config has
    no octal numbers), by default 0o666 less the umask; one that is there already keeps its own.
    With *follow_symlinks* false a symbolic link at the path is refused: OSError with `ELOOP`.

    A file that is moved, deleted or truncated by others is followed: a new one at the path is used
    one second later at most (what was written to a deleted one until then is gone with it). When
    writing fails (disk full, quota, EIO) the first record's error goes to `handleError`, the others
    are counted, and one record in the log says how many were lost as soon as writing works again.

    A record that its formatter cannot render is reported by `handleError` too, and is written all
    the same, as far as it can be shown. `emit` formats outside of the handler's lock, so that a
    `__repr__` may log or configure logging; subclasses with an `emit` of their own are called
    under the lock, as in `logging`. A formatter other than `logging.Formatter` and
    `ThreadInfoFormatter` is called by one thread at a time. Thread-safe and fork-safe.
    """

    if TYPE_CHECKING:  # wider or narrower than what logging says of them
        stream: Any
        lock: Any
        encoding: str
        errors: str
        _closed: bool

    _follow_after = 1.0  # seconds: as long a file that was moved or deleted may go unnoticed
    _formats_unlocked = True
    _takes_batches = True

    # What is read rarely has its default here: the fewer attributes an instance has, the sooner the
    # others are read.
    _kept_permissions: int | None = None  # of the file that was here before
    _opened_once = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._formats_unlocked = cls.emit is FileHandler.emit
        cls._takes_batches = (
            cls._formats_unlocked
            and cls.handle is FileHandler.handle
            and cls.handleError is logging.Handler.handleError
            and cls._append is FileHandler._append
        )

    def __init__(
        self,
        filename: str | os.PathLike[str],
        mode: str = "a",
        encoding: str | None = None,
        delay: bool = False,
        errors: str | None = None,
        *,
        permissions: int | str | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        self._configure(mode, permissions, follow_symlinks)
        logging.FileHandler.__init__(
            self,
            os.fsdecode(filename),
            mode,
            encoding or "utf-8",
            True,
            errors or "backslashreplace",
        )
        self._begin(delay)

    def _configure(self, mode: str, permissions: int | str | None, follow_symlinks: bool) -> None:
        if not isinstance(mode, str) or mode[:1] not in _MODES or set(mode[1:]) - set("bt+"):
            raise ValueError(f"mode must be 'a', 'w' or 'x', not {mode!r}")
        if not isinstance(follow_symlinks, bool):
            raise ValueError(f"follow_symlinks must be True or False, not {follow_symlinks!r}")
        self.permissions = _permissions(permissions)
        self.follow_symlinks = follow_symlinks
        self._formatting = threading.RLock()  # for a formatter that may keep something
        self._followed = 0.0  # when the path was last looked at
        self._shared: logging.Formatter | None = None  # a formatter that threads may share
        self._lost: _Lost | None = None
        self._unfinished = False  # there is something to do once the lock is released

    def _begin(self, delay: bool) -> None:
        if self.encoding == "locale":  # open() knows it, no codec does
            self.encoding = locale.getencoding()
        codecs.lookup_error(self.errors)
        self._mark = "".encode(self.encoding)
        self._is_altered = bool(self._mark) or os.linesep != "\n"  # see _encode
        self.delay = delay
        renew_in_child(self)
        if not delay:
            self.stream = self._open()

    # The way of a record: handle, emit, format, _append.

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and emit *record*, under the lock only where a subclass emits in its own way."""
        if not self._formats_unlocked:
            return super().handle(record)
        passed = filtered(self, record)
        if passed is None:
            return False
        self.emit(passed)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*. No error reaches the caller: see `handleError`."""
        try:
            data = self._rendered(record)
        except Exception:  # text that errors="strict" refuses
            self.handleError(record)
        else:
            self._write(record, data)

    def takes_batches(self) -> bool:
        """Return whether `render_batch` and `write_batch` do what `handle` does for each record.

        A queue's listener asks. Whatever a subclass or a program does in its own way, it does not.
        """
        return (
            self._takes_batches
            and type(self.stream) is AppendFile
            and self.__dict__.keys().isdisjoint(_OWN_WAYS)
        )

    def render_batch(
        self, records: Iterable[logging.LogRecord]
    ) -> list[tuple[logging.LogRecord, bytes]]:
        """Filter and render *records*. Nothing is written yet."""
        batch = []
        for record in records:
            passed = filtered(self, record)
            if passed is not None:
                batch.append((passed, self._rendered(passed)))
        return batch

    def write_batch(self, batch: list[tuple[logging.LogRecord, bytes]]) -> None:
        """Write them, in one write if there is room for all, else one by one."""
        if self._lost is not None:
            self._report_lost()
        written = self._write_at_once(b"".join([data for _, data in batch]))
        for record, data in batch:
            written -= len(data)
            if written < 0:
                self._write(record, data)

    def _rendered(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record) + self.terminator
        except Exception:
            report_error(self, record)
            text = self._substitute(record) + self.terminator
        return self._encode(text) if self._is_altered else text.encode(self.encoding, self.errors)

    def _write(self, record: logging.LogRecord, data: bytes) -> None:
        """Write *data*, which is *record* rendered, or count it as lost."""
        if self._lost is not None:
            self._report_lost()
        try:
            lock = self.lock
            if lock.acquire(False) or lock.acquire(timeout=TURN):
                try:
                    self._append(record, data)
                finally:
                    lock.release()
            else:
                self._append_apart(data)
        except OSError as error:
            self._followed = -math.inf  # the next record looks whether there is another file
            if self._count_lost(error):
                self.handleError(record)
        except Exception:
            self.handleError(record)
        if self._unfinished:
            self._finish(record)

    def _write_at_once(self, data: bytes) -> int:
        """Write as much of *data* as there is room for, and return how much."""
        with contextlib.suppress(OSError), turn(self.lock) as has_it:
            stream = self.stream
            if time.monotonic() - self._followed >= self._follow_after:
                stream = self._current_stream()
            if has_it and type(stream) is AppendFile:
                return stream.append(data, whole=False)
        return 0

    def _finish(self, record: logging.LogRecord) -> None:  # noqa: ARG002  a subclass reports by it
        """Do what must wait until the lock is released."""
        self._unfinished = False

    def format(self, record: logging.LogRecord) -> str:
        formatter = self.formatter or _PLAIN  # read once: the toggle may change it meanwhile
        if type(formatter) is _Formatter:
            text = render(formatter, record)
            return formatter.format(record) if text is None else text
        if formatter is self._shared or _keeps_nothing(formatter):
            self._shared = formatter
            return formatter.format(record)
        with turn(self._formatting):
            return formatter.format(record)

    def _encode(self, text: str) -> bytes:
        # A byte order mark stands where the file begins, and nowhere else.
        data = text.replace("\n", os.linesep).encode(self.encoding, self.errors)
        return data.removeprefix(self._mark)

    def _append(self, record: logging.LogRecord, data: bytes) -> None:  # noqa: ARG002
        """Append *data*, which is *record* as text, under the lock."""
        stream = self.stream
        if stream is None or time.monotonic() - self._followed >= self._follow_after:
            stream = self._current_stream()
        if type(stream) is AppendFile:
            stream.append(data)
        elif stream is not None:  # set by the program, or opened by an _open of its own
            stream.write(data.decode(self.encoding, "backslashreplace"))
            if hasattr(stream, "flush"):
                stream.flush()

    def _append_apart(self, data: bytes) -> None:
        """Append by an opening of its own: it is not our turn, and we may be what it waits for.

        A signal handler logs in the middle of one handler's append and waits for another, whose
        thread is interrupted by a finalizer that waits for the first one: nobody would go on.
        """
        is_linked = False
        while not is_linked:  # else it was rolled over and deleted meanwhile
            with contextlib.closing(self._new_opening("a")) as stream:
                stream.append(data)
                is_linked = stream.is_linked() or not stream.is_regular

    def _current_stream(self) -> Any:
        """Return the stream to write to, opened if need be. None after close, with mode "w"."""
        if self.stream is not None:
            self._follow()
        elif self.mode != "w" or not self._closed:  # as in logging
            self.stream = self._open()
        return self.stream

    # The file.

    def _open(self) -> Any:
        """Return the file at `baseFilename`, opened. Only the first time may it be emptied."""
        self._followed = time.monotonic()
        stream = self._new_opening("a" if self._opened_once else self.mode[0])
        self._opened_once = True
        return stream

    def _new_opening(self, mode: str) -> AppendFile:
        return AppendFile(
            self.baseFilename,
            mode,
            encoding=self.encoding,
            errors=self.errors,
            permissions=self.permissions or self._kept_permissions,
            follow_symlinks=self.follow_symlinks,
        )

    def _follow(self) -> None:
        """Open the file at the path if it is another one than ours."""
        self._followed = time.monotonic()
        stream = self.stream
        if (
            type(stream) is AppendFile
            and not stream.is_current()
            and self._open_in_place_of(stream)
        ):
            stream.close()

    def _open_in_place_of(self, stream: AppendFile) -> bool:
        """Open the path. Return False if that fails and *stream* can do, because it has a name."""
        if stream.is_open():
            self._kept_permissions = stat.S_IMODE(stream.status().st_mode)
        else:
            stream.close()  # at once: the new descriptor may well get the same number
        try:
            self.stream = self._open()
        except OSError:
            if stream.is_linked():
                return False
            self._followed = -math.inf  # nothing is to be written to a file without a name
            raise
        return True

    def flush(self) -> None:
        """Do nothing, for nothing is kept back; a stream that the program has set is flushed."""
        if not isinstance(self.stream, AppendFile):
            super().flush()

    def close(self) -> None:
        """Close the file. A later record opens it again, except with mode "w"."""
        if self._lost is not None:
            self._report_lost(last=True)
        try:
            with turn(self.lock):
                stream, self.stream = self.stream, None
                if hasattr(stream, "close"):
                    stream.close()
        finally:
            # Not under the lock: it takes logging's own, which dictConfig holds and waits for ours.
            logging.Handler.close(self)

    def after_fork(self) -> None:
        """In a forked child: have an opening of one's own, and none of the parent's losses."""
        self._lost = None
        self._formatting = threading.RLock()
        if isinstance(self.stream, AppendFile):
            self.stream.after_fork()
            if self.stream.closed:
                self.stream = None

    # What could not be written.

    def _count_lost(self, error: OSError) -> bool:
        """Count one record, and return whether it is the first."""
        with turn(self.lock):
            first = self._lost is None
            self._lost = self._lost or _Lost()
            self._lost.add(str(error))
            return first

    def _report_lost(self, *, last: bool = False) -> None:
        """Say in the log how many records were lost, if writing works again."""
        with turn(self.lock):
            lost = self._lost
            if lost is None or lost.is_being_told:
                return
            lost.is_being_told = True
            told = lost.count
            record = lost.as_record()
        try:
            stamp(record)
            filtered: Any = self.filter(record)  # for the fields that a filter supplies
            if isinstance(filtered, logging.LogRecord):  # 3.12+
                record = filtered
            text = self.format(record)
        except Exception:
            text = f"{record.levelname} {record.name}: {record.getMessage()}"
        try:
            data = (text + self.terminator).encode(self.encoding, "backslashreplace")
            with turn(self.lock):
                self._append(record, data.removeprefix(self._mark))
                lost.count -= told
                if lost.count == 0:
                    self._lost = None
        except Exception:
            if last:
                self._lost = None
                if logging.raiseExceptions and sys.stderr:
                    sys.stderr.write(f"{self.baseFilename}: {record.getMessage()}\n")
        finally:
            lost.is_being_told = False

    def _substitute(self, record: logging.LogRecord) -> str:
        """Return what can be shown of a record that cannot be formatted."""
        message = substitute(record)
        fields = {**record.__dict__, "msg": message, "args": None}
        for bare in ({}, {"exc_info": None, "exc_text": None, "stack_info": None}):
            try:
                text = self.format(logging.makeLogRecord(fields | bare))
            except Exception:
                continue
            if isinstance(text, str):
                return text
        return f"{record.levelname} {record.name}: {message}"


def _keeps_nothing(formatter: logging.Formatter) -> bool:
    """Return whether several threads may call *formatter*, no plain one, at once."""
    return isinstance(formatter, ThreadInfoFormatter) and (
        formatter.wrapped is None or type(formatter.wrapped) is _Formatter
    )


def _permissions(given: int | str | None) -> int | None:
    if given is None:
        return None
    mode: object = given
    if isinstance(given, str):
        try:
            mode = int(given, 8)
        except ValueError:
            mode = None
    if type(mode) is int and mode & ~0o777 == 0 and mode & 0o200:
        return mode
    shown = f"{given!r} ({mode:#o})" if type(mode) is int else repr(given)
    raise ValueError(
        f"permissions={shown}: write the octal number of a mode, at most 0o777, in which the owner "
        "may write; for example 0o640, or '0640' in a config file without octal numbers"
    )
