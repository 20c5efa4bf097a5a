"""Address: where a parent is reached, a socket in a directory that only its user may enter.

As text it is `TOKEN:PATH`. The token proves that whoever calls was told of it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import socket
import stat
import struct
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "threadlog-children-"
_NAME = "socket"
_PAGE = "version"
_LONGEST_PATH = 100  # bytes; a socket's address has room for 108, on macOS for 104
_UCRED = struct.Struct("iII")  # pid, uid, gid
_IN_THE_MAKING = 60.0  # seconds: so old a directory without a socket is nobody's any more


def new_address() -> str:
    """Make a directory, with access for its owner only, and return the address of a socket in it.

    Removes what processes that have crashed have left behind. Raises OSError.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise NotImplementedError(
            "logging from children needs UNIX sockets, which this platform's Python does not have;"
            " let each process log to a threadlog.handlers.FileHandler instead"
        )
    sweep()
    for parent in _parents():
        directory = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)  # 0700
        path = os.path.join(directory, _NAME)
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return f"{secrets.token_hex(16)}:{path}"
        os.rmdir(directory)
    raise OSError(f"{path!r} is too long for a socket; set TMPDIR to a shorter path")


def split(address: str) -> tuple[str, str]:
    """Return the token and the path. Raises ValueError for anything else."""
    token, _, path = address.partition(":")
    if not (token and os.path.isabs(path)):
        raise ValueError(f"{address!r} is no address of the form TOKEN:/PATH")
    return token, path


def listen(address: str) -> socket.socket:
    """Return a socket that listens at *address*. Raises OSError."""
    _, path = split(address)
    directory = os.path.dirname(path)
    with contextlib.suppress(FileExistsError):  # of the process's first time, or a stranger's
        os.mkdir(directory, 0o700)
    status = os.lstat(directory)
    if (status.st_uid, status.st_mode) != (os.geteuid(), stat.S_IFDIR | 0o700):
        raise PermissionError(f"{directory} has been made by another")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        # Who sees the name may take a socket that does not answer for a dead one.
        listening.bind(f"{path}.new")
        listening.listen(socket.SOMAXCONN)
        os.rename(f"{path}.new", path)
    except OSError:
        listening.close()
        raise
    return listening


def connect(address: str) -> socket.socket:
    """Return a socket that is connected with the process that listens at *address*. Never waits.

    Raises OSError, also if that process is another user's, and ValueError.
    """
    _, path = split(address)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        connected.connect(path)
        if not is_trusted(connected):
            raise PermissionError(f"{path} is another user's")
    except OSError:
        connected.close()
        raise
    return connected


def version_page(address: str, *, write: bool = False) -> memoryview:
    """Return the number that the parent changes when its levels change: `page[0]`, in memory that
    all share. Raises OSError.
    """
    path = os.path.join(os.path.dirname(split(address)[1]), _PAGE)
    flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if write:
            os.pwrite(descriptor, bytes(8), 0)  # a hole that finds no room later would be fatal
        access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
        return memoryview(mmap.mmap(descriptor, 8, access=access)).cast("Q")
    finally:
        os.close(descriptor)


def is_trusted(connected: socket.socket) -> bool:
    """Return whether the other end is a process of this user, or of root.

    Where the platform does not tell, the directory's permissions must do.
    """
    return peer(connected)[1] in (os.geteuid(), 0, None)


def peer(connected: socket.socket) -> tuple[int | None, int | None]:
    """Return process id and user id of the other end: of who listens there, if *connected* called.

    Where the platform does not tell, None.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return None, None
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(credentials)
    return pid or None, uid  # 0: of another namespace


def leave(address: str) -> None:
    """Remove socket and directory."""
    _remove(os.path.dirname(split(address)[1]))


def sweep() -> None:
    """Remove the sockets and directories of this user's processes that have crashed."""
    for parent in _parents():
        with contextlib.suppress(OSError), os.scandir(parent) as entries:
            for entry in entries:
                if entry.name.startswith(_PREFIX) and _is_deserted(entry):
                    _remove(entry.path)


def _parents() -> Iterator[str]:
    yield tempfile.gettempdir()
    if tempfile.gettempdir() != "/tmp":
        yield "/tmp"


def _is_deserted(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # another has been faster
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        connect(f"-:{os.path.abspath(entry.path)}/{_NAME}").close()
    except ConnectionRefusedError:
        return True
    except FileNotFoundError:
        return time.time() - status.st_mtime > _IN_THE_MAKING
    except OSError:
        return False
    return False


def _remove(directory: str) -> None:
    for name in (_NAME, f"{_NAME}.new", _PAGE):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, name))
    with contextlib.suppress(OSError):
        os.rmdir(directory)
