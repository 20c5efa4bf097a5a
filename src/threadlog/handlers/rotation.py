"""RotatingFileHandler and TimedRotatingFileHandler, for any number of processes at once.

Whoever appends holds the inter-process lock of the file that the path names: the lock is taken on
the file that is open, and the path is looked at after, or was a moment ago (`_follow_after`). So
nobody appends to a file that has been renamed, and only one renames. There is no other state than
the directory itself: whoever writes after one that was killed in the middle of a rollover finds the
file still due, and goes on.
"""

from __future__ import annotations

import _thread
import contextlib
import datetime
import errno
import itertools
import logging.handlers
import math
import os
import re
import stat
import time

from threadlog.handlers import capabilities
from threadlog.handlers.append import AppendFile
from threadlog.handlers.compress import GZIPPED, compress_backups
from threadlog.handlers.file import FileHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOCK_WAIT = 1.0  # seconds: as long a stopped process that holds the lock stalls us, once
_WAIT_FOR_ROTATOR = 60.0  # seconds: as long another's rotator may take
_MOST_KEPT = 16  # old files that are kept open
_RETRY_AFTER = 1.0  # seconds until a rollover that has failed is tried again
_TICK = 0.02  # seconds: a file's time may be as much behind the clock


class _RotatingHandler(FileHandler):
    """What both have in common: when to look, whom to wait for, what to do when it fails."""

    # A look at the path for each record would cost more than writing it. Whoever rolls over keeps
    # the old file's lock for as long as others may append without a look: they cannot take it,
    # and look. So nobody appends to a file that has been renamed, unless whoever has rolled over
    # ends or is killed in this time; then it is the newest backup, and complete when this time is
    # over. No backup is removed before: see `_remove`, and `_append_locked` for a rotator.
    _follow_after = 0.01  # seconds
    rotator: Callable[[str, str], None] | None
    _asks_subclass = False  # whether shouldRollover is a program's own
    _rolls_its_own_way = False  # whether doRollover is; it may write to the new file

    _blank = 0  # bytes at the begin of a new file that are no record
    _rolling = False  # this thread is in the middle of a rollover
    _failed_at: float | None = None  # when a rollover failed, by the monotonic clock
    _failure: Exception | None = None  # what is still to be reported of it
    _has_rolled = False  # since the compressing thread was started
    _compressing = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._asks_subclass = cls.shouldRollover is not _RotatingHandler.shouldRollover
        cls._rolls_its_own_way = cls.doRollover is not _RotatingHandler.doRollover

    def _configure_rotation(self, maxBytes: int, backupCount: int, compress: str | None) -> None:
        for name, number in (("maxBytes", maxBytes), ("backupCount", backupCount)):
            if not isinstance(number, int) and not (
                isinstance(number, float) and number.is_integer()
            ):
                raise ValueError(f"{name} must be a whole number, not {number!r}")
        if compress not in (None, "gzip"):
            raise ValueError(f"compress must be 'gzip' or None, not {compress!r}")
        self.maxBytes = int(maxBytes)
        self.backupCount = int(backupCount)
        self.compress = compress
        self._busy = False  # this thread is in the middle of an append or a rollover
        self._just_rolled: list[tuple[float, AppendFile]] = []  # rolled over when, and still locked

    def after_fork(self) -> None:
        super().after_fork()
        self._busy = self._rolling = self._compressing = self._unfinished = False
        self._failure = None
        left, self._just_rolled = self._just_rolled, []
        for _, stream in left:
            stream.abandon()

    def close(self) -> None:
        super().close()
        with self.lock:
            self._close_just_rolled(math.inf)

    # The way of a record.

    def _finish(self, record: logging.LogRecord) -> None:
        super()._finish(record)
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            except Exception:
                self.handleError(record)
        self._start_compressing()

    def _append(self, record: logging.LogRecord, data: bytes) -> None:
        stream = self.stream
        if stream is None:
            stream = self._current_stream()
        if not (type(stream) is AppendFile and stream.is_regular and self._may_roll_over()):
            super()._append(record, data)
        elif self._busy:
            self._append_nested(data)
        else:
            self._busy = True
            try:
                turn = 0
                while not self._append_locked(stream, record, data, turn):
                    stream = self.stream or self._current_stream()
                    turn += 1
            finally:
                self._busy = False

    def _append_nested(self, data: bytes) -> None:
        """Append in the middle of our own append or rollover: in a signal handler or finalizer."""
        while True:
            stream = self.stream
            stream.append(data)
            if stream.has_lock or stream.is_linked():
                return
            self._follow()  # rotated away and deleted, while its lock was waited for

    def _append_locked(
        self, stream: AppendFile, record: logging.LogRecord, data: bytes, turn: int
    ) -> bool:
        """Append to *stream*. Return False if by now there is another to append to."""
        try:
            locked = stream.try_lock() or stream.lock(self._patience())
            now = time.monotonic()
            if not locked or now - self._followed >= self._follow_after:
                self._follow()
            if self.stream is not stream:
                return False
            if self._just_rolled:
                self._close_just_rolled(now)
            size = stream.size()
            # What our own rollover has left is taken as it is, whatever is due.
            if locked and (turn == 0 or size > self._blank):
                self._roll_if_due(size, record, data)
                if self.stream is not stream:
                    return False
            stream.append(data, size if locked else None)
            # Without the lock it may have been rolled over and deleted meanwhile; with it, too, if
            # whoever has rolled over was killed or ended at once, and its rotator removes the file.
            return (locked and not callable(self.rotator)) or stream.is_linked()
        finally:
            if self.stream is stream:
                stream.unlock()

    def _exclusively(self, action: Callable[[], None]) -> None:
        """Run *action* while nobody appends to the path's file, or renames it."""
        with self.lock:
            if self._busy:
                # It is us who have the lock, or wait for it: then a signal handler must not.
                if self.stream.has_lock:
                    action()
                return
            self._busy = True
            try:
                while not self._run_locked(self.stream or self._current_stream(), action):
                    pass
            finally:
                self._busy = False

    def _run_locked(self, stream: Any, action: Callable[[], None]) -> bool:
        """Run *action* with the lock of *stream*. Return False if there is another by now."""
        if not (type(stream) is AppendFile and stream.is_regular):
            return True
        try:
            locked = stream.lock(self._patience())
            self._follow()
            if self.stream is not stream:
                return False
            if not locked:
                reason = "locked by a process that does not move"
                raise OSError(errno.EAGAIN, reason, self.baseFilename)
            action()
            return True
        finally:
            if self.stream is stream:
                stream.unlock()

    def _patience(self) -> float:
        # Who appends without the lock, while a rotator copies and removes the file, may lose a
        # record. Renaming alone never takes long, except for one who is stopped.
        return _WAIT_FOR_ROTATOR if callable(self.rotator) else _LOCK_WAIT

    # The rollover.

    def _may_roll_over(self) -> bool:
        return self._keeps_backups() or self._asks_subclass or self._rolls_its_own_way

    def _keeps_backups(self) -> bool:
        return self.backupCount > 0

    def _is_due(self, size: int, record: logging.LogRecord, data: bytes) -> bool:
        if self._failed_at is not None and time.monotonic() - self._failed_at < _RETRY_AFTER:
            return False
        if self._asks_subclass:
            return bool(self.shouldRollover(record))
        return self._should_roll(size, len(data))

    def _should_roll(self, size: int, length: int) -> bool:
        # Without a record no file is too large, so that one of any length has its place.
        return 0 < self.maxBytes <= size + length and size > self._blank

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Return whether *record* would go to a new file."""
        status = _status(self.baseFilename)
        if status is None or not stat.S_ISREG(status.st_mode):
            return False
        length = 0
        if self.maxBytes > 0 and status.st_size > self._blank:
            length = len(self._encode(self.format(record) + self.terminator))
        return self._should_roll(status.st_size, length)

    def doRollover(self) -> None:
        """Roll over now, whether it is due or not; others that share the file follow.

        Raises what renaming raises; the file at the path is then used as before.
        """
        if self._keeps_backups() and (self.stream is not None or os.path.exists(self.baseFilename)):
            self._exclusively(self._roll)
            if not self._busy:
                self._start_compressing()

    def _roll_if_due(self, size: int, record: logging.LogRecord, data: bytes) -> None:
        try:
            if not self._is_due(size, record, data):
                return
            self.doRollover()
        except Exception as error:
            if self._failed_at is None:  # told once, until it works again
                self._failure, self._unfinished = error, True
            self._failed_at = time.monotonic()
        else:
            self._failed_at = None
            self._blank = len(self._mark)
            if self._rolls_its_own_way and self._has_rolled:
                self._blank = (self.stream or self._current_stream()).tell()

    def _roll(self) -> None:
        if self._rolling:  # a signal handler asks for what it has interrupted
            return
        self._rolling = True
        try:
            if self._roll_once():
                self._has_rolled = self._unfinished = True
        finally:
            self._rolling = False

    def _roll_once(self) -> bool:
        old = self.stream
        self._close_just_rolled(time.monotonic())
        if not old.is_current():  # it has been renamed before: that must not be done again
            if self._open_in_place_of(old):
                old.close()
            return False
        if not capabilities.RENAMES_OPEN_FILES:
            old.close()
            try:
                self._rename_all()
            finally:
                self.stream = self._open()
        else:
            self._rename_all()
            if not old.is_current():
                if self._open_in_place_of(old):
                    self._just_rolled.append((time.monotonic(), old))
            elif old.size() > 0:  # a rotator may copy the file and empty it
                raise FileExistsError(f"{self.baseFilename} is still there after rotate()")
        return True

    def _remove(self, path: str) -> None:
        """Remove a backup, when nobody can append to it any more: see `_follow_after`."""
        with contextlib.suppress(FileNotFoundError):
            since = time.time() - os.lstat(path).st_mtime
            rest = self._follow_after + _TICK
            if 0 <= since < rest:
                time.sleep(rest - since)
            os.remove(path)

    def _close_just_rolled(self, now: float) -> None:
        while self._just_rolled and (
            now - self._just_rolled[0][0] >= self._follow_after
            or len(self._just_rolled) > _MOST_KEPT
        ):
            self._just_rolled.pop(0)[1].close()

    def _rename_all(self) -> None:
        raise NotImplementedError

    def _plain_backups(self) -> list[str]:
        raise NotImplementedError

    # Compression.

    def _start_compressing(self) -> None:
        if self._has_rolled and not self._compressing:
            self._has_rolled = False
            if not self.compress:
                return
            self._compressing = True
            try:
                # Not threading.Thread: a signal handler may log in the middle of another's start.
                _thread.start_new_thread(self._compress, ())
            except RuntimeError:  # at shutdown: the next program's rollover sees to it
                self._compressing = False

    def _compress(self) -> None:
        def exclusively(action: Callable[[], None]) -> None:
            if self.stream is not None:  # a closed one is not to be opened again
                self._exclusively(action)

        try:
            compress_backups(self.baseFilename, self._plain_backups, exclusively)
        except Exception:
            text = "a backup was not compressed"
            self.handleError(
                logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, None, None)
            )
        finally:
            self._compressing = False
            self._start_compressing()  # it may have been rolled over when we were just ending


class RotatingFileHandler(_RotatingHandler, logging.handlers.RotatingFileHandler):
    """Rolls over by size: a file that any number of threads and processes may share and rotate.

    It takes the arguments of `logging.handlers.RotatingFileHandler`, those of `FileHandler`, and
    *compress*: "gzip" turns each backup into one with `.gz`, in a thread of its own and a few
    seconds after the rollover. Each file stays below *maxBytes* bytes, but for one that holds a
    single larger record; *backupCount* older ones are kept. With either of them 0, nothing is
    rolled over.

    A rollover loses nothing and doubles nothing, also if a process is killed in the middle of it:
    the next one to write completes it. If it fails, the error goes to `handleError` once, records
    go on to the file as it is, and it is tried again a second later. A stopped process stalls the
    others for two seconds at most, once (with a *rotator*, two minutes); after that the size may be
    exceeded until it moves again.
    All programs that share the file should use this handler, with the same arguments. *namer* and
    *rotator* work as in `logging`; they are called while the file is locked, must not log, and
    hold up whoever else writes to it.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        mode: str = "a",
        maxBytes: int = 0,
        backupCount: int = 0,
        encoding: str | None = None,
        delay: bool = False,
        errors: str | None = None,
        *,
        permissions: int | str | None = None,
        follow_symlinks: bool = True,
        compress: str | None = None,
    ) -> None:
        self._configure(mode, permissions, follow_symlinks)
        self._configure_rotation(maxBytes, backupCount, compress)
        logging.handlers.RotatingFileHandler.__init__(
            self,
            os.fsdecode(filename),
            mode,
            int(maxBytes),
            int(backupCount),
            encoding or "utf-8",
            True,
            errors or "backslashreplace",
        )
        self._begin(delay)

    def _backup(self, number: int) -> str:
        return self.rotation_filename(f"{self.baseFilename}.{number}")

    def _rename_all(self) -> None:
        # The first number that is free ends the row that must move up. There is always one: by
        # the last rollover, if it was killed on its way, or by leaving out the oldest file.
        count = self.backupCount
        free = next((n for n in range(1, count + 1) if _ending(self._backup(n)) is None), count)
        names = [self.baseFilename, *(self._backup(number) for number in range(1, free + 1))]
        if len(set(names)) < len(names):
            raise ValueError(f"namer gives one name for several of {names}: it must tell them")
        for name in names[1:]:
            _remove_compressed(name)
        oldest = self._backup(free)
        if (ending := _ending(oldest)) is not None:
            self._remove(oldest + ending)
        for number in range(free - 1, 0, -1):
            backup = self._backup(number)
            ending = _ending(backup) or ""
            os.rename(backup + ending, self._backup(number + 1) + ending)
        self.rotate(self.baseFilename, self._backup(1))

    def _plain_backups(self) -> list[str]:
        found, missing = [], 0
        for number in range(1, self.backupCount + 1):
            path = self._backup(number)
            ending = _ending(path)
            if ending == "":
                found.append(path)
            missing = missing + 1 if ending is None else 0
            if missing == 2:  # one who was killed has left a gap, of one
                break
        return found


