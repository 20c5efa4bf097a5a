"""Who is running now: process, thread, asyncio task, work item and bound context.

Everything here is read in the thread that asks. Nothing here takes a lock on the way of a
log call, except once for each new thread, and that lock is re-entrant and never crosses a fork.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading

from threadlog.escape import escape_line

TYPE_CHECKING = False  # typing costs as much to import as half of logging
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


_modules = sys.modules
_MOST_RECENT = 256  # identities that are kept for each thread
_thread_name = threading.Thread.name
_current_thread = threading.current_thread


class Identity:
    """One answer to "who is running?", not changed once it is made, and shared between records.

    The attributes are named as they stand on a stamped record.
    """

    __slots__ = (
        "given_name",
        "host",
        "in_process",
        "is_sure",
        "log_context",
        "native_id",
        "places",
        "process",
        "processName",
        "runner",
        "taskName",
        "thread",
        "threadName",
        "thread_info",
        "thread_number",
        "work_item",
    )

    process: int
    processName: str
    thread: int
    threadName: str
    native_id: int
    thread_number: int
    taskName: str | None
    work_item: int | None
    log_context: Mapping[str, Any]
    thread_info: str
    places: dict[Any, Any]  # this thread's own, for `fast` to keep something in

    # What they were read from, to see whether they still hold.
    in_process: _Process
    runner: Any  # the thread
    is_sure: bool  # whether it is threading's object for as long as it runs
    host: Any  # multiprocessing's process
    given_name: str  # of the process, by multiprocessing; os.fork does not change it


class _Process:
    """What the threads of one process share: the count of the threads seen so far."""

    def __init__(self, pid: int, *, forked: bool, inherited: object = None) -> None:
        self.pid = pid
        self.forked = forked
        # multiprocessing's current process as it was at the fork: the parent's, not ours.
        self.inherited = inherited
        self.lock = threading.RLock()
        self.numbers = 0

    def next_number(self) -> int:
        # A signal handler may come in between: it runs in this same thread, so that both
        # would give one thread one number.
        with self.lock:
            self.numbers += 1
            return self.numbers


class _Here(threading.local):
    """A thread's own cache. It survives a fork, therefore it remembers its process."""

    process: _Process | None = None
    thread_number = 0
    identity: Identity | None = None
    recent: dict[tuple[str | None, int | None, _Bound], Identity] | None = None
    places: dict[Any, Any] | None = None


class _Bound:
    """The fields bound by the `logging_context` managers that are open, and their text."""

    __slots__ = ("fields", "text")

    def __init__(self, fields: dict[str, Any]) -> None:
        # Rendered once, here: what a field's object does later neither changes a record, nor
        # fails a log call, nor keeps a record from being pickled.
        self.fields = {key: _plain(value) for key, value in fields.items()}
        self.text = " ".join(f"{key}={_shown(value)}" for key, value in self.fields.items())


def _plain(value: object) -> object:
    if value is None or type(value) in (str, int, float, bool):
        return value
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__}>"


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text else repr(text)


_process = _Process(os.getpid(), forked=False)
_forks: list[None] = []  # those that are under way: whether we are the child is not known yet
_here = _Here()
_UNBOUND = _Bound({})
_bound: contextvars.ContextVar[_Bound] = contextvars.ContextVar(
    "threadlog.log_context", default=_UNBOUND
)
work_item: contextvars.ContextVar[int | None] = contextvars.ContextVar(
    "threadlog.work_item", default=None
)


def _after_fork_in_parent() -> None:
    with contextlib.suppress(IndexError):  # threadlog was imported by a hook before the fork
        _forks.pop()


def _after_fork() -> None:
    global _process, _forks
    _forks = []  # not clear(): a free-threaded build's fork may strand a list's own lock
    _process = _Process(os.getpid(), forked=True, inherited=_host())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _forks.append(None),
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork,
    )


@contextlib.contextmanager
def logging_context(**fields: Any) -> Iterator[None]:
    """Bind *fields* to every record that this thread or asyncio task logs in the block.

    Nested contexts add up; an inner field hides an outer one of the same name. The fields are
    kept in a `contextvars.ContextVar`: tasks and work items started in the block inherit them,
    other threads do not. Numbers, strings, booleans and None stay as they are, anything else is
    rendered by `str`, once, on entry; what cannot be rendered is shown as such. Works as a
    decorator of functions, too (`contextlib.contextmanager`).

    >>> with logging_context(request="abc"):
    ...     log.info("hello")          # ... pid 4242 tid 4250 MainThread request=abc
    """
    token = _bound.set(_Bound({**_bound.get().fields, **fields}))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a generator that is closed in another context
            _bound.reset(token)


