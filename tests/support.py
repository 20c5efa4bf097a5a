"""What several test modules need to run code elsewhere and see what it says."""

import contextlib
import gc
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest


def in_thread(function, **options):
    """Return what *function* returns in a thread of its own."""
    answers = []
    options = {"daemon": True, **options}
    thread = threading.Thread(target=lambda: answers.append(function()), **options)
    thread.start()
    thread.join()
    return answers[0]


def in_fork(function):
    """Return the text that *function* returns in a child made by os.fork."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads, 3.12+
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader) as answer:
            text = answer.read()
    finally:  # one that hangs would keep our stdout open, for whoever reads it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return child, text


def run(code):
    """Run *code* in a new interpreter where every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=15
    )


@contextlib.contextmanager
def running(command, **options):
    """Run *command* for the block, in a session of its own: whatever is left of it then is killed.

    Popen as a context manager would wait for it, for ever where a test has failed.
    """
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def open_terminal():
    """Return both ends of a pseudo-terminal. Skips the test where the machine has none."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal here: {error}")


@contextlib.contextmanager
def logging_lock():
    """Hold logging's own lock, as dictConfig does.

    Without garbage collection: a handler that is garbage takes that lock in whatever thread the
    collector runs, in one that is about to start for example.
    """
    gc.collect()
    gc.disable()
    try:
        with logging._lock:
            yield
    finally:
        gc.enable()


def threads():
    """Return the threads that the package has started, and that run."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("threadlog")]


def eventually(condition, seconds=15):
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.001)


def record(text):
    return logging.makeLogRecord({"msg": text})


def log(handler, *texts):
    for text in texts:
        handler.handle(record(text))


def files(path):
    """Return what is in the file and its backups, by ending: "" is the file itself."""
    found = path.parent.glob(path.name + "*")
    return {file.name.removeprefix(path.name): file.read_text("utf-8") for file in found}
