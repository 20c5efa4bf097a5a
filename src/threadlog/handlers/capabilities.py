"""What a shared log file needs of the operating system, named by what it is good for.

Linux has all of it. macOS has all but `another_opening` by descriptor, which falls back to the
path. Windows was never run: there a record is written under a lock, and a rollover is put off
while any other process has the file open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # Windows
    import msvcrt

    _FAR = 1 << 62  # it locks bytes: this one is behind the end of any file

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined, unused-ignore]
else:
    _AT_ONCE = LOCK_EX | LOCK_NB

    def _lock(descriptor: int) -> None:
        flock(descriptor, _AT_ONCE)

    def _unlock(descriptor: int) -> None:
        flock(descriptor, LOCK_UN)


# One os.write to an O_APPEND descriptor lands in one piece behind what others have written.
APPENDS_IN_ONE_PIECE = os.name == "posix"

# A file that processes have open can be given another name.
RENAMES_OPEN_FILES = os.name == "posix"


def _sleep() -> None:
    time.sleep(0)


# Lets another thread or process run, before one tries again.
give_way = getattr(os, "sched_yield", _sleep)


def try_lock(descriptor: int) -> bool:
    """Take the file's inter-process lock, or return False at once: another opening holds it.

    It belongs to this opening of the file, is shared with a forked child, and ends with an unlock
    or with the last descriptor: a killed process holds none. (`flock`, not POSIX locks: those are
    dropped when any descriptor of the file is closed anywhere in the process.) Where the file
    system has no locks, it is as if taken: one process may roll over there, several must not.
    """
    try:
        _lock(descriptor)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EBADF)
    except ValueError:  # -1: closed
        return False
    return True


def unlock(descriptor: int) -> None:
    try:  # noqa: SIM105  contextlib.suppress would cost as much as the call
        _unlock(descriptor)
    except (OSError, ValueError):
        pass


def another_opening(descriptor: int, path: str, flags: int) -> int:
    """Open the file behind *descriptor* once more, whatever its name is by now.

    Without a `/proc` the file is opened by its *path*; raises OSError if that is another file.
    """
    with contextlib.suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    again = os.open(path, flags)
    if os.path.sameopenfile(descriptor, again):
        return again
    os.close(again)
    raise FileNotFoundError(f"{path} is another file by now")