def current() -> Identity:
    """Return who is running now. The same object again while nothing has changed.

    It is asked at each record. os.getpid() alone would cost as much as all of this, so that hooks
    tell of a fork.
    """
    known = _here.identity
    if (
        known is not None
        and known.in_process is _process
        and not _forks
        and threading.current_thread is _current_thread
        and (known.runner._name == known.threadName if known.is_sure else _is_still(known))
        and known.log_context is _bound.get().fields
        and known.work_item == work_item.get()
        and known.host is (_host() if "multiprocessing" in _modules else None)
        and (known.host is None or known.host.name == known.given_name)
        and known.taskName == (_task_name() if "asyncio" in _modules else None)
    ):
        return known
    return _recall() or _renew()


def _is_still(known: Identity) -> bool:
    thread = threading.current_thread()
    return (
        thread is known.runner
        and thread.name == known.threadName
        and threading.get_ident() == known.thread
    )


def _recall() -> Identity | None:
    """Return the identity of before, if this task, item and context have been here before."""
    recent = _here.recent
    who = None if recent is None else recent.get((_task_name(), work_item.get(), _bound.get()))
    if who is None or who is _here.identity:
        return None
    _here.identity = who
    return current()


def as_task(task_name: str) -> dict[str, Any]:
    """Return what a record of the asyncio task of that name has in addition to logging's fields."""
    who = current()
    text = describe(
        who.process, who.native_id, who.threadName, task_name, who.work_item, _bound.get().text
    )
    return {
        "native_id": who.native_id,
        "thread_number": who.thread_number,
        "taskName": task_name,
        "work_item": who.work_item,
        "log_context": who.log_context,
        "thread_info": text,
    }


def _renew() -> Identity:
    global _process
    pid = os.getpid()
    if _process.pid != pid:  # asked by a fork hook that runs before ours
        _process = _Process(pid, forked=True, inherited=_process.inherited)
    if _here.process is not _process:
        _here.thread_number = _process.next_number()
        _here.process = _process
    if _here.places is None:
        _here.places = {}
    thread, host, bound = threading.current_thread(), _host(), _bound.get()
    who = Identity()
    who.places = _here.places
    who.in_process = in_process = _process
    who.runner = thread
    who.host = host
    who.given_name = "MainProcess" if host is None else host.name
    who.process = pid
    who.processName = _process_name(host)
    who.thread = threading.get_ident()
    who.threadName = thread.name
    who.native_id = threading.get_native_id()
    who.thread_number = _here.thread_number
    who.taskName = _task_name()
    who.work_item = work_item.get()
    who.log_context = bound.fields
    who.thread_info = describe(
        pid, who.native_id, who.threadName, who.taskName, who.work_item, bound.text
    )
    if in_process is not _process:  # a signal handler has forked, and this is the child
        return _renew()
    # A thread is a dummy to what runs in it before it has told threading of itself.
    who.is_sure = getattr(type(thread), "name", None) is _thread_name and not isinstance(
        thread, threading._DummyThread
    )
    recent = _here.recent
    if recent is None or len(recent) >= _MOST_RECENT:
        recent = _here.recent = {}
    recent[who.taskName, who.work_item, bound] = _here.identity = who
    return who


def describe(
    process: object,
    native_id: object,
    thread_name: object,
    task_name: object,
    item: object,
    context: str = "",
) -> str:
    """Return the one-line text `thread_info`. An unknown process or thread is a question mark."""
    text = (
        f"pid {'?' if process is None else process}"
        f" tid {'?' if native_id is None else native_id}"
        f" {thread_name or '?'}"
    )
    if task_name is not None:
        text += f" task {task_name}"
    if item is not None:
        text += f" item {item}"
    if context:
        text += f" {context}"
    return escape_line(text)


def _host() -> Any:
    """Return multiprocessing's process, if it is imported."""
    try:
        host = _modules["multiprocessing"].current_process()
        host.name  # noqa: B018
    except Exception:  # not, or by half: an import hook may log, see bpo-8200
        return None
    return host


def _process_name(host: Any) -> str:
    """Return multiprocessing's name of this process, unless os.fork has made it the parent's."""
    forked = _process.forked
    name = "MainProcess"
    if host is not None:
        name = host.name
        if forked and host is not _process.inherited:
            with contextlib.suppress(Exception):  # half imported
                forked = _modules["multiprocessing"].parent_process() is None
    return f"{name}-fork-{_process.pid}" if forked else name


def _task_name() -> str | None:
    asyncio = _modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        if asyncio._get_running_loop() is None:  # current_task() would raise, which is slow
            return None
        task = asyncio.current_task()
        return None if task is None else task.get_name()
    except Exception:  # half imported, or a foreign loop's task without a name
        return None
