"""Hosting: a parent that takes the records of its children."""

from __future__ import annotations

import contextlib
import threading

from threadlog import lifecycle
from threadlog.children import address as addresses
from threadlog.children import joining
from threadlog.children.delivery import deliver
from threadlog.children.receiver import Receiver
from threadlog.guard import say

_STOP = 1.5  # seconds: as long `stop` waits until all is handled that had come
_END = 5.0  # seconds: as long the end of the process does


class _Host:
    """The claims of this process on its children's records, and what serves them."""

    def __init__(self) -> None:
        self._address = ""  # stays the same, so that children find the way back
        self._receiver: Receiver | None = None
        self._claims: set[object] = set()
        self._lock = threading.RLock()
        self._ends_with_process = False

    def claim(self, claim: object) -> None:
        with self._lock:
            if self._receiver is None:
                self._receiver = self._receive()
                joining.hand_out(self._address)
            self._claims.add(claim)

    def release(self, claim: object) -> None:
        with self._lock:
            self._claims.discard(claim)
            if not self._claims:
                self._stop(_STOP)

    def settle(self, wait: float) -> bool:
        receiver = self._receiver
        return receiver is None or receiver.settle(wait)

    def after_fork(self) -> None:
        address, receiver = self._address, self._receiver
        self.__init__()  # type: ignore[misc]
        if receiver is not None:
            receiver.after_fork()
            try:
                joining.join_after_fork(address)
            except Exception as error:
                say(f"threadlog: log records do not reach the parent: {error!r}")

    def end(self) -> None:
        """Stop at the end of the process."""
        with self._lock:
            self._claims.clear()
            self._stop(_END)

    def _stop(self, wait: float) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        try:
            joining.take_back()
            if not receiver.stop(wait):
                say(f"threadlog: not all that children had logged was handled in {wait} seconds")
        finally:
            addresses.leave(self._address)

    def _receive(self) -> Receiver:
        listening = None
        if self._address:
            with contextlib.suppress(OSError):
                listening = addresses.listen(self._address)
        if listening is None:
            self._address = addresses.new_address()
            listening = addresses.listen(self._address)
        token, _ = addresses.split(self._address)
        receiver = Receiver(listening, token, deliver)
        try:
            receiver.start()
        except RuntimeError:  # at the end of the process, or in a subinterpreter
            receiver.after_fork()
            addresses.leave(self._address)
            raise
        if not self._ends_with_process:
            lifecycle.end_after_children(self)
            self._ends_with_process = True
        return receiver


host = _Host()
lifecycle.renew_in_child(host)
