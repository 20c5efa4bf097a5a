"""AppendFile: a log file that whole records are appended to, by any number of writers at once."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from threadlog.handlers import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# No system has all of these, and each has those that it needs.
_COMMON = os.O_APPEND
for _name in ("O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _COMMON |= getattr(os, _name, 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEWLINE = b"\n"

_YIELDS = 20  # as often another is let run before we sleep
_PAUSE = 0.0001  # seconds between further attempts
_BUSY = 2  # as many times so long if others go on writing, that is, the holder may move


class AppendFile:
    """One opening of a log file. It stands where `logging` has a text stream.

    When `append` has returned, the record is in the kernel, in one piece: one `os.write` to an
    `O_APPEND` descriptor that no other process shares, not even a forked child (`after_fork`).
    There is no buffer, and but for Windows no lock. Threads must take turns (the handler's lock);
    a signal handler or a finalizer may append in the middle of another append of its own thread.

    A writer that was killed in the middle of a write leaves a fragment without a newline. Whoever
    appends next to it puts the newline in the place of its last byte. To see a fragment one looks
    after one's own write: the kernel orders appends, so that what stands before one's own record
    is final by then, while before the write it may be another's record in the making.
    """

    def __init__(
        self,
        path: str,
        mode: str = "a",
        *,
        encoding: str = "utf-8",
        errors: str = "backslashreplace",
        permissions: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Open *path*: "a" appends, "w" empties it first, "x" refuses one that exists.

        *permissions* is the exact mode of a file that this creates, default 0o666 less the umask.
        Raises OSError, with `ELOOP` for a symbolic link if not *follow_symlinks*.
        """
        self.name = path
        self.mode = mode
        self.encoding = encoding
        self.errors = errors
        self._descriptor = -1  # until it is open, there is nothing to close
        self._locked: bool | None = False
        self._is_stuck = False
        self._descriptor = _open(path, mode, permissions, follow_symlinks)
        status = os.fstat(self._descriptor)
        self._inode = (status.st_dev, status.st_ino)
        self.is_regular = stat.S_ISREG(status.st_mode)
        self._can_look = self.is_regular and _is_readable(self._descriptor)
        self._mark = "".encode(encoding) if self.is_regular else b""
        if self._mark:
            self._write_byte_order_mark()
        self._end = len(self._mark)  # where our last record ended: before it needs no look
        self._appending = False
        self._outer_end: int | None = None  # where the record that was interrupted has ended

    def _write_byte_order_mark(self) -> None:
        try:
            self.lock()
            if self.size() == 0:
                os.write(self._descriptor, self._mark)
        finally:
            self.unlock()

    def append(self, record: bytes, start: int | None = None, *, whole: bool = True) -> int:
        """Write *record* whole. Raises OSError if that cannot be done.

        *start* is where the file ends, if the caller knows because it has the lock. Not *whole*, it
        may be many records at once, of which as much is written as there is room for; how much, is
        returned. In the middle of another append of this thread it is nothing, and where nobody can
        look for fragments: then append one by one.
        """
        if self._appending or not self._can_look:
            return self._append_otherwise(record) if whole else 0
        descriptor = self._descriptor
        self._appending = True
        try:
            written = os.write(descriptor, record)
            if written != len(record) and whole:
                written = self._complete(record, written)
            end = os.lseek(descriptor, 0, os.SEEK_CUR) if start is None else start + written
            before, self._end = self._end, end
            if self._outer_end is not None:
                if start is None:  # we were interrupted after the write
                    self._end = before
                    before, end = -1, self._outer_end
                self._outer_end = None
            if end - written != before:
                self._look_before(end - written, record[:written])
            if written != len(record):
                self._end = -1  # it ends in a fragment: whoever appends next must look
            return written
        finally:
            self._appending = False

    def _append_otherwise(self, record: bytes) -> int:
        """Append to what cannot be looked at, or in the middle of an append of this thread."""
        if not self._can_look:
            locks = not capabilities.APPENDS_IN_ONE_PIECE and self.is_regular and not self._locked
            locked = locks and self.lock()
            try:
                self._write(record)
            finally:
                if locked:
                    self.unlock()
            return len(record)
        if self._outer_end is None:
            here = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if here != self._end:  # the one that is interrupted has written, up to here
                self._outer_end = here
        self._write(record)
        self._end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        self._look_before(self._end - len(record), record)
        return len(record)

    def _write(self, record: bytes) -> None:
        written = os.write(self._descriptor, record)
        if written != len(record):
            self._complete(record, written)

    def _complete(self, record: bytes, written: int) -> int:
        """Write what is missing. Return the length of *record*, which then stands in one piece."""
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR) if self._can_look else 0
        while written < len(record):
            count = os.write(self._descriptor, record[written:])
            written += count
            end += count
            if self._can_look and os.lseek(self._descriptor, 0, os.SEEK_CUR) != end:
                # Another's record came in between: to whoever looks, ours is a fragment.
                if os.write(self._descriptor, record) != len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
                break
        return len(record)

    def _look_before(self, start: int, record: bytes) -> None:
        """Give the fragment before *record*, which begins at *start*, a line of its own."""
        if start <= len(self._mark) or record[-1:] != _NEWLINE:
            return
        with contextlib.suppress(OSError):  # the record is written: nothing to report
            if os.pread(self._descriptor, 1, start - 1) == _NEWLINE:
                return
            if os.pread(self._descriptor, len(record), start) != record:
                return  # not where we believe, so that we would damage another's record
            # On Linux pwrite to an O_APPEND descriptor appends, wherever one wants to write.
            descriptor = capabilities.another_opening(self._descriptor, self.name, os.O_WRONLY)
            try:
                os.pwrite(descriptor, _NEWLINE, start - 1)
            finally:
                os.close(descriptor)

    def after_fork(self) -> None:
        """In the child: leave the opening that is the parent's, with its offset and its lock."""
        self._appending = self._locked = False
        self._outer_end = None
        if not self.is_regular or self.closed:
            return
        flags = _COMMON | (os.O_RDWR if self._can_look else os.O_WRONLY)
        try:
            own = capabilities.another_opening(self._descriptor, self.name, flags)
        except OSError:  # no descriptor left, perhaps: the handler opens the path again
            self.abandon()
            return
        self._end = len(self._mark)
        self._descriptor, inherited = own, self._descriptor
        os.close(inherited)

    # The file, and its lock between processes.

    def is_current(self) -> bool:
        """Return whether the path leads to this file, and the descriptor, too."""
        try:
            return os.path.samestat(os.stat(self.name), os.fstat(self._descriptor))
        except OSError:  # none there, in a directory that may not be searched, or closed
            return False

    def is_linked(self) -> bool:
        """Return whether any path leads to this file."""
        return self.is_open() and self.status().st_nlink > 0

    def is_open(self) -> bool:
        """Return whether the descriptor is ours still.

        A program that makes itself a daemon may have closed all of them, and opened others.
        """
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    def status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def size(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def lock(self, patience: float = 1.0) -> bool:
        """Take the inter-process lock of the file.

        Return False if the path leads to another file meanwhile, or if the holder does not move:
        it is waited for *patience* seconds, or twice as long while others write, and not again
        until the lock was free once.
        """
        for _ in range(_YIELDS):  # its holder needs a few microseconds, if it runs
            if self.try_lock():
                return True
            capabilities.give_way()
        if self.closed:  # by a signal handler's record, meanwhile
            return False
        begun, size = time.monotonic(), self.size()
        give_up = begun + patience
        while not self._is_stuck and self.is_current():
            time.sleep(_PAUSE)
            if self.try_lock():
                return True
            now = time.monotonic()
            if now > give_up:
                before, size = size, self.size()
                # Others write: with the lock if the machine is busy, or because they gave up, too.
                self._is_stuck = size == before or now > begun + _BUSY * patience
                give_up = now + patience
        return False

    def try_lock(self) -> bool:
        """Take the file's lock; return False at once if another opening of it has it."""
        self._locked = None  # an interrupt may come between the lock and its note
        if capabilities.try_lock(self._descriptor):
            self._locked, self._is_stuck = True, False
            return True
        self._locked = False
        return False

    @property
    def has_lock(self) -> bool:
        return self._locked is True

    def unlock(self) -> None:
        """Release the lock if we have it, for all that have inherited the descriptor, too."""
        if self._locked is not False:
            self._locked = None
            capabilities.unlock(self._descriptor)
            self._locked = False

    def abandon(self) -> None:
        """In a forked child: close without unlocking, for the lock is the parent's."""
        self._locked = False
        self.close()

    # What programs call on a handler's stream.

    def fileno(self) -> int:
        if self.closed:
            self._refuse()
        return self._descriptor

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    def close(self) -> None:
        is_open = self.is_open()
        if is_open:
            self.unlock()
        self._descriptor, descriptor = -1, self._descriptor
        if is_open:
            os.close(descriptor)

    __del__ = close

    def write(self, text: str) -> int:
        """Append *text*, encoded. Not for several threads at once: log, or hold `handler.lock`."""
        if self.closed:
            self._refuse()
        self.append(text.encode(self.encoding, self.errors).removeprefix(self._mark))
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def isatty(self) -> bool:
        return not self.closed and os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        """Return the size of the file, where the next record goes."""
        return os.fstat(self.fileno()).st_size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: ARG002
        """Return the size, and move nowhere: what is written goes to the end."""
        return self.tell()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' closed' if self.closed else ''}>"

    def _refuse(self) -> NoReturn:
        raise ValueError(f"{self.name} is closed")


