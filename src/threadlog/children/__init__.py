"""Logging from children: what a child process logs is handled in its parent."""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_started = object()  # the claim of start_… and stop_…


def start_logging_from_children() -> None:
    """Handle here what the children of this process log, until `stop_logging_from_children`.

    Children: all processes that are started from now on, by `os.fork`, by multiprocessing with any
    start method, by process pools, and their children in turn; one that `subprocess` starts joins
    by `attach`. Each record is handled by the logger of the same name, as if it had been logged
    here, with the identity of the child. Levels, handlers and filters are this process's, whether
    they have been set up before or are later. A child that sets up handlers of its own is left to
    them: what they get is not sent.

    When a child's logging call returns, the kernel has the record, and the child may be killed. It
    waits for this process at most 10 seconds in all, and then not again until this process reads.
    Records that could not be delivered are counted; the child's next one tells of them, or a line
    on its stderr at its end.

    Idempotent: after two starts one stop is enough. Starts a thread, which does not keep the
    process from ending. At the end of the process everything that has come is handled. Raises
    OSError if there can be no socket, NotImplementedError on a platform that has none of the kind,
    RuntimeError where no thread may start. Thread-safe, fork-safe: a forked child is a child.
    """
    from threadlog.children.hosting import host

    host.claim(_started)


def stop_logging_from_children() -> None:
    """Take back `start_logging_from_children`. Without one it does nothing.

    Waits at most 2 seconds until what children have logged so far is handled. Those that go on
    are not disturbed. What they log then is treated as by a process where logging is not set up;
    if this process starts again, it comes here again. Thread-safe, fork-safe.
    """
    from threadlog.children.hosting import host

    host.release(_started)


@contextlib.contextmanager
def logging_from_children() -> Iterator[None]:
    """Handle here what children log as long as the block lasts; blocks nest in any order.

    Holds its own claim: neither `stop_logging_from_children` nor another block ends it. At the
    end of the last one what children have logged so far has been handled.
    """
    from threadlog.children.hosting import host

    claim = object()
    host.claim(claim)
    try:
        yield
    finally:
        host.release(claim)


def settle(wait: float) -> bool:
    """Return whether all is handled that children have logged by now, after *wait* seconds at most.

    Without a claim there is nothing to wait for.
    """
    from threadlog.children.hosting import host

    return host.settle(wait)


def attach() -> bool:
    """Send this process's records to the parent that has started logging from its children.

    For a Python program that was started by `subprocess` or another program; other children do
    so by themselves. Returns whether this process is attached, by this call or already. Without a
    parent's address in the environment variable `THREADLOG_PARENT` it does nothing; if the
    parent does not answer, a line on stderr says so. Waits at most a second for the parent.
    """
    from threadlog.children.joining import attach

    return attach()
