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
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# One os.write to an O_APPEND descriptor lands in one piece behind what others have written.
APPENDS_IN_ONE_PIECE = os.name == "posix"

# A file that processes have open can be given another name.
RENAMES_OPEN_FILES = os.name == "posix"


def _sleep() -> None:
    time.sleep(0)


# Lets another thread or process run, before one tries again.
give_way = getattr(os, "sched_yield", _sleep)

_FAR = 1 << 62  # Windows locks bytes: this one is behind the end of any file


def try_lock(descriptor: int) -> bool:
    """Take the file's inter-process lock, or return False at once: another opening holds it.

    It belongs to this opening of the file, is shared with a forked child, and ends with an unlock
    or with the last descriptor: a killed process holds none. (`flock`, not POSIX locks: those are
    dropped when any descriptor of the file is closed anywhere in the process.) Where the file
    system has no locks, it is as if taken: one process may roll over there, several must not.
    """
    if fcntl is None:
        return _try_lock_bytes(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EBADF)
    return True


def unlock(descriptor: int) -> None:
    if fcntl is None:
        _unlock_bytes(descriptor)
    else:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


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


def _try_lock_bytes(descriptor: int) -> bool:
    import msvcrt

    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        return False
    return True


def _unlock_bytes(descriptor: int) -> None:
    import msvcrt

    os.lseek(descriptor, _FAR, os.SEEK_SET)
    msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined, unused-ignore]
