"""Hosting: a parent that takes the records of its children."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading

from threadlog import lifecycle
from threadlog.children import address as addresses
from threadlog.children import joining
from threadlog.children.delivery import deliver
from threadlog.children.receiver import Receiver
from threadlog.guard import say
from threadlog.level import clear_caches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        # A child that imports the main module runs what stands there outside of any condition.
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            return
        with self._lock:
            if self._receiver is None:
                self._receiver = self._receive()
                _watch_levels(self._receiver)
                joining.host(self._address)
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
            _unwatch_levels()
            receiver.after_fork()
            joining.join_after_fork(address, receiver.version)

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
            joining.stop_hosting()
            _unwatch_levels()
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
        try:
            page = addresses.version_page(self._address, write=True)
            receiver = Receiver(listening, token, page, deliver)
            receiver.start()
        except (OSError, RuntimeError):  # no room; the end of the process, a subinterpreter
            listening.close()
            addresses.leave(self._address)
            raise
        if not self._ends_with_process:
            lifecycle.end_after_children(self)
            self._ends_with_process = True
        return receiver


def _watch_levels(receiver: Receiver) -> None:
    """Have *receiver* know at once of a level that changes: loggers forget then what they knew."""
    manager: Any = logging.root.manager
    forget = vars(manager).get("_clear_cache", clear_caches)

    def forget_and_tell() -> None:
        forget()
        receiver.announce_levels()

    manager._clear_cache = forget_and_tell


def _unwatch_levels() -> None:
    vars(logging.root.manager).pop("_clear_cache", None)


host = _Host()
lifecycle.renew_in_child(host)
