"""Sender: a child's connection to the parent. It knows nothing of logging's handlers."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections import deque

from threadlog.children.address import connect, split
from threadlog.children.frames import Frames, frame
from threadlog.children.levels import Levels
from threadlog.guard import TURN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 10.0  # seconds: as long a call waits for a parent that does not read
RETRY = 1.0  # seconds between two attempts to reach a parent that is not there
_LOOK = 0.1  # seconds between two looks at what the parent has to say
VERSION = 1  # of the language that both ends speak
LONGEST_NEWS = 64 * 1024 * 1024  # bytes, of the parent's, whom we trust
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a program may have SIGPIPE kill it


class _Frame:
    """One that is being sent, and how many bytes of it each step has sent."""

    __slots__ = ("data", "steps")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.steps: list[int] = []


class Sender:
    """Sends messages to the process at *address*, from the thread that calls.

    `send` returns when the kernel has the message. A parent that does not read is waited for
    `PATIENCE` seconds; after that nobody waits again until it has read. A connection that breaks
    is made anew, at most once in `RETRY` seconds. Thread-safe. A signal handler or a finalizer may
    send in the middle of another message: it sends what is left of that first.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.levels: Levels | None = None  # the last that the parent has told
        self.parent: int | None = None  # its process id
        self.is_dismissed = False  # the parent has said that it wants no more
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew. In a child the inherited connection is the other process's."""
        self.close()
        self._lock = threading.RLock()
        self._frames: deque[_Frame] = deque()
        self._incoming = Frames(LONGEST_NEWS)
        self._is_slow = False
        self._next_try = self._next_look = 0.0

    _socket: socket.socket | None = None

    def close(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()

    def open(self, wait: float = 0.0) -> None:
        """Connect, and *wait* as many seconds for the parent's levels.

        Raises OSError, ValueError.
        """
        with self._lock:
            self._connect()
            end = time.monotonic() + wait
            while self._socket is not None and self.levels is None and self._poll("POLLIN", end):
                self._listen()

    def try_open(self) -> None:
        """Connect if possible, soon after a fork: later the process may be another user's."""
        try:
            self.open()
        except (OSError, ValueError):
            self._next_try = 0.0  # the first record tries again

    def send(self, message: bytes) -> bool:
        """Return whether the kernel has taken *message*, or some of it and keeps the rest in line.

        Raises nothing.
        """
        lock = self._lock
        end = time.monotonic() + (0.0 if self._is_slow else PATIENCE)
        if not (lock.acquire(False) or lock.acquire(timeout=TURN if self._is_slow else PATIENCE)):
            self._is_slow = True
            return False
        try:
            return self._send(_Frame(frame(message)), end)
        finally:
            lock.release()

    def flush(self, wait: float) -> int:
        """Send what is left in line, in *wait* seconds. Return how many messages remain."""
        if self._lock.acquire(timeout=wait):
            try:
                if self._frames:
                    self._send_all(time.monotonic() + wait)
            finally:
                self._lock.release()
        return len(self._frames)

    def _send(self, new: _Frame, end: float) -> bool:
        frames = self._frames
        frames.append(new)
        self._send_all(end)
        if new.steps:
            return True
        try:
            frames.remove(new)
        except ValueError:  # an interrupting sender has seen to it
            return True
        return False

    def _send_all(self, end: float) -> None:
        frames = self._frames
        try:
            while frames:
                first = frames[0]
                while not self._step(first):
                    if not self._poll("POLLOUT", end):
                        self._is_slow = True
                        return
                try:  # noqa: SIM105  contextlib.suppress would cost as much as half the rest
                    frames.remove(first)  # not popleft(): an interrupting sender may have done it
                except ValueError:
                    pass
            self._is_slow = False
            if time.monotonic() > self._next_look:
                self._listen()
        except (OSError, IndexError):  # no parent; or all was sent by an interrupting sender
            pass

    def _step(self, first: _Frame) -> bool:
        """Send as much of *first* as there is room for. Return whether nothing is left of it."""
        if self._socket is None:
            self._reconnect()
        data, steps = first.data, first.steps
        rest = map(data.__getitem__, map(slice, map(sum, (steps,)), (None,)))
        try:
            # In one step of the interpreter: what is left, its sending, and the note of how much
            # was sent. A signal handler that comes before may send it all, and then nothing is.
            steps.extend(map(self._socket.send, rest, (_NO_SIGNAL,)))  # type: ignore[union-attr]
        except BlockingIOError:
            return False
        except (OSError, AttributeError):
            self._listen()  # it may have said why
            self.close()
            return False
        return sum(steps) == len(data)

    def _reconnect(self) -> None:
        if time.monotonic() < self._next_try:
            raise ConnectionError
        self._connect()
        for waiting in self._frames:
            waiting.steps.clear()

    def _connect(self) -> None:
        self._next_try = time.monotonic() + RETRY
        token, _ = split(self.address)
        connected = connect(self.address)
        hello = json.dumps({"version": VERSION, "token": token}).encode()
        try:
            connected.send(frame(hello), _NO_SIGNAL)  # the first bytes always find room
        except OSError:
            connected.close()
            raise
        self.close()  # an interrupting sender's
        self._incoming = Frames(LONGEST_NEWS)
        self._socket = connected
        self.is_dismissed = False

    def _poll(self, event: str, end: float) -> bool:
        if self._socket is None:
            return True
        left = end - time.monotonic()
        if left <= 0:
            return False
        poll = select.poll()
        poll.register(self._socket, getattr(select, event))
        poll.poll(left * 1000)
        return True

    def _listen(self) -> None:
        """Take what the parent has said: the levels that it wants, or that it wants no more."""
        self._next_look = time.monotonic() + _LOOK
        try:
            while self._socket is not None:
                data = self._socket.recv(65536)
                if not data:
                    self.close()
                for message in self._incoming.feed(data):
                    self._understand(json.loads(message))
        except BlockingIOError:
            pass
        except Exception:  # the connection's, or of what is no news
            self.close()

    def _understand(self, news: dict[str, Any]) -> None:
        if "levels" in news:
            self.levels = Levels.from_plain(news["levels"])
        self.parent = news.get("pid", self.parent)
        self.is_dismissed = news.get("stopped", False)