def _open(path: str, mode: str, permissions: int | None, follow_symlinks: bool) -> int:
    flags = _COMMON | (os.O_TRUNC if mode == "w" else 0)
    if not follow_symlinks:
        flags |= _NO_FOLLOW
        if os.path.islink(path):
            raise OSError(errno.ELOOP, "is a symbolic link, see follow_symlinks", path)
    flags |= os.O_RDWR if _is_regular_or_missing(path) else os.O_WRONLY
    if mode == "x":
        return _create(path, flags, permissions)
    for _ in range(3):  # it may come and go meanwhile
        with contextlib.suppress(FileNotFoundError):
            return _open_existing(path, flags)
        with contextlib.suppress(FileExistsError):
            return _create(path, flags, permissions)
    # A link whose target is missing.
    descriptor = os.open(path, flags | os.O_CREAT, 0o666)
    _set_permissions(descriptor, permissions)
    return descriptor


def _open_existing(path: str, flags: int) -> int:
    with contextlib.suppress(PermissionError):
        return os.open(path, flags)
    # May be written but not read: then no fragment is looked for.
    return os.open(path, flags & ~os.O_RDWR | os.O_WRONLY)


def _create(path: str, flags: int, permissions: int | None) -> int:
    # Narrow first, then exact: nobody can open it in between.
    narrow = 0o666 if permissions is None else permissions & 0o600
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, narrow)
    _set_permissions(descriptor, permissions)
    return descriptor


def _set_permissions(descriptor: int, permissions: int | None) -> None:
    if permissions is not None and hasattr(os, "fchmod"):
        try:
            os.fchmod(descriptor, permissions)
        except OSError:
            os.close(descriptor)
            raise


def _is_regular_or_missing(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def _is_readable(descriptor: int) -> bool:
    try:
        os.pread(descriptor, 1, 0)
    except (OSError, AttributeError):  # Windows has no pread
        return False
    return True
