"""Sender: a child's connection to the parent. It knows nothing of logging's handlers."""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from collections import deque

from threadlog.children.address import connect, peer, split, version_page
from threadlog.children.frames import NO_SIGNAL, PROTOCOL, Frames, frame
from threadlog.children.levels import Levels
from threadlog.guard import TURN, locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PATIENCE = 10.0  # seconds: as long a call waits for a parent that does not read
RETRY = 1.0  # seconds between two attempts to reach a parent that is not there
NEWS = 0.5  # seconds: as long a call waits for levels that the parent has announced
# Bytes: Linux sends as many on a UNIX socket whole or not at all.
_AT_ONCE = 4096 if sys.platform == "linux" else 0
_BUFFER = 1024 * 1024  # bytes; Linux gives no more than net.core.wmem_max, twice 208 KiB
_LONGEST_NEWS = 64 * 1024 * 1024  # bytes, of the parent's, whom we trust


_take = list.pop


class _Frame:
    """One that is being sent.

    Whoever sends takes *rest*, what is left of it, and adds to *steps* how many bytes were sent, in
    one step of the interpreter. A signal handler that logs comes before or after that: it finds
    what is left, and leaves nothing to be sent twice.
    """

    __slots__ = ("data", "is_resent", "rest", "steps")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rest = [data]
        self.steps: list[int] = []
        self.is_resent = False

    def is_sent(self) -> bool:
        return sum(self.steps) == len(self.data)

    def begin_again(self) -> None:
        self.rest.clear()
        self.steps.clear()
        self.is_resent = True


