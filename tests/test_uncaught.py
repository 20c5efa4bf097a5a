"""What nobody catches: logged once, with who it was, and told to the hooks that were there."""

import asyncio
import gc
import logging
import multiprocessing.process
import subprocess
import sys
import threading

import pytest

import threadlog
from children import HEAD, METHODS
from support import in_fork
from threadlog import uncaught
from threadlog.uncaught import LOGGER, logging_uncaught


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    """The records of uncaught errors, while they are logged."""
    handler, logger = Keep(), logging.getLogger(LOGGER)
    handler.addFilter(threadlog.ThreadInfoFilter())
    logger.addHandler(handler)
    logger.propagate = False
    with logging_uncaught():
        yield handler.records
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
def told(monkeypatch):
    """What is told to the hooks that were there. Before `kept`."""
    calls = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: calls.append(args))
    monkeypatch.setattr(sys, "unraisablehook", lambda args: calls.append(args.exc_value))
    monkeypatch.setattr(threading, "excepthook", lambda args: calls.append(args.exc_value))
    return calls


def only(records):
    (record,) = records
    return record


def thread_of(function):
    thread = threading.Thread(target=function, name="worker")
    thread.start()
    thread.join()


def test_a_thread(told, kept):
    ident = []

    def work():
        ident.append(threading.get_native_id())
        with threadlog.logging_context(request="abc"):
            raise ZeroDivisionError

    thread_of(work)
    record = only(kept)
    assert record.getMessage() == "an uncaught exception ends thread worker"
    assert (record.levelno, record.name) == (logging.ERROR, "threadlog.uncaught")
    assert (record.native_id, record.threadName) == (ident[0], "worker")
    assert record.exc_info[0] is ZeroDivisionError
    assert told == [record.exc_info[1]]


class Leave(SystemExit):
    pass


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", [sys.exit, lambda: sys.exit(Leave()), interrupt])
def test_what_ends_a_thread_in_the_usual_way_is_no_error(told, kept, function):
    thread_of(function)
    assert kept == []
    assert len(told) == 1


def test_the_program(told, kept):
    error = ZeroDivisionError()
    sys.excepthook(type(error), error, None)
    record = only(kept)
    assert record.getMessage() == "an uncaught exception ends the program"
    assert record.levelno == logging.CRITICAL
    assert told == [(ZeroDivisionError, error, None)]
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(told) == 2
    assert len(kept) == 1


def test_a_finalizer(told, kept):
    class Broken:
        def __del__(self):
            raise ZeroDivisionError

        def __repr__(self):
            raise OSError

    Broken()
    record = only(kept)
    assert record.getMessage().startswith("Exception ignored")
    assert "Broken.__del__" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError
    assert told == [record.exc_info[1]]


def test_an_exception_that_one_hook_hands_to_another_is_logged_once(monkeypatch):
    records = []

    class Handler(Keep):
        def emit(self, record):
            records.append(record)

    def to_the_other(args):
        sys.excepthook(args.exc_type, args.exc_value, args.exc_traceback)

    told = []
    monkeypatch.setattr(threading, "excepthook", to_the_other)
    monkeypatch.setattr(sys, "excepthook", lambda *args: told.append(args[1]))
    logger, handler = logging.getLogger(LOGGER), Handler()
    logger.addHandler(handler)
    try:
        with logging_uncaught():
            thread_of(lambda: 1 / 0)
    finally:
        logger.removeHandler(handler)
    assert only(records).exc_info[1] is only(told)


# asyncio


async def fail():
    raise ZeroDivisionError


async def forget_a_task(before=lambda loop: None):
    before(asyncio.get_running_loop())
    with threadlog.logging_context(request="abc"):
        task = asyncio.create_task(fail(), name="fetch-7")
    await asyncio.wait([task])
    del task
    gc.collect()


def test_a_task(kept, caplog):
    asyncio.run(forget_a_task())
    record = only(kept)
    head, rest = record.getMessage().splitlines()
    assert head == "Task exception was never retrieved: task fetch-7"
    assert rest.startswith("future: <Task finished name='fetch-7' coro=<fail() done")
    assert record.exc_info[0] is ZeroDivisionError
    assert record.taskName == "fetch-7"
    assert " task fetch-7" in record.thread_info
    assert record.native_id == threading.get_native_id()
    if sys.version_info >= (3, 12):
        assert record.log_context == {"request": "abc"}
        assert record.thread_info.endswith(" request=abc")
    # asyncio's own line is this one.
    assert [other.name for other in caplog.records if other.name == "asyncio"] == []


