"""Receiver: the thread that takes what children send. One connection for each child."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import selectors
import socket
import threading
import time
from collections import deque

from threadlog.children.address import is_trusted
from threadlog.children.frames import NO_SIGNAL, PROTOCOL, Frames, frame
from threadlog.children.levels import Levels
from threadlog.guard import say
from threadlog.records import LIMIT, UNJUDGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Bounds on what strangers and children may cost.
STRANGERS = 128  # connections that have not shown the token; one more, and the oldest is closed
LONGEST_HELLO = 1024  # bytes
HELLO_TIME = 10.0  # seconds
_PIECE = 64 * 1024  # bytes: as much of each connection is read in turn
BUDGET = 64 * 1024 * 1024  # bytes of unfinished messages that are longer than a piece
STALLED = 10.0  # seconds: as long a message may keep some of the budget while others wait for it

_LOOK = 0.5  # seconds between two looks at the loggers' levels, while there are children


class _Connection:
    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.frames = Frames(LONGEST_HELLO)
        self.is_known = False  # has shown the token
        self.since = time.monotonic()
        self.reserved = 0  # bytes of the budget
        self.reserved_until = 0.0
        self.told = 0  # the version of the levels
        self.unsent = b""  # of what it is being told


class Receiver:
    """Gives each message of a child that comes to *listening* and knows the *token* to *handle*.

    Its thread waits for nobody: what children and strangers send, or do not send, neither stops it
    nor makes it keep more than `BUDGET` bytes, a piece for each connection and the message at hand.
    """

    def __init__(
        self,
        listening: socket.socket,
        token: str,
        page: memoryview,
        handle: Callable[[bytes], object],
    ) -> None:
        self._listening = listening
        self._token = token
        self._handle = handle
        self._page = page
        self.version = page[0] = time.monotonic_ns()
        self._levels = Levels.here()
        self._connections: dict[_Connection, None] = {}
        self._waiting: deque[_Connection] = deque()  # for some of the budget
        self._reserved = 0
        self._requests: deque[tuple[bool, float, threading.Event]] = deque()
        self._is_closed = False
        self._next_look = 0.0
        self._accepts_again: float | None = None  # when there may be file descriptors again
        self._awake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for readable in (self._listening, self._awake):
            self._selector.register(readable, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="threadlog-children", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError where no thread can be started."""
        self._thread.start()

    def settle(self, wait: float) -> bool:
        """Return whether all is handled that had come, after *wait* seconds at most."""
        return self._ask(False, wait)

    def stop(self, wait: float) -> bool:
        """Settle, tell the children that no more is wanted, and end, as far as time allows."""
        return self._ask(True, wait)

    def after_fork(self) -> None:
        """Let go, in a child, of what is the parent's.

        Each copy is closed, without a word to the selector, whose kernel side both share.
        """
        self._is_closed = True
        sockets = [connection.socket for connection in list(self._connections)]
        closes = [mine.close for mine in (self._listening, self._awake, self._waker, *sockets)]
        for close in (self._selector.close, *closes):
            with contextlib.suppress(OSError):  # a program may have closed all there is
                close()

    def announce_levels(self) -> None:
        """Tell the children, soon, what the levels are by now.

        They know at once that they must wait for it. May be called under logging's lock.
        """
        self._page[0] = time.monotonic_ns()
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has more than enough to wake it, or has ended
            self._waker.send(b"\0")

    def _ask(self, to_stop: bool, wait: float) -> bool:
        if self._is_closed:
            return False
        done = threading.Event()
        self._requests.append((to_stop, time.monotonic() + wait, done))
        self._wake()
        # A handler that asks in our own thread is answered when it has returned.
        return threading.current_thread() is self._thread or done.wait(wait)

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._serve()
            except Exception as error:  # no memory, or somebody has closed what is ours
                say(f"threadlog: error in the thread that takes children's records: {error!r}")
                time.sleep(_LOOK)

    def _serve(self) -> None:
        for key, _ in self._selector.select(self._timeout()):
            if self._is_closed:  # a handler has forked, and this is the child
                return
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._awake:
                self._awake.recv(4096)
            else:
                self._read(key.data)
        if self._is_closed:
            return
        self._look_after()
        while self._requests:
            self._answer(*self._requests.popleft())

    def _timeout(self) -> float | None:
        return _LOOK if self._connections or self._accepts_again is not None else None

    def _answer(self, to_stop: bool, end: float, done: threading.Event) -> None:
        while self._accept() and time.monotonic() < end:
            pass
        if to_stop:
            self._dismiss()
        may_have_more = True
        while may_have_more and time.monotonic() < end:
            may_have_more = False
            for connection in list(self._connections):
                may_have_more |= self._read(connection)
        if to_stop:
            self._close()
        done.set()

    def _dismiss(self) -> None:
        """Tell the children that no more is wanted. What they have sent can still be read."""
        self._page[0] = time.monotonic_ns()  # those that send nothing look, too, and come back
        bye = frame(json.dumps({"stopped": True}).encode())
        for connection in list(self._connections):
            if connection.is_known:
                self._tell(connection, bye)
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RD)

    def _close(self) -> None:
        self._is_closed = True
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for mine in (self._listening, self._awake, self._waker):
            mine.close()

    def _accept(self) -> bool:
        """Take one more connection. Return whether there was one."""
        try:
            connected, _ = self._listening.accept()
        except BlockingIOError:
            return False
        except OSError:  # no file descriptors: try again later, and serve the others meanwhile
            if self._accepts_again is None:
                self._accepts_again = time.monotonic() + 1.0
                self._selector.unregister(self._listening)
            return False
        try:
            connected.setblocking(False)
            if not is_trusted(connected):
                raise PermissionError
            connection = _Connection(connected)
            self._selector.register(connected, selectors.EVENT_READ, connection)
        except OSError:
            connected.close()
            return True
        self._connections[connection] = None
        self._read(connection)  # a child says at once who it is
        strangers = [one for one in self._connections if not one.is_known]
        if len(strangers) > STRANGERS:
            self._drop(strangers[0])
        return True

    def _drop(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)
        if connection in self._waiting:
            self._waiting.remove(connection)
        else:
            self._selector.unregister(connection.socket)
        connection.socket.close()
        self._release(connection)

    def _read(self, connection: _Connection) -> bool:
        """Take a piece of what has come. Return whether there is likely to be more."""
        if connection not in self._connections or connection in self._waiting:
            return False
        try:
            data = connection.socket.recv(_PIECE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return False
        for message in connection.frames.feed(data):
            if self._is_closed:
                return False
            if connection.is_known:
                self._handle(message)
            elif not self._greet(connection, message):
                return False
        if connection.frames.is_broken:
            self._drop(connection)
            return False
        self._reserve(connection)
        return len(data) == _PIECE

    def _greet(self, connection: _Connection, message: bytes) -> bool:
        """Return whether *message* is a child's hello; else the connection is closed."""
        try:
            hello = json.loads(message)
            token = hello["token"].encode()
            is_known = hmac.compare_digest(token, self._token.encode())
            if not is_known or hello["protocol"] != PROTOCOL:
                raise PermissionError
        except Exception:
            self._drop(connection)
            return False
        connection.is_known = True
        connection.frames.limit = LIMIT + len(UNJUDGED)
        self._look_at_levels()
        self._tell_levels([connection])
        return True

    # The budget.

    def _reserve(self, connection: _Connection) -> None:
        needed = connection.frames.expected
        if needed <= _PIECE:
            self._release(connection)
        elif not connection.reserved:
            if self._reserved and self._reserved + needed > BUDGET:
                self._selector.unregister(connection.socket)
                self._waiting.append(connection)
            else:
                connection.reserved = needed
                connection.reserved_until = time.monotonic() + STALLED
                self._reserved += needed

    def _release(self, connection: _Connection) -> None:
        if connection.reserved:
            self._reserved -= connection.reserved
            connection.reserved = 0
            for waiting in list(self._waiting):
                self._waiting.remove(waiting)
                self._selector.register(waiting.socket, selectors.EVENT_READ, waiting)
                self._reserve(waiting)

    # What is due from time to time.

    def _look_after(self) -> None:
        now = time.monotonic()
        if self.version != self._page[0]:
            self._look_at_levels()
            self._tell_levels(self._connections)
        if now < self._next_look:
            return
        self._next_look = now + _LOOK
        if self._accepts_again is not None and now > self._accepts_again:
            self._accepts_again = None
            self._selector.register(self._listening, selectors.EVENT_READ)
        logging.root.isEnabledFor(logging.CRITICAL)  # takes the levels of a parent of this process
        self._look_at_levels()
        self._tell_levels(self._connections)
        for connection in list(self._connections):
            if (not connection.is_known and now - connection.since > HELLO_TIME) or (
                self._waiting and connection.reserved and now > connection.reserved_until
            ):
                self._drop(connection)

    def _look_at_levels(self) -> None:
        version = self._page[0]  # first: what changes from now on has another
        levels = Levels.here()
        if version == self.version and levels != self._levels:  # nobody announces a disabled one
            version = self._page[0] = time.monotonic_ns()
        self.version, self._levels = version, levels

    def _tell_levels(self, connections: Iterable[_Connection]) -> None:
        news = None
        for connection in list(connections):
            if connection.unsent:
                self._tell(connection, b"")
            elif connection.is_known and connection.told != self.version:
                if news is None:
                    words = {"levels": self._levels.as_plain(), "version": self.version}
                    news = frame(json.dumps(words).encode())
                connection.told = self.version
                self._tell(connection, news)

    def _tell(self, connection: _Connection, news: bytes) -> None:
        """Send *news* as far as there is room, and the rest of it another time."""
        connection.unsent += news
        try:
            sent = connection.socket.send(connection.unsent, NO_SIGNAL)
        except OSError:  # no room, or it has ended: reading tells
            return
        connection.unsent = connection.unsent[sent:]