class Sender:
    """Sends messages to the process at *address*, from the thread that calls.

    `send` returns when the kernel has the message. A parent that does not read is waited for
    `PATIENCE` seconds; after that nobody waits again until it has read. A connection that breaks
    is made anew, at most once in `RETRY` seconds. Thread-safe. A signal handler or a finalizer may
    send in the middle of another message: it sends what is left of that first.

    `page[0] != version`: the parent has levels to tell that differ from those in `levels`.
    """

    _socket: socket.socket | None = None

    def __init__(self, address: str) -> None:
        self.address = address
        self.levels: Levels | None = None  # the last that the parent has told
        self.page: Sequence[int] = (0,)
        self.version = 0  # of the levels
        self.parent: int | None = None  # its process id
        self.is_dismissed = False  # the parent has said that it wants no more
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew. In a child the inherited connection is the other process's."""
        self.close()
        self._lock = threading.RLock()
        self._frames: deque[_Frame] = deque()
        self._incoming = Frames(_LONGEST_NEWS)
        self._is_slow = self._is_listening = False
        self._next_try = 0.0
        self._waited_for = 0  # the version that did not come in time
        self.given_up = 0  # messages

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
            self._wait_for_news(wait)

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
        is_slow = self._is_slow
        end = time.monotonic() + (0.0 if is_slow else PATIENCE)
        wait = TURN if is_slow else PATIENCE
        taken = locked(self._lock, wait, self._send, frame(message), end)
        if taken is None:  # another thread waits for the parent, and has waited as long
            self._is_slow = True
        return taken is True

    def flush(self, wait: float) -> int:
        """Send what is left in line, in *wait* seconds. Return how many messages remain."""
        if self._frames:
            locked(self._lock, wait, self._send_all, time.monotonic() + wait)
        return len(self._frames)

    def catch_up(self) -> None:
        """Take the levels that the parent has announced, and wait for them, but not twice."""
        announced = self.page[0]
        wait = 0.0 if announced == self._waited_for else NEWS
        if locked(self._lock, wait, self._catch_up, announced) is None:  # it waits for the parent
            self._waited_for = announced

    def _catch_up(self, announced: int) -> bool:
        if self._is_listening:  # it is what this interrupts that will take them
            return True
        self._listen()
        if self._socket is None:
            try:
                self._reconnect()
            except (OSError, ValueError):
                return True
        if self.version != announced != self._waited_for:
            self._wait_for_news(NEWS)
            self._waited_for = announced
        return True

    def _wait_for_news(self, wait: float) -> None:
        end = time.monotonic() + wait
        while self._socket is not None and self.version != self.page[0]:
            if not self._poll("POLLIN", end):
                return
            self._listen()

    def _send(self, data: bytes, end: float) -> bool:
        frames = self._frames
        if len(data) <= _AT_ONCE:
            try:
                # No call comes between: no signal handler can, that leaves half a frame behind.
                if not frames:
                    self._socket.send(data, NO_SIGNAL)  # type: ignore[union-attr]
                    self._is_slow = False
                    return True
            except (OSError, AttributeError):  # no room, or no connection: the long way
                pass
        new = _Frame(data)
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
                first, before = frames[0], self._socket
                if self._step(first):
                    try:  # noqa: SIM105  contextlib.suppress would cost as much as half the rest
                        frames.remove(first)  # not popleft(): an interrupting one may have done it
                    except ValueError:
                        pass
                elif self._socket in (None, before) and not self._poll("POLLOUT", end):
                    self._is_slow = True
                    return
            self._is_slow = False
        except (OSError, IndexError):  # no parent; or all was sent by an interrupting sender
            pass

    def _step(self, first: _Frame) -> bool:
        """Send as much of *first* as there is room for. Return whether nothing is left of it."""
        if self._socket is None:
            self._reconnect()
            return False
        if not first.rest:
            rest = first.data[sum(first.steps) :]
            first.rest[:] = [rest]
            if first.is_sent():  # by an interrupting sender, up to this moment
                return True
        try:
            first.steps.extend(map(self._socket.send, map(_take, (first.rest,)), (NO_SIGNAL,)))
        except (BlockingIOError, IndexError):
            return False
        except (OSError, AttributeError):
            self._listen()  # it may have said why
            self.close()
            return False
        return first.is_sent()

    def _reconnect(self) -> None:
        """Connect, if it is not too soon. Raises OSError if there is nobody to connect with."""
        if time.monotonic() < self._next_try:
            raise ConnectionError
        try:
            self._connect()
        except BlockingIOError:  # many have come before
            self._next_try = 0.0
            return
        for waiting in list(self._frames):
            if waiting.steps:
                if waiting.is_resent:  # if the parent refuses it, the others must not wait for it
                    self._frames.remove(waiting)
                    self.given_up += 1
                waiting.begin_again()

    def _connect(self) -> None:
        self._next_try = time.monotonic() + RETRY
        token, _ = split(self.address)
        connected = connect(self.address)
        try:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            hello = json.dumps({"protocol": PROTOCOL, "token": token}).encode()
            connected.send(frame(hello), NO_SIGNAL)  # the first bytes always find room
        except OSError:
            connected.close()
            raise
        try:
            self.page = version_page(self.address)
        except OSError:  # somebody has tidied up
            self.page = (self.version,)
        self.close()  # an interrupting sender's
        self._incoming = Frames(_LONGEST_NEWS)
        self._socket, self.parent = connected, peer(connected)[0]
        self.is_dismissed = False

    def _poll(self, event: str, end: float) -> bool:
        """Wait until *event* or *end*. Return whether there is time left."""
        left = end - time.monotonic()
        if left > 0:
            if self._socket is None or not hasattr(select, "poll"):
                time.sleep(min(left, 0.01))
            else:
                poll = select.poll()
                poll.register(self._socket, getattr(select, event))
                poll.poll(min(left, 1.0) * 1000)
        return left > 0

    def _listen(self) -> None:
        """Take what the parent has said: the levels that it wants, or that it wants no more."""
        if self._is_listening:  # it is an interrupting sender, in the midst of the same
            return
        self._is_listening = True
        try:
            while self._socket is not None:
                data = self._socket.recv(65536)
                if not data:
                    self.close()
                for message in self._incoming.feed(data):
                    self._understand(json.loads(message))
        except BlockingIOError:
            pass
        except (OSError, ValueError, LookupError, TypeError, AttributeError):  # or it is no news
            self.close()
        finally:
            self._is_listening = False

    def _understand(self, news: dict[str, Any]) -> None:
        if "levels" in news:
            self.levels = Levels.from_plain(news["levels"])
            self.version = news["version"]
        self.is_dismissed = news.get("stopped", False)
