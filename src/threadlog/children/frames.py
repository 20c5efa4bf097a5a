"""Frames: messages on a stream. Four bytes tell a message's length, most significant first."""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL = 1  # what the messages of both ends mean
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a program may have SIGPIPE kill it
_HEADER = 4


def frame(message: bytes) -> bytes:
    """Return *message* with its length in front."""
    return len(message).to_bytes(_HEADER, "big") + message


class Frames:
    """Puts messages together again from the pieces in which they arrive.

    *limit*: the longest message, in bytes. Who announces a longer one speaks another language:
    `is_broken`, and nothing more is understood.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_broken = False
        self.expected = 0  # bytes of the message that is under way
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete with *data*. May be left before the last."""
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self.expected:
                return
            data = bytes(pending)
            pending.clear()
        at = self.expected = 0
        end = len(data)
        try:
            while not self.is_broken and end >= at + _HEADER:
                begin = at + _HEADER
                size = int.from_bytes(data[at:begin], "big")
                if size > self.limit:
                    self.is_broken = True
                elif begin + size > end:
                    self.expected = _HEADER + size
                    return
                else:
                    at = begin + size
                    yield data[begin:at]
        finally:
            pending += data[at:]