def test_a_loop_s_own_handler_is_called_after_it(kept, caplog):
    contexts = []

    def handler(loop, context):
        contexts.append(context)
        loop.default_exception_handler(dict(context))

    asyncio.run(forget_a_task(lambda loop: loop.set_exception_handler(handler)))
    assert only(contexts)["exception"] is only(kept).exc_info[1]
    assert [other.name for other in caplog.records if other.name == "asyncio"] == []


def test_where_it_is_not_logged_asyncio_says_it(kept, caplog):
    logger = logging.getLogger(LOGGER)
    logger.setLevel(100)
    try:
        asyncio.run(forget_a_task())
    finally:
        logger.setLevel(logging.NOTSET)
    assert kept == []
    assert [record.name for record in caplog.records] == ["asyncio"]


def test_a_callback_of_the_loop(kept):
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(main())
    record = only(kept)
    assert "Exception in callback" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_a_task_that_is_destroyed_pending(kept):
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "Task was destroyed but it is pending!"})

    asyncio.run(main())
    assert only(kept).getMessage() == "Task was destroyed but it is pending!"
    assert only(kept).exc_info is None


# Processes

PROGRAM = (
    HEAD
    + """
from threadlog.uncaught import logging_uncaught

def die():
    sys.stderr = open(os.devnull, "w")
    raise OSError("dead")

def leave():
    sys.exit(3)

def main():
    keep()
    with logging_uncaught(), threadlog.logging_from_children():
        for work in (die, leave):
          try:
            raise ValueError("of the parent's, which the children have inherited")
          except ValueError:
            child = start(sys.argv[1], work, name="child")
            child.join()
            print(child.exitcode)
    for record in kept.records:
        print(record.processName, record.process != os.getpid(), record.getMessage())

if __name__ == "__main__":
    main()
"""
)


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_child(tmp_path, method):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, path, method], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "1",
        "3",
        "child True an uncaught exception ends process child",
    ]


def test_the_hooks_of_the_interpreter_print_as_ever(tmp_path):
    done = run(
        f"""
import threading, threadlog
threadlog.configure({str(tmp_path / "app.log")!r}, console=False, uncaught=True)
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
raise KeyError("at the end")
"""
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 2
    assert "Exception in thread worker" in done.stderr
    text = (tmp_path / "app.log").read_text()
    assert text.count("Traceback") == 2
    assert "worker] " in text
    assert "CRITICAL threadlog.uncaught: an uncaught exception ends the program" in text
    assert "KeyError: 'at the end'" in text


# Claims


def test_claims_nest_and_everything_is_put_back():
    loop = asyncio.BaseEventLoop
    hooks = [
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
        (loop, "call_exception_handler"),
        (loop, "default_exception_handler"),
        (multiprocessing.process.BaseProcess, "_bootstrap"),
    ]
    before = [getattr(owner, name) for owner, name in hooks]
    outer, inner = logging_uncaught(), logging_uncaught()
    outer.__enter__()
    inner.__enter__()
    during = [getattr(owner, name) for owner, name in hooks]
    outer.__exit__(None, None, None)
    assert [getattr(owner, name) for owner, name in hooks] == during
    inner.__exit__(None, None, None)
    assert [getattr(owner, name) for owner, name in hooks] == before
    assert not any(hook in before for hook in during)


def test_a_hook_that_was_set_meanwhile_stays(told):
    with logging_uncaught():
        ours = threading.excepthook
        mine = lambda args: ours(args)  # noqa: E731
        threading.excepthook = mine
    assert threading.excepthook is mine
    thread_of(lambda: 1 / 0)
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_a_handler_that_raises_keeps_no_hook_from_its_turn(told, kept, capsys, monkeypatch):
    class Broken(logging.Handler):
        def handle(self, record):
            raise RuntimeError("handler")

    handler = Broken()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        thread_of(lambda: 1 / 0)
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert "RuntimeError: handler" in capsys.readouterr().err


def test_a_forked_child_may_turn_it_on_though_a_thread_of_its_parent_was_at_it():
    def turn_on():
        with logging_uncaught():
            return "done"

    inside, leave = threading.Event(), threading.Event()

    def hold():
        with uncaught._lock:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    _, text = in_fork(turn_on)
    leave.set()
    thread.join()
    assert text == "done"


def test_a_task_that_is_told_of_in_its_own_context(kept):
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "m", "task": asyncio.current_task()})

    asyncio.run(main())
    assert only(kept).getMessage().startswith("m: task Task-")


def test_the_loop_s_handler_is_called_though_a_task_has_no_name(kept, caplog):
    class Nameless:
        def get_name(self):
            raise RuntimeError("no name")

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "m", "task": Nameless()})

    asyncio.run(main())
    assert kept == []
    assert [record.name for record in caplog.records] == ["asyncio"]
