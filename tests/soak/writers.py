"""The processes that write: what they are told, where they note what was accepted, what they do.

Run as a program, `python -m tests.soak.writers TASK WRITER`, it opens the log by itself.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import mmap
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

from threadlog import handlers

from .judge import FORMAT, LOGGER, message

PATIENCE = 20.0  # seconds: what takes longer hangs
HANGS = "hangs for 20 s"


@dataclass(frozen=True)
class Task:
    """What a writer needs to know, as plain data: it may be another program."""

    folder: str  # of the log, and of what is said on stderr
    board: str
    kind: str = "FileHandler"
    options: dict = field(default_factory=dict)
    sizes: tuple[int, ...] = (100,)
    threads: int = 1
    writers: int = 64  # how many there may be
    waits: bool = False  # for a last word, once there is room again
    seed: int = 0
    forks: int = 0  # at most

    @property
    def log(self) -> Path:
        return Path(self.folder, "app.log")

    @property
    def stderr(self) -> Path:
        return Path(self.folder, "stderr")

    def open_board(self) -> Board:
        return Board(self.board, self.writers, self.threads + 1)  # one for the main thread

    def handler(self) -> logging.Handler:
        handler = getattr(handlers, self.kind)(self.log, **self.options)
        handler.setFormatter(logging.Formatter(FORMAT))
        return handler


class Board:
    """Where all processes see what each has done: a mapped file, which a SIGKILL does not touch.

    A cell is 8 bytes, written in one piece: the stop sign, the sign for the last word, the number
    of forks, and then for each thread the last accepted number and its longest call in ns.
    """

    _STOP, _SPEAK, _FORKS, _FIRST = range(4)

    def __init__(self, path: str, writers: int, threads: int) -> None:
        self._threads = threads
        self.writers = writers
        self._parent = os.getppid()
        size = 8 * (self._FIRST + 2 * writers * threads)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._cells = memoryview(mmap.mmap(descriptor, size)).cast("q")
        finally:
            os.close(descriptor)

    def _cell(self, writer: int, thread: int) -> int:
        return self._FIRST + 2 * (writer * self._threads + thread)

    def accept(self, writer: int, thread: int, number: int, nanoseconds: int) -> None:
        cell = self._cell(writer, thread)
        self._cells[cell] = number
        if nanoseconds > self._cells[cell + 1]:
            self._cells[cell + 1] = nanoseconds

    def accepted(self, writer: int, thread: int = 0) -> int:
        return self._cells[self._cell(writer, thread)]

    def all_accepted(self) -> dict[tuple[int, int], int]:
        found = {
            (writer, thread): self.accepted(writer, thread)
            for writer in range(self.writers)
            for thread in range(self._threads)
        }
        return {source: number for source, number in found.items() if number}

    def began(self, writer: int) -> bool:
        return any(self.accepted(writer, thread) for thread in range(self._threads))

    def longest(self, writer: int) -> int:
        cells = (self._cell(writer, thread) for thread in range(self._threads))
        return max(self._cells[cell + 1] for cell in cells)

    @property
    def stopped(self) -> bool:
        """Whether writers are told to stop, or left alone because the storm was broken off."""
        return self._cells[self._STOP] != 0 or os.getppid() != self._parent

    def stop(self) -> None:
        self._cells[self._STOP] = 1

    @property
    def may_speak(self) -> bool:
        return self._cells[self._SPEAK] != 0

    def speak(self) -> None:
        self._cells[self._SPEAK] = 1

    @property
    def forks(self) -> int:
        return self._cells[self._FORKS]

    def count_fork(self) -> None:
        self._cells[self._FORKS] += 1


class Process:
    """A child that can be killed, and that does not hang unnoticed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)

    def fault(self, until: float) -> str | None:
        """Wait, and return how it ended if not well."""
        while not self.ended():
            if time.monotonic() > until:
                self.kill()
                return HANGS
            time.sleep(0.001)
        return f"exit status {self.status}" if self.status else None


