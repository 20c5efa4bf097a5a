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
_thread_name = threading.Thread.name


class Identity:
    """One answer to "who is running?", immutable by convention and shared between records.

    The attributes are named as they stand on a stamped record.
    """

    __slots__ = (
        "added",
        "era",
        "host",
        "host_name",
        "log_context",
        "native_id",
        "process",
        "processName",
        "runner",
        "taskName",
        "template",
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
    added: dict[str, Any]  # those that logging puts on no record, as they stand there
    template: Any  # of records, for whoever makes them: see `fast`

    # What they were read from, to see whether they still hold.
    era: object  # the process between two forks
    runner: Any  # has the thread's name
    host: Any  # multiprocessing's process
    host_name: str | None


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


class _AnyThread:
    """Stands for a thread that must be asked for: its object may be another one soon."""

    @property
    def _name(self) -> str:
        return threading.current_thread().name


class _Here(threading.local):
    """A thread's own cache. It survives a fork, therefore it remembers its process."""

    process: _Process | None = None
    thread_number = 0
    identity: Identity | None = None


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
_era: object = object()  # of this process, as long as nobody forks; None during these
_here = _Here()
_any_thread = _AnyThread()
_UNBOUND = _Bound({})
_bound: contextvars.ContextVar[_Bound] = contextvars.ContextVar(
    "threadlog.log_context", default=_UNBOUND
)
work_item: contextvars.ContextVar[int | None] = contextvars.ContextVar(
    "threadlog.work_item", default=None
)


def _before_fork() -> None:
    global _era
    _forks.append(None)
    _era = None


def _after_fork_in_parent() -> None:
    global _era
    _forks.pop()
    if not _forks:
        _era = object()


def _after_fork() -> None:
    global _process, _era
    _forks.clear()
    _era = object()
    _process = _Process(os.getpid(), forked=True, inherited=_host())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
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

    It is asked at each record. os.getpid() alone would cost as much as all of this.
    """
    known = _here.identity
    if (
        known is not None
        and known.era is _era
        and known.runner._name == known.threadName
        and known.log_context is _bound.get().fields
        and known.work_item == work_item.get()
        and known.host is (_host() if "multiprocessing" in _modules else None)
        and (known.host is None or known.host.name == known.host_name)
        and known.taskName == (_task_name() if "asyncio" in _modules else None)
    ):
        return known
    return _renew()


def as_task(task_name: str) -> dict[str, Any]:
    """Return what a record of the asyncio task of that name has in addition to logging's fields."""
    who = current()
    text = describe(
        who.process, who.native_id, who.threadName, task_name, who.work_item, _bound.get().text
    )
    return {**who.added, "taskName": task_name, "thread_info": text}


def _renew() -> Identity:
    global _process
    era = _era or object()  # first: a signal handler may fork anywhere below
    pid = os.getpid()
    if _process.pid != pid:  # asked by a fork hook that runs before ours
        _process = _Process(pid, forked=True, inherited=_process.inherited)
    if _here.process is not _process:
        _here.thread_number = _process.next_number()
        _here.process = _process
    thread, host, bound = threading.current_thread(), _host(), _bound.get()
    who = Identity()
    who.era = era
    # A thread is a dummy to what runs in it before it has told threading of itself.
    is_sure = type(thread).name is _thread_name and not isinstance(thread, threading._DummyThread)
    who.runner = thread if is_sure else _any_thread
    who.host = host
    who.host_name = None if host is None else host.name
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
    who.added = {
        "native_id": who.native_id,
        "thread_number": who.thread_number,
        "taskName": who.taskName,
        "work_item": who.work_item,
        "log_context": who.log_context,
        "thread_info": who.thread_info,
    }
    who.template = None
    _here.identity = who
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
        return _modules["multiprocessing"].current_process()
    except Exception:  # not, or by half: an import hook may log, see bpo-8200
        return None


def _process_name(host: Any) -> str:
    """Return multiprocessing's name of this process, unless os.fork has made it the parent's."""
    forked = _process.forked
    name = "MainProcess"
    if host is not None:
        name = host.name
        if forked and host is not _process.inherited:
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
