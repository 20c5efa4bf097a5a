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
            inode = (status.st_dev, status.st_ino)
            if now - seen.setdefault(inode, now) >= _REST and not _compress(
                path, base + GZIPPED + ".part", inode, plain_backups, exclusively
            ):
                return
        time.sleep(_LOOK_AGAIN)


def _compress(
    path: str,
    part: str,
    inode: tuple[int, int],
    plain_backups: Callable[[], list[str]],
    exclusively: Callable[[Callable[[], None]], None],
) -> bool:
    """Compress the backup with this *inode*. Return False if another process is at it."""
    try:
        source = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        status = os.fstat(source)
        if _inode(status) != inode:
            return True  # renamed in between: the next round finds it
        target = _open(part, os.O_WRONLY | os.O_CREAT)
        try:
            if not capabilities.try_lock(target) or not _is_at(part, _inode(os.fstat(target))):
                return False
            os.ftruncate(target, 0)
            size = _pack(source, target)
            if hasattr(os, "fchmod"):
                os.fchmod(target, status.st_mode & 0o7777)

            def take_its_place() -> None:
                now = next((path for path in plain_backups() if _is_at(path, inode)), None)
                if now is None or os.fstat(source).st_size != size:
                    return  # deleted meanwhile, or written to by a stranger: the next round
                os.rename(part, now + GZIPPED)
                with contextlib.suppress(FileNotFoundError):  # another has seen both
                    os.unlink(now)

            exclusively(take_its_place)
        finally:
            capabilities.unlock(target)
            _close(target)
    finally:
        _close(source)
    return True


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
    """Write the bytes of *source* to *target* as gzip, and return how many there were."""
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
