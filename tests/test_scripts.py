"""threadlog.configure: one call for scripts."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import threadlog
from configs import set_up
from support import in_fork, in_thread
from threadlog import configure
from threadlog.config import dictConfig
from threadlog.handlers import (
    FileHandler,
    QueueHandler,
    RotatingFileHandler,
    TimedRotatingFileHandler,
)

__all__ = ["set_up"]  # a fixture


@pytest.fixture(autouse=True)
def closed(set_up):
    """Close what a test has left open."""
    yield
    from threadlog import scripts

    if scripts._current is not None:
        scripts._current.close()


def root():
    return logging.root.handlers, logging.root.level, threadlog.is_logging_with_thread_info()


def test_a_console_by_default(capsys):
    before = root()
    handle = configure()
    assert root() == (list(handle.handlers), logging.INFO, True)
    logging.info("hello")
    logging.debug("not this")
    handle.close()
    assert root() == before
    assert re.fullmatch(
        r"\[pid \d+ tid \d+ MainThread\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO root: hello\n",
        capsys.readouterr().err,
    )


def test_each_line_goes_to_file_and_console(tmp_path, capsys):
    with configure(tmp_path / "app.log", format="%(message)s", thread_info="%(threadName)s: "):
        in_thread(lambda: logging.info("hello"), name="worker")
    assert (tmp_path / "app.log").read_text() == capsys.readouterr().err == "worker: hello\n"


@pytest.mark.parametrize(
    ("rotate", "cls", "attributes"),
    [
        (None, FileHandler, {}),
        (1000, RotatingFileHandler, {"maxBytes": 1000, "backupCount": 5}),
        ("midnight", TimedRotatingFileHandler, {"when": "MIDNIGHT", "backupCount": 5}),
        ("W0", TimedRotatingFileHandler, {"when": "W0"}),
    ],
)
def test_rotate(tmp_path, rotate, cls, attributes):
    with configure(str(tmp_path / "app.log"), console=False, rotate=rotate) as handle:
        (handler,) = handle.handlers
        assert type(handler) is cls
        assert {name: getattr(handler, name) for name in attributes} == attributes
    with configure(tmp_path / "app.log", console=False, rotate=10, backup_count=2) as handle:
        assert handle.handlers[0].backupCount == 2


def test_a_queue_stands_before_console_and_file(tmp_path, capsys):
    with configure(tmp_path / "app.log", queue=True, thread_info=False, level=10) as handle:
        (handler,) = handle.handlers
        assert type(handler) is QueueHandler
        sinks = [type(sink) for sink in handler.listener.handlers]
        assert sinks == [logging.StreamHandler, FileHandler]
        logging.debug("hello")
    assert (tmp_path / "app.log").read_text() == capsys.readouterr().err
    assert "DEBUG root: hello" in (tmp_path / "app.log").read_text()


def test_again_with_the_same_arguments_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handle = configure("app.log", level="DEBUG")
    handlers = logging.root.handlers
    assert configure(tmp_path / "app.log", level=logging.DEBUG, console=True) is handle
    assert logging.root.handlers is handlers


def test_again_with_others_takes_the_place(tmp_path):
    before = root()
    first = configure(tmp_path / "one.log", console=False)
    second = configure(tmp_path / "two.log", console=False, thread_info=False, level="ERROR")
    assert root() == (list(second.handlers), logging.ERROR, False)
    logging.error("hello")
    first.close()
    assert logging.root.handlers == list(second.handlers)
    second.close()
    second.close()
    assert root() == before
    assert (tmp_path / "one.log").read_text() == ""
    assert "hello" in (tmp_path / "two.log").read_text()


def test_a_block_gives_back_what_it_has_replaced(tmp_path):
    outer = configure(tmp_path / "outer.log", console=False, format="%(message)s", thread_info="")
    with configure(tmp_path / "inner.log", console=False, level="DEBUG") as inner:
        logging.debug("inner")
        with configure(tmp_path / "third.log", console=False):
            logging.info("third")
        assert logging.root.handlers == list(inner.handlers)
        assert logging.root.level == logging.DEBUG
    logging.info("outer")
    assert logging.root.handlers == list(outer.handlers)
    assert root()[1:] == (logging.INFO, True)
    assert (tmp_path / "outer.log").read_text() == "outer\n"
    outer.close()
    with configure(console=True) as handle:
        configure(console=True, level="ERROR")
    assert logging.root.handlers != list(handle.handlers)


def test_a_block_does_not_give_back_what_was_closed_in_it(tmp_path):
    before = root()
    outer = configure(tmp_path / "outer.log", console=False)
    with configure(tmp_path / "inner.log", console=False):
        outer.close()
    assert root() == before


def test_a_sink_that_configures_while_another_thread_replaces_the_set_up(tmp_path):
    """It would wait for the lock, and the one that holds it for the sink."""
    handle = configure(tmp_path / "a.log", queue=True, console=False)
    inside, go_on = threading.Event(), threading.Event()

    class Configures(logging.Handler):
        def emit(self, record):
            inside.set()
            go_on.wait(10)
            configure(tmp_path / "c.log", console=False)
            done.append(record.getMessage())

        def flush(self):
            go_on.set()

    done = []
    listener = handle.handlers[0].listener
    listener.handlers = (*listener.handlers, Configures())
    logging.info("hello")
    inside.wait()
    thread = threading.Timer(0.2, go_on.set)  # when the other waits for what is queued
    thread.start()
    began = time.monotonic()
    configure(tmp_path / "b.log", console=False)
    assert time.monotonic() - began < 4
    thread.join()
    assert done == ["hello"]


def test_what_was_set_meanwhile_stays(tmp_path):
    before = list(logging.root.handlers)
    handle = configure(tmp_path / "app.log")
    mine = logging.NullHandler()
    logging.root.addHandler(mine)
    logging.root.setLevel("CRITICAL")
    handle = configure(tmp_path / "other.log")
    assert logging.root.handlers == [*handle.handlers, mine]
    logging.root.setLevel("CRITICAL")
    handle.close()
    assert logging.root.handlers == [*before, mine]
    assert logging.root.level == logging.CRITICAL


def test_a_dict_config_afterwards_stays():
    handle = configure()
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"n": {"class": "logging.NullHandler"}},
            "root": {"handlers": ["n"], "level": "ERROR"},
        }
    )
    now = list(logging.root.handlers)
    handle.close()
    assert logging.root.handlers == now
    assert logging.root.level == logging.ERROR
    assert not threadlog.is_logging_with_thread_info()


@pytest.mark.parametrize("name", ["one.log", "two.log"])
def test_again_after_something_else_has_set_up_the_root(tmp_path, name):
    configure(tmp_path / "one.log", console=False)
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    handle = configure(tmp_path / name, console=False)
    logging.info("hello")
    assert "hello" in (tmp_path / name).read_text()
    handle.close()
    assert [type(one) for one in logging.root.handlers] == [logging.NullHandler]


def test_a_handler_of_before_that_is_added_again_is_there_once():
    mine = logging.NullHandler()
    logging.root.handlers = [mine]
    handle = configure()
    logging.root.addHandler(mine)
    handle.close()
    assert logging.root.handlers == [mine]


def test_handlers_that_were_there_are_set_aside_and_not_closed(tmp_path):
    path = tmp_path / "before.log"
    mine = logging.FileHandler(path)
    logging.root.handlers = [mine]
    with configure(console=True):
        logging.warning("not there")
    logging.warning("there again")
    mine.close()
    logging.root.handlers = []
    assert path.read_text() == "there again\n"


def test_children_and_uncaught():
    hook = threading.excepthook
    with configure(children=True, uncaught=True):
        assert threading.excepthook is not hook
        assert "Forwarder" in in_fork(lambda: logging.root.handlers)[1]
    assert threading.excepthook is hook
    assert "Forwarder" not in in_fork(lambda: logging.root.handlers)[1]


def test_loggers_are_fast():
    standard = logging.Logger._log
    with configure():
        assert logging.Logger._log is not standard
        with configure(fast=False):
            assert logging.Logger._log is standard
        assert logging.Logger._log is not standard
    assert logging.Logger._log is standard


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fast": 1}, TypeError, "fast must be True or False, not 1"),
        ({"level": "INF"}, ValueError, "there is no level 'INF'; did you mean 'INFO'?"),
        ({"level": None}, ValueError, "there is no level None"),
        ({"console": "yes"}, TypeError, "console must be True or False, not 'yes'"),
        ({"queue": 1}, TypeError, "queue must be True or False, not 1"),
        ({"thread_info": 1}, TypeError, "thread_info must be True, False or a prefix, not 1"),
        ({"thread_info": "%(no)s"}, ValueError, "no record has a field 'no'"),
        ({"console": False}, ValueError, "there is nothing to log to"),
        ({"rotate": 10}, ValueError, "rotate=10 needs a filename"),
        ({"filename": "a", "rotate": "10MB"}, ValueError, "such as 10_000_000, or a time such as"),
        ({"filename": "a", "rotate": True}, ValueError, "rotate must be a number of bytes"),
        ({"filename": "a", "rotate": 0}, ValueError, "rotate must be a number of bytes"),
        ({"filename": "a", "rotate": 9, "backup_count": "x"}, ValueError, "must be a whole number"),
        ({"filename": "no/a"}, FileNotFoundError, "No such file"),
        ({"filename": 3}, TypeError, "filename must be a path, not 3"),
        ({"format": "{message}"}, ValueError, "Invalid format"),
        ({"format": "%(asctime) %(message)s"}, ValueError, "write for example '%(asctime)s %(le"),
        ({"format": 3}, TypeError, "format must be text, not 3"),
        ({"format": "%(mesage)s"}, ValueError, "no record has a field 'mesage'; did you mean 'me"),
        ({"format": "%(thread_info)s", "thread_info": False}, ValueError, "'thread_info'"),
        ({"filename": "a", "thread_info": "%(no)s"}, ValueError, "no record has a field 'no'"),
        ({"backup_count": -1}, ValueError, "backup_count must be a whole number, 0 or more"),
    ],
)
def test_wrong_arguments_change_nothing(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    before = root()
    listed = len(logging._handlerList)
    with pytest.raises(error, match=re.escape(message)):
        configure(**options)
    assert root() == before
    assert len(logging._handlerList) <= listed
    handle = configure()
    with pytest.raises(error):
        configure(**options)
    assert logging.root.handlers == list(handle.handlers)
    assert os.listdir(tmp_path) == []


def test_threads_that_configure_at_once(tmp_path):
    before = root()
    handles = []
    begin = threading.Barrier(4)

    def work(number):
        begin.wait()
        for turn in range(25):
            name = tmp_path / f"{(number + turn) % 2}.log"
            handles.append(configure(name, console=False))
            logging.info("%d-%d", number, turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for handle in handles:
        handle.close()
    assert root() == before
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert sorted(line.rpartition(" ")[2] for line in lines) == sorted(
        f"{number}-{turn}" for number in range(4) for turn in range(25)
    )


def test_a_signal_handler_may_configure(tmp_path):
    before = signal.signal(signal.SIGUSR1, lambda *_: configure(tmp_path / "a.log"))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(logging.root.handlers) == 2


def test_nobody_has_to_close_it(tmp_path):
    program = f"""
import logging, threadlog
threadlog.configure({str(tmp_path / "app.log")!r}, queue=True, console=False)
for number in range(1000):
    logging.info("%d", number)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert len((tmp_path / "app.log").read_text().splitlines()) == 1000
