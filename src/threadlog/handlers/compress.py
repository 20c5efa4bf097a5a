"""Compresses rotated files, off the writers' way."""

from __future__ import annotations

import contextlib
import os
import time
import zlib

from threadlog.handlers import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GZIPPED = ".gz"
_PART = ".gz.part"

# Rotating handlers do not append to a file that has been renamed; other programs' handlers that
# follow a moved file within a second may, so that a file rests before it is read.
_REST = 1.5  # seconds
_LOOK_AGAIN = 0.5  # seconds

_BLOCK = 1 << 18  # bytes
_AS_GZIP = 16 + zlib.MAX_WBITS


def compress_backups(
    base: str,
    plain_backups: Callable[[], list[str]],
    exclusively: Callable[[Callable[[], None]], None],
) -> None:
    """Turn each of *plain_backups()* into one with `.gz`, until there are none.

    A backup may be renamed by the next rollovers meanwhile, and is known by its inode. The one
    moment in which its name changes is run by *exclusively*, when nobody rolls over. Processes take
    turns: the file in the making, `base.gz.part`, is locked, and left by a killed process it is
    begun anew.
    """
    seen: dict[tuple[int, int], float] = {}
    while paths := plain_backups():
        for path in paths:
            now = time.monotonic()
            try:
                status = os.stat(path)
            except FileNotFoundError:  # renamed by the next rollover
                continue
            inode = _inode(status)
            if now - seen.setdefault(inode, now) >= _REST:
                del seen[inode]  # another file may get it
                if not _compress(path, base + _PART, inode, plain_backups, exclusively):
                    return
        time.sleep(_LOOK_AGAIN)


def _compress(
    path: str,
    part: str,
    inode: tuple[int, int],
    plain_backups: Callable[[], list[str]],
    exclusively: Callable[[Callable[[], None]], None],
) -> bool:
    """Compress the backup with this *inode*. Return False if it is not ours to go on."""
    try:
        source = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    target = -1
    try:
        if _inode(os.fstat(source)) != inode:
            return True  # renamed in between: the next round finds it
        target = _open(part, os.O_WRONLY | os.O_CREAT)
        if not capabilities.try_lock(target) or not _is_at(part, _inode(os.fstat(target))):
            return False  # another process is at it
        try:
            size = _pack(source, target)
            may_go_on = False

            def take_its_place() -> None:
                nonlocal may_go_on
                may_go_on = True
                now = next((path for path in plain_backups() if _is_at(path, inode)), None)
                if now is not None and os.fstat(source).st_size == size:
                    os.rename(part, now + GZIPPED)
                    with contextlib.suppress(FileNotFoundError):  # another has seen both
                        os.unlink(now)

            exclusively(take_its_place)
            return may_go_on
        finally:
            # Deleted meanwhile, written to by a stranger, or no room: what was made is of no use.
            if _is_at(part, _inode(os.fstat(target))):
                os.unlink(part)
            capabilities.unlock(target)
    finally:
        _close(source)
        if target >= 0:
            _close(target)


# A forked child must not keep the lock of a file in the making when its parent is killed.
_opened: set[int] = set()


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _SAFE, 0o600)
    _opened.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _opened.discard(descriptor)
    os.close(descriptor)


def _after_fork() -> None:
    while _opened:
        os.close(_opened.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_SAFE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def _pack(source: int, target: int) -> int:
    """Write *source* to *target* as gzip, as readable as it is. Return how many bytes it has."""
    os.ftruncate(target, 0)
    if hasattr(os, "fchmod"):
        os.fchmod(target, os.fstat(source).st_mode & 0o7777)
    packer = zlib.compressobj(wbits=_AS_GZIP)
    size = 0
    while block := os.read(source, _BLOCK):
        size += len(block)
        _write_all(target, packer.compress(block))
    _write_all(target, packer.flush())
    return size


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _is_at(path: str, inode: tuple[int, int]) -> bool:
    try:
        return _inode(os.lstat(path)) == inode
    except FileNotFoundError:
        return False


def _inode(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)