def fork(function, *arguments) -> Process:
    """Run *function* in a forked child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which is the matter here
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return Process(pid)


def start_program(task: Task, writer: int) -> Process:
    """Start a program that opens the log by itself."""
    arguments = [sys.executable, "-m", __name__, json.dumps(asdict(task)), str(writer)]
    return Process(os.posix_spawn(sys.executable, arguments, os.environ))


class Thread:
    """One numbered source of records."""

    def __init__(self, task: Task, board: Board, writer: int, thread: int) -> None:
        self._task = task
        self._board = board
        self._source = (writer, thread)
        self._log = logging.getLogger(LOGGER)
        self._number = board.accepted(writer, thread)
        self._busy = False

    def log(self) -> None:
        """Log the next record, unless this has interrupted itself: there is only one number."""
        if self._busy:
            return
        self._busy = True
        self._number += 1
        text = message(self._source, self._number, self._task.sizes)
        begun = time.perf_counter_ns()
        self._log.info(text)
        self._board.accept(*self._source, self._number, time.perf_counter_ns() - begun)
        self._busy = False

    def pour(self) -> None:
        while not self._board.stopped:
            self.log()


def attach(task: Task, handler: logging.Handler | None = None) -> None:
    """Send what this process logs to the handler, and what it complains of to a file."""
    complaints = os.open(task.stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(complaints, 2)
    os.close(complaints)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler or task.handler())


@contextlib.contextmanager
def pouring(task: Task, board: Board, writer: int):
    """Have all threads log flat out, until the board says stop."""
    threads = [
        threading.Thread(target=Thread(task, board, writer, thread).pour, daemon=True)
        for thread in range(task.threads)
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def write(task: Task, writer: int, handler: logging.Handler | None = None) -> None:
    """Write until told to stop."""
    board = task.open_board()
    attach(task, handler)
    with pouring(task, board, writer):
        pass
    if task.waits:
        _last_word(task, board, writer)


def _last_word(task: Task, board: Board, writer: int) -> None:
    until = time.monotonic() + PATIENCE
    while not board.may_speak and time.monotonic() < until:
        time.sleep(0.001)
    Thread(task, board, writer, task.threads).log()


def write_without_room(task: Task, writer: int) -> None:
    """Write where every record is lost as soon as the disk is full. That is told in the log."""
    logging.raiseExceptions = False  # the first one's traceback is not the matter here
    write(task, writer)


def write_within_limits(task: Task, writer: int) -> None:
    """Write while the limit of the file's size is lowered and raised: a quota, as it were."""
    logging.raiseExceptions = False
    board = task.open_board()
    attach(task)
    dice = random.Random(f"{task.seed}.{writer}")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pouring(task, board, writer):
        while not board.stopped:
            limit = task.log.stat().st_size + dice.randrange(3 * max(task.sizes))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            _wait_for_records(task, board, writer)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            _wait_for_records(task, board, writer)
    Thread(task, board, writer, task.threads).log()


def _wait_for_records(task: Task, board: Board, writer: int, more: int = 5) -> None:
    enough = [board.accepted(writer, thread) + more for thread in range(task.threads)]
    while not board.stopped and any(
        board.accepted(writer, thread) < number for thread, number in enumerate(enough)
    ):
        time.sleep(0.0005)


# Forks.


_AT_ONCE = 5  # records of each child


def fork_while_writing(task: Task, writer: int) -> None:
    """Fork children that log at once, while threads log flat out. Each child is a writer, too."""
    board = task.open_board()
    attach(task)
    forking = multiprocessing.get_context("fork")
    with pouring(task, board, writer):
        try:
            for child in range(writer + 1, writer + 1 + task.forks):
                if board.stopped:
                    break
                _wait_for_records(task, board, writer, more=1)
                arguments = (task, board, child)
                if child % 2:
                    fault = fork(_log_at_once, *arguments).fault(time.monotonic() + PATIENCE)
                else:
                    fault = _fault_of(forking.Process(target=_log_at_once, args=arguments))
                if fault:
                    sys.stderr.write(f"child {child}: {fault}\n")
                board.count_fork()
        finally:
            board.stop()


def _log_at_once(task: Task, board: Board, writer: int) -> None:
    thread = Thread(task, board, writer, 0)
    for _ in range(_AT_ONCE):
        thread.log()


def _fault_of(process) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        return HANGS
    return f"exit status {process.exitcode}" if process.exitcode else None


# Signals and finalizers.

BY_SIGNAL, BY_FINALIZER = 1, 2  # besides what the main thread logs, 0, and other threads
_INTERVAL = 0.0005  # seconds
GARBAGE = 50  # objects that are collected at once


class _Doomed:
    """Garbage that logs when it is collected, in whatever thread that happens."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread
        self._itself = self

    def __del__(self) -> None:
        self._thread.log()


def write_interrupted(task: Task, writer: int) -> None:
    """Write while a signal handler and finalizers log into the same handler."""
    board = task.open_board()
    attach(task)
    sources = [Thread(task, board, writer, thread) for thread in range(task.threads)]
    others = [
        threading.Thread(target=source.pour, daemon=True) for source in sources[BY_FINALIZER + 1 :]
    ]
    for thread in others:
        thread.start()
    signal.signal(signal.SIGALRM, lambda *_: sources[BY_SIGNAL].log())
    signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)
    gc.set_threshold(GARBAGE)
    while not board.stopped:
        _Doomed(sources[BY_FINALIZER])
        sources[0].log()
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.set_threshold(700)
    for thread in others:
        thread.join()


if __name__ == "__main__":
    _given = json.loads(sys.argv[1])
    write(Task(**{**_given, "sizes": tuple(_given["sizes"])}), int(sys.argv[2]))