class TimedRotatingFileHandler(_RotatingHandler, logging.handlers.TimedRotatingFileHandler):
    """Rolls over by time: a file that any number of threads and processes may share and rotate.

    It takes the arguments of `logging.handlers.TimedRotatingFileHandler`, those of `FileHandler`,
    *compress* as `RotatingFileHandler`, and *maxBytes*: with it the file is rolled over when it
    would become larger, too, and then gets the period's name with a number, as the second file of
    one period always does: `app.log.2026-11-23`, `app.log.2026-11-23.1`, and so on. No backup is
    ever written over. *backupCount* counts files; 0 keeps all.

    "midnight" and "W0" to "W6" are the clock's, with *atTime*; daylight saving is regarded. With
    "S", "M", "H" and "D" a period begins with the file, or with its last record when it is opened,
    as in `logging`; of several processes the first whose period ends rolls over for all. A clock
    that is set back or forth by an hour causes one more rollover at most.

    What `RotatingFileHandler` says of processes, failures, *namer* and *rotator* holds here.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        when: str = "h",
        interval: float = 1,
        backupCount: int = 0,
        encoding: str | None = None,
        delay: bool = False,
        utc: bool = False,
        atTime: datetime.time | None = None,
        errors: str | None = None,
        *,
        maxBytes: int = 0,
        permissions: int | str | None = None,
        follow_symlinks: bool = True,
        compress: str | None = None,
    ) -> None:
        self._configure("a", permissions, follow_symlinks)
        self._configure_rotation(maxBytes, backupCount, compress)
        if not isinstance(when, str) or not re.fullmatch("[SMHD]|MIDNIGHT|W[0-6]", when.upper()):
            names = "'S', 'M', 'H', 'D', 'midnight' or 'W0' to 'W6'"
            raise ValueError(f"when must be {names}, not {when!r}")
        if not isinstance(interval, (int, float)) or not 0 < interval < 1e6:
            raise ValueError(f"interval must be a number above 0, not {interval!r}")
        if interval != int(interval) and when.upper() not in "SMHD":
            raise ValueError(f"interval must be a whole number of days or weeks, not {interval!r}")
        if not isinstance(atTime, (datetime.time, type(None))):
            raise ValueError(
                f"atTime must be like datetime.time(3, 0), in TOML 03:00:00, not {atTime!r}"
            )
        logging.handlers.TimedRotatingFileHandler.__init__(
            self,
            os.fsdecode(filename),
            when,
            interval,  # type: ignore[arg-type]  # a fraction works as well
            int(backupCount),
            encoding or "utf-8",
            True,
            utc,
            atTime,
            errors or "backslashreplace",
        )
        self._begin(delay)

    def _open(self) -> Any:
        stream = super()._open()
        if isinstance(stream, AppendFile):
            # Not before the moment of the rollover that has made the file: its time lags behind.
            self.rolloverAt = self.computeRollover(int(stream.status().st_mtime + _TICK))
        return stream

    def computeRollover(self, currentTime: float) -> Any:
        """Return when the period in which *currentTime* lies ends, in seconds since the epoch."""
        if self.when != "MIDNIGHT" and not self.when.startswith("W"):
            return currentTime + self.interval
        days = self.interval // 86400
        now = self._clock(currentTime)
        at = self.atTime or datetime.time()
        end = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
        if end <= now:
            end += datetime.timedelta(1)
        if self.when.startswith("W"):
            # Without atTime a day ends with its last second, that is, with the next one's first.
            weekday = self.dayOfWeek + (self.atTime is None)
            days += (weekday - end.weekday()) % 7 - 6
        if days > 1:  # adding nothing would still forget which of two equal hours it is
            end += datetime.timedelta(days - 1)
        return end.timestamp()

    def _clock(self, seconds: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC if self.utc else None)

    def _keeps_backups(self) -> bool:
        return True

    def _should_roll(self, size: int, length: int) -> bool:
        return time.time() >= self.rolloverAt or super()._should_roll(size, length)

    def _rename_all(self) -> None:
        for *_, path in self._backups():
            _remove_compressed(path.removesuffix(GZIPPED))
        self.rotate(self.baseFilename, self._new_name())
        if self.backupCount > 0:
            for path in self.getFilesToDelete():
                self._remove(path)
        self.rolloverAt = self.computeRollover(int(time.time()))

    def _new_name(self) -> str:
        if self.interval % 86400:
            begin = self._clock(self.rolloverAt - self.interval)
        else:  # a day is not always 24 hours
            begin = self._clock(self.rolloverAt) - datetime.timedelta(seconds=self.interval)
        date = begin.strftime(self.suffix)
        numbers = [number for known, number, _ in self._backups() if known == date]
        taken = self.baseFilename
        for number in itertools.count(max(numbers, default=-1) + 1):
            dated = f"{self.baseFilename}.{date}" + (f".{number}" if number else "")
            name = self.rotation_filename(dated)
            if name == taken:
                raise ValueError(f"namer gives {name!r} once more for {dated!r}: it must tell them")
            if _ending(name) is None:
                return name
            taken = name
        raise AssertionError("unreachable")

    def getFilesToDelete(self) -> list[str]:
        """Return the backups that are more than *backupCount*, the oldest first."""
        oldest_first = [path for *_, path in self._backups()]
        return oldest_first[: max(0, len(oldest_first) - self.backupCount)]

    def _backups(self) -> list[tuple[str, int, str]]:
        """Return date, number and path of this handler's backups, the oldest first."""
        # The suffix as a pattern, and the number of one more file of the same period.
        date = re.sub("%(.)", lambda part: _DIGITS.get(part[1], r"\d{2}"), re.escape(self.suffix))
        dated = re.compile(rf"(?<!\d)({date})(?:\.(\d+))?(?!\d)")
        today = self._clock(time.time()).strftime(self.suffix)
        folder = os.path.dirname(self.rotation_filename(f"{self.baseFilename}.{today}"))
        try:
            names = set(os.listdir(folder or os.curdir))
        except FileNotFoundError:  # a namer's, which its rotator will make
            return []
        found = []
        for name in names:
            plain = name.removesuffix(GZIPPED)
            if plain == name and name + GZIPPED in names:
                continue  # compressed by one that was killed before removing it
            for match in dated.finditer(plain):
                # A namer may have put anything around the date. Is it what it makes of this one?
                of_this = self.rotation_filename(f"{self.baseFilename}.{match[0]}")
                if os.path.basename(of_this) == plain:
                    found.append((match[1], int(match[2] or 0), os.path.join(folder, name)))
                    break
        return sorted(found)

    def _plain_backups(self) -> list[str]:
        return [path for *_, path in self._backups() if not path.endswith(GZIPPED)]


_DIGITS = {"Y": r"\d{4}", "j": r"\d{3}", "b": r"\w+", "B": r"\w+", "a": r"\w+", "A": r"\w+"}


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _ending(path: str) -> str | None:
    """Return what *path* ends with where it exists: "" or ".gz", or None where it does not."""
    if os.path.lexists(path + GZIPPED):
        return GZIPPED
    return "" if os.path.lexists(path) else None


def _remove_compressed(path: str) -> None:
    """Remove *path* if whoever compressed it was killed before doing so. Under the lock only."""
    if os.path.lexists(path + GZIPPED):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
