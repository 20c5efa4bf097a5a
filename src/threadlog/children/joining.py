"""Joining: how a child comes to send its records to a parent."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.process
import os

from threadlog.children import forwarder
from threadlog.children.forwarder import Forwarder
from threadlog.children.levels import Levels
from threadlog.children.sender import Sender
from threadlog.guard import say
from threadlog.uncaught import is_logging_uncaught, log_uncaught

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENVIRONMENT = "THREADLOG_PARENT"
_KEY = "threadlog"
_WAIT = 1.0  # seconds, for the parent to tell its levels

_hosted: str | None = None  # this process's own address
_address_before: str | None = None  # in the environment, before this process had its own
_inherited: list[Any] = []

# A child that cannot import threadlog, or cannot reach its parent, starts all the same.
_ARRIVE = """
try:
    from threadlog.children.joining import arrive
    ticket = arrive(address, uncaught)
except Exception as error:
    import sys
    if sys.stderr:
        print("threadlog: log records do not reach the parent:", repr(error), file=sys.stderr)
"""


class Ticket:
    """Lies in multiprocessing's configuration of a process, of which each child gets a copy.

    With the start methods that send the child its process object as a pickle, the child joins when
    it reads this, and has a ticket for its own children then.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def __reduce__(self) -> tuple[Any, ...]:
        child = {"address": self.address, "uncaught": is_logging_uncaught()}
        return dict.get, (child, "ticket", _Arrival(child))  # the last is read before the call


class _Arrival:
    def __init__(self, child: dict[str, object]) -> None:
        self.child = child

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_ARRIVE, self.child)


_ticket: Ticket | None = None


def hand_out(address: str) -> None:
    """Have the children of this process join the one at *address*, in whatever way they start."""
    global _ticket
    _ticket = Ticket(address)
    _put_ticket()
    os.environ[ENVIRONMENT] = address


def host(address: str) -> None:
    """Have the children of this process join this process, which is at *address*."""
    global _hosted, _address_before
    _hosted, _address_before = address, os.environ.get(ENVIRONMENT)
    hand_out(address)


def stop_hosting() -> None:
    """Have the children that are started from now on join whom this process has joined, if any."""
    global _ticket, _hosted
    _hosted = None
    if forwarder.current is not None:
        hand_out(forwarder.current.sender.address)
        return
    _ticket = None
    _put_ticket()
    os.environ.pop(ENVIRONMENT, None)
    if _address_before is not None:
        os.environ[ENVIRONMENT] = _address_before


def _put_ticket() -> None:
    processes = [multiprocessing.current_process()]
    # Those that were made before and are started later.
    processes += list(getattr(multiprocessing.process, "_dangling", ()))
    for process in processes:
        config: dict[str, Any] | None = getattr(process, "_config", None)
        if config is None:
            continue
        if _ticket is not None:
            config[_KEY] = _ticket
        else:
            config.pop(_KEY, None)


def arrive(address: str, uncaught: bool) -> Ticket:
    """Join the parent that has sent this process a ticket, if it still takes records.

    Rather than one that it was forked by: a fork server that hosts, too. *uncaught*: what ends
    this process is to be logged, as in the parent.
    """
    if uncaught:
        log_uncaught(Ticket)
    if forwarder.current is None or forwarder.current.sender.address != address:
        join(address)
    return Ticket(address)


def join(address: str) -> bool:
    """Send this process's records to the one at *address*. Return whether it could be reached."""
    sender = Sender(address)
    try:
        sender.open(_WAIT)
    except (FileNotFoundError, ConnectionRefusedError):
        return False  # it has stopped
    except BlockingIOError:  # many have come before: later
        sender.try_open()
    is_set_up = logging.root.handlers not in ([], [forwarder.current])
    if not is_set_up:
        # Until the parent tells, it gets everything.
        (sender.levels or Levels(0, {logging.root.name: (logging.NOTSET, False)})).set_here()
    _forward(sender, sets_levels=not is_set_up)
    return True


def join_after_fork(address: str, version: int) -> None:
    """Send the records of this forked child to its parent, whose handlers it has inherited.

    It has the parent's levels, too, and those are of *version*.
    """
    global _hosted
    _hosted = None
    _forget_handlers()
    sender = Sender(address)
    sender.try_open()
    sender.version, sender.levels = version, Levels.here()
    _forward(sender)


def attach() -> bool:
    """Join the process whose address is in the environment."""
    address = os.environ.get(ENVIRONMENT) if _hosted is None else _address_before
    if not address:
        return False
    try:
        if forwarder.current is not None or join(address):
            return True
        reason: object = "it takes none any more"
    except (OSError, ValueError) as error:
        reason = error
    say(f"threadlog: the records of process {os.getpid()} do not reach its parent: {reason}")
    return False


def _forward(sender: Sender, *, sets_levels: bool = True) -> None:
    forwarder.use(Forwarder(sender, sets_levels=sets_levels))
    if _hosted is None:
        hand_out(sender.address)


def _forget_handlers() -> None:
    """Leave what the parent has set up to the parent; only levels stay.

    The handlers are kept, as they are: to destroy a file object takes its lock, which may have been
    another thread's when the process forked.
    """
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            _inherited.extend((logger.handlers, logger.filters))
            logger.handlers, logger.filters, logger.propagate = [], [], True
    with contextlib.suppress(AttributeError):
        _inherited.append([reference() for reference in logging._handlerList])  # type: ignore[attr-defined]
        logging._handlerList.clear()  # type: ignore[attr-defined]  # nothing of theirs is flushed
        logging._handlers.clear()  # type: ignore[attr-defined]
