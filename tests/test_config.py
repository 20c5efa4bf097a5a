"""threadlog.config.dictConfig: logging's schema, on every Python."""

import copy
import gc
import json
import logging
import logging.config
import logging.handlers
import multiprocessing.util  # noqa: F401  our listeners stop before its queues close
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import threadlog
import threadlog.config
from configs import set_up, state
from support import in_fork, in_thread
from threadlog.config import ConfigError, dictConfig

__all__ = ["set_up"]  # a fixture


class Keep(logging.Handler):
    """A handler as a program may have one."""

    def __init__(self, name="kept", lines=None):
        super().__init__()
        self.given = name
        self.lines = [] if lines is None else lines
        self.closed = 0

    def emit(self, record):
        self.lines.append(self.format(record))

    def close(self):
        self.closed += 1
        super().close()


def keep():
    return Keep()


class Only(logging.Filter):
    def __init__(self, word="", *, other=None):
        super().__init__()
        self.word = word

    def filter(self, record):
        return self.word in record.getMessage()


def quiet(record):
    return record.levelno >= logging.ERROR


class Brackets(logging.Formatter):
    def __init__(self, fmt=None, datefmt=None, style="%", *, brackets="[]"):
        super().__init__(fmt, datefmt, style)
        self.brackets = brackets

    def format(self, record):
        return self.brackets[0] + super().format(record) + self.brackets[1]


HERE = __name__
shared = Keep("shared")
words = ["zero", "one"]
the_queue = queue.Queue()


def config(**sections):
    return {"version": 1, "disable_existing_loggers": False, **sections}


def handler(name):
    return logging._handlers[name]


def log(text="hello", name="app", level=logging.INFO):
    logging.getLogger(name).log(level, text)


# Formatters, filters, handlers


@pytest.mark.parametrize("key", ["class", "()"])
def test_parts_by_class_and_by_factory(set_up, key):
    dictConfig(
        config(
            formatters={
                "own": {key: f"{HERE}.Brackets", "format": "%(message)s", "brackets": "<>"},
            },
            filters={"only": {key: f"{HERE}.Only", "word": "yes"}},
            handlers={
                "kept": {key: f"{HERE}.Keep", "formatter": "own", "filters": ["only"], "level": 20}
            },
            root={"level": "DEBUG", "handlers": ["kept"]},
        )
    )
    log("yes")
    log("no")
    log("yes, but", level=logging.DEBUG)
    assert handler("kept").lines == ["<yes>"]


def test_formatter_options(set_up):
    dictConfig(
        config(
            formatters={
                "percent": {"format": "%(who)s %(message)s", "defaults": {"who": "nobody"}},
                "brace": {"format": "{levelname} {message}", "style": "{"},
                "dollar": {"format": "${message}!", "style": "$", "validate": False},
                "date": {"format": "%(asctime)s", "datefmt": "a date"},
                "plain": {},
                "fmt": {"()": "logging.Formatter", "fmt": "%(name)s"},
                "format": {"()": "logging.Formatter", "format": "%(name)s"},
            },
            handlers={
                name: {"class": f"{HERE}.Keep", "formatter": name}
                for name in ("percent", "brace", "dollar", "date", "plain", "fmt", "format")
            },
            loggers={
                "app": {
                    "handlers": ["percent", "brace", "dollar", "date", "plain", "fmt", "format"],
                    "propagate": False,
                    "level": "INFO",
                }
            },
        )
    )
    log()
    names = ("percent", "brace", "dollar", "date", "plain", "fmt", "format")
    assert [handler(name).lines for name in names] == [
        ["nobody hello"],
        ["INFO hello"],
        ["hello!"],
        ["a date"],
        ["hello"],
        ["app"],
        ["app"],
    ]


def test_filters_by_name_by_object_and_by_function(set_up):
    dictConfig(
        config(
            filters={"app": {"name": "app"}, "who": {"class": "threadlog.ThreadInfoFilter"}},
            handlers={
                "kept": {"()": Keep, "filters": ["app", quiet, Only("x"), f"ext://{HERE}.quiet"]},
                "who": {"()": keep, "filters": ["cfg://filters.who"]},
            },
            root={"handlers": ["kept", "who"], "level": "INFO"},
        )
    )
    log("x", level=logging.ERROR)
    log("y", level=logging.ERROR)
    log("x", name="other", level=logging.ERROR)
    log("x")
    assert handler("kept").lines == ["x"]
    assert len(handler("who").lines) == 4


def test_ext_cfg_and_attributes(set_up):
    dictConfig(
        config(
            custom={"lines": ["zero", ["one", "two"]], "name": "cfg://custom.lines[1][0]"},
            handlers={
                "kept": {
                    "class": f"{HERE}.Keep",
                    "name": "cfg://custom.name",
                    "lines": f"ext://{HERE}.words",
                    ".": {"terminator": "cfg://custom.lines[0]", "level": 30},
                }
            },
            root={"handlers": ["cfg://handlers.kept"], "level": "INFO"},
        )
    )
    kept = handler("kept")
    assert kept.given == "one"
    assert kept.lines == words
    assert kept.terminator == "zero"
    assert kept.level == 30
    assert logging.root.handlers == [kept]


def test_sections_and_entries_may_stand_elsewhere(set_up):
    dictConfig(
        config(
            parts={"hand": {"kept": {"class": f"{HERE}.Keep"}}, "root": {"level": "ERROR"}},
            handlers="cfg://parts.hand",
            loggers={"app": {"handlers": ["kept"]}},
            root="cfg://parts.root",
        )
    )
    assert logging.getLogger("app").handlers == [handler("kept")]
    assert logging.root.level == logging.ERROR


def test_the_handlers_of_this_package(set_up, tmp_path):
    common = {"formatter": "who", "permissions": "0640"}
    dictConfig(
        config(
            formatters={
                "who": {
                    "class": "threadlog.ThreadInfoFormatter",
                    "format": "%(message)s",
                    "prefix": "%(threadName)s: ",
                    "escape": True,
                }
            },
            handlers={
                "file": {
                    **common,
                    "class": "threadlog.handlers.FileHandler",
                    "filename": str(tmp_path / "a.log"),
                },
                "size": {
                    **common,
                    "class": "threadlog.handlers.RotatingFileHandler",
                    "filename": tmp_path / "b.log",
                    "maxBytes": 100,
                    "backupCount": 2,
                    "compress": "gzip",
                },
                "time": {
                    **common,
                    "class": "threadlog.handlers.TimedRotatingFileHandler",
                    "filename": str(tmp_path / "c.log"),
                    "when": "midnight",
                },
                "a_queue": {
                    "class": "threadlog.handlers.QueueHandler",
                    "capacity": 10,
                    "handlers": ["file", "size", "time"],
                    "overflow": "drop_old",
                },
            },
            root={"handlers": ["a_queue"], "level": "INFO"},
        )
    )
    log("one\ntwo")
    handler("a_queue").flush()
    for name in "abc":
        assert (tmp_path / f"{name}.log").read_text() == "MainThread: one\\ntwo\n"
        assert (tmp_path / f"{name}.log").stat().st_mode & 0o777 == 0o640


# Queue handlers


def lines_of_queue(entry, **more):
    before = set(threading.enumerate())
    dictConfig(
        config(
            handlers={"a": entry, "z": {"class": f"{HERE}.Keep"}, **more},
            root={"handlers": ["a"], "level": "INFO"},
        )
    )
    log("one")
    log("two")
    made = handler("a")
    listener = made.listener
    dictConfig(config(root={"handlers": []}))  # which stops the listener
    later = set(threading.enumerate()) - before
    assert [thread.name for thread in later if thread.name != "threadlog-watch"] == []
    return made, listener


@pytest.mark.parametrize(
    "cls", ["threadlog.handlers.QueueHandler", "logging.handlers.QueueHandler"]
)
def test_a_queue_handler_names_its_handlers_in_any_order(set_up, cls):
    sink = Keep()
    _, listener = lines_of_queue(
        {"class": cls, "handlers": ["z", f"ext://{HERE}.shared", {"()": lambda: sink}, sink_two]},
    )
    assert isinstance(listener, threadlog.handlers.QueueListener)
    assert [type(one) for one in listener.handlers] == [Keep] * 4
    for one in listener.handlers:
        assert one.lines[-2:] == ["one", "two"]


sink_two = Keep()


def test_a_sink_in_place_has_level_formatter_and_filters(set_up):
    entry = {
        "class": f"{HERE}.Keep",
        "level": "ERROR",
        "formatter": "brief",
        "filters": [Only("yes")],
    }
    dictConfig(
        config(
            formatters={"brief": {"format": "%(levelname)s %(message)s"}},
            handlers={"q": {"class": "threadlog.handlers.QueueHandler", "handlers": [entry]}},
            root={"handlers": ["q"], "level": "INFO"},
        )
    )
    log("yes", level=logging.ERROR)
    log("no", level=logging.ERROR)
    log("yes")
    handler("q").flush()
    (sink,) = handler("q").listener.handlers
    assert sink.lines == ["ERROR yes"]


class Listener(logging.handlers.QueueListener):
    pass


def make_listener(factory):
    return factory


@pytest.mark.parametrize(
    "spec",
    [
        "queue.Queue",
        {"()": "queue.Queue", "maxsize": 10},
        queue.Queue(5),
        f"ext://{HERE}.the_queue",
        None,
    ],
)
@pytest.mark.parametrize(
    "listener",
    ["logging.handlers.QueueListener", Listener, {"()": make_listener, "factory": Listener}, None],
)
@pytest.mark.parametrize("cls", ["logging", "threadlog"])
def test_a_queue_with_a_listener_beside_it(set_up, spec, listener, cls):
    entry = {
        "class": f"{cls}.handlers.QueueHandler",
        "handlers": ["z"],
        "respect_handler_level": True,
    }
    if spec is not None:
        entry["queue"] = spec
    if listener is not None:
        entry["listener"] = listener
    if cls == "threadlog" and spec is None and listener is None:
        del entry["respect_handler_level"]  # True is the default of its own
    _, running = lines_of_queue(entry)
    wanted = {
        None: threadlog.handlers.QueueListener,
        "logging.handlers.QueueListener": logging.handlers.QueueListener,
    }
    is_named = isinstance(listener, (str, type(None)))
    assert type(running) is (wanted[listener] if is_named else Listener)
    assert running.respect_handler_level
    assert running.handlers[0].lines == ["one", "two"]


def test_a_listener_is_stopped_by_the_next_config_even_before_its_thread_runs(set_up, monkeypatch):
    begins, work = threading.Event(), threadlog.handlers.QueueListener.work

    def later(self, shift):
        begins.wait(10)
        work(self, shift)

    monkeypatch.setattr(threadlog.handlers.QueueListener, "work", later)
    opening = threading.Timer(0.2, begins.set)
    opening.start()
    _, listener = lines_of_queue(
        {"class": "logging.handlers.QueueHandler", "queue": queue.Queue(), "handlers": ["z"]}
    )
    opening.join()
    assert listener.handlers[0].lines == ["one", "two"]


def test_what_is_left_of_a_listener_takes_nothing_from_a_queue_that_is_used_again(set_up):
    again = queue.Queue()
    entry = {"class": "logging.handlers.QueueHandler", "queue": again, "handlers": ["z"]}
    for kind in ("logging.handlers.QueueListener", "threadlog.handlers.QueueListener"):
        lines_of_queue({**entry, "listener": kind})  # garbage from now on
    handler = threadlog.handlers.QueueHandler(again)
    handler.handle(logging.makeLogRecord({"msg": "three"}))
    gc.collect()
    assert [waiting.getMessage() for waiting in again.queue] == ["three"]


def lock_is_free():
    is_free = logging._lock.acquire(timeout=1)
    if is_free:
        logging._lock.release()
    return is_free


def test_a_logger_that_a_signal_handler_gets_meanwhile(set_up):
    """logging raises RuntimeError then, in the middle of a config."""

    class Cache(dict):
        def clear(self):
            super().clear()
            logger._cache = {}
            logging.getLogger(f"handler's {len(logging.root.manager.loggerDict)}")

    logger = logging.getLogger("interrupted")
    logger._cache = Cache()
    dictConfig(config(root={"level": "ERROR", "handlers": []}))
    assert logging.root.level == logging.ERROR
    assert logger._cache == {}
    logger._cache = Cache()
    dictConfig(config(root={"handlers": []}))
    assert logger._cache == {}
    assert in_thread(lock_is_free)


def test_a_setLevel_of_the_programs_own_is_called(set_up, mocker):
    set_level = mocker.spy(logging.Logger, "setLevel")
    dictConfig(config(root={"level": "ERROR", "handlers": []}))
    set_level.assert_called_once_with(logging.root, logging.ERROR)
    assert logging.root.level == logging.ERROR


def test_a_program_that_starts_the_listener_itself_does_no_harm(set_up):
    entry = {
        "class": "logging.handlers.QueueHandler",
        "handlers": ["z"],
        "listener": "logging.handlers.QueueListener",
    }
    dictConfig(
        config(
            handlers={"a": entry, "z": {"class": f"{HERE}.Keep"}},
            root={"handlers": ["a"], "level": "INFO"},
        )
    )
    listener = handler("a").listener
    thread = listener._thread
    listener.start()
    assert listener._thread is thread
    log("one")
    listener.stop()
    assert handler("z").lines == ["one"]
    listener.start()
    log("two")
    dictConfig(config(root={"handlers": []}))
    assert listener.handlers[0].lines == ["one", "two"]


def test_a_queue_without_handlers_has_no_listener(set_up):
    """It is read elsewhere: a listener without handlers would eat the records."""
    entry = {"class": "logging.handlers.QueueHandler", "queue": the_queue}
    dictConfig(config(handlers={"a": entry}, root={"handlers": ["a"], "level": "INFO"}))
    assert getattr(handler("a"), "listener", None) is None
    log("one")
    assert the_queue.get(timeout=10).getMessage() == "one"


END = """
import logging, sys
from threadlog.config import dictConfig
dictConfig({"version": 1, "handlers": {
    "a": {"class": "CLASS", "handlers": ["b"], LISTENER},
    "b": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
}, "root": {"handlers": ["a"], "level": "INFO"}})
for number in range(1000):
    logging.info("%d", number)
"""


@pytest.mark.parametrize("cls", ["logging", "threadlog"])
@pytest.mark.parametrize(
    "listener",
    [
        "",
        "'listener': 'logging.handlers.QueueListener'",
        "'queue': 'multiprocessing.Queue'",
        "'queue': 'multiprocessing.Queue', 'listener': 'logging.handlers.QueueListener'",
    ],
)
def test_at_the_end_of_the_process_everything_queued_is_written(cls, listener):
    program = END.replace("CLASS", f"{cls}.handlers.QueueHandler").replace("LISTENER", listener)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == list(map(str, range(1000)))


# Arguments as logging reads them


def test_memory_target_and_flush_level(set_up):
    dictConfig(
        config(
            handlers={
                "a": {
                    "class": "logging.handlers.MemoryHandler",
                    "capacity": 10,
                    "target": "z",
                    "flushLevel": "ERROR",
                },
                "z": {"class": f"{HERE}.Keep"},
            },
            root={"handlers": ["a"], "level": "INFO"},
        )
    )
    log("one")
    assert handler("z").lines == []
    log("two", level=logging.ERROR)
    assert handler("z").lines == ["one", "two"]


def test_lists_that_must_be_tuples(set_up):
    dictConfig(
        config(
            handlers={
                "mail": {
                    "class": "logging.handlers.SMTPHandler",
                    "mailhost": ["localhost", 25],
                    "fromaddr": "a@b",
                    "toaddrs": ["c@d"],
                    "subject": "s",
                },
                "syslog": {
                    "class": "logging.handlers.SysLogHandler",
                    "address": ["localhost", 514],
                    "facility": "ext://logging.handlers.SysLogHandler.LOG_USER",
                },
            },
        )
    )
    assert handler("mail").mailhost == "localhost"
    assert handler("mail").mailport == 25
    assert handler("syslog").address == ("localhost", 514)


# Loggers


def test_loggers_levels_propagation_and_the_root_by_three_names(set_up):
    entry = {"level": "ERROR", "handlers": ["kept"]}
    for where in ({"root": entry}, {"loggers": {"": entry}}, {"loggers": {"root": entry}}):
        dictConfig(config(handlers={"kept": {"class": f"{HERE}.Keep"}}, **where))
        assert logging.root.level == logging.ERROR
        assert logging.root.handlers == [handler("kept")]
    for value in (False, 0):
        dictConfig(config(loggers={"app": {"level": 15, "propagate": value}}))
        assert logging.getLogger("app").level == 15
        assert not logging.getLogger("app").propagate
    dictConfig(config(loggers={"app": {"propagate": "true"}}))
    assert logging.getLogger("app").propagate


@pytest.mark.parametrize("disable", [True, False])
def test_existing_loggers(set_up, disable):
    other, child, named = map(logging.getLogger, ("tc.other", "tc.app.child", "tc.app"))
    child.setLevel(logging.ERROR)
    child.addHandler(Keep())
    child.propagate = False
    dictConfig({"version": 1, "disable_existing_loggers": disable, "loggers": {"tc.app": {}}})
    assert (other.disabled, child.disabled, named.disabled) == (disable, False, False)
    assert (child.level, child.handlers, child.propagate) == (logging.NOTSET, [], True)


def test_incremental_changes_levels_only(set_up):
    dictConfig(
        config(
            handlers={"kept": {"class": f"{HERE}.Keep"}},
            loggers={"app": {"handlers": ["kept"]}},
        )
    )
    before = handler("kept")
    dictConfig(
        {
            "version": 1,
            "incremental": True,
            "handlers": {"kept": {"level": "ERROR"}},
            "loggers": {"app": {"level": "DEBUG", "propagate": False}},
            "root": {"level": "CRITICAL"},
        }
    )
    app = logging.getLogger("app")
    assert handler("kept") is before
    assert app.handlers == [before]
    assert (before.level, app.level, app.propagate) == (logging.ERROR, logging.DEBUG, False)
    assert logging.root.level == logging.CRITICAL


def test_the_same_as_the_standard_library_s(set_up):
    """Of a config that each Python's own takes, the result is the same."""
    same = {
        "version": 1,
        "formatters": {"brief": {"format": "%(message)s"}},
        "filters": {"app": {"name": "app"}},
        "handlers": {
            "one": {"class": f"{HERE}.Keep", "formatter": "brief", "filters": ["app"]},
            "two": {"class": "logging.NullHandler", "level": "ERROR"},
        },
        "loggers": {
            "tc.a": {"handlers": ["one"], "level": "DEBUG"},
            "tc.a.b": {"propagate": False, "handlers": ["two"], "filters": ["app"]},
        },
        "root": {"level": "INFO", "handlers": ["two"]},
    }
    results = []
    for configure in (logging.config.dictConfig, dictConfig):
        logging.getLogger("tc.old").disabled = False
        logging.getLogger("tc.a.b.c").setLevel(30)
        for name in ("tc.a", "tc.a.b"):
            logging.getLogger(name).filters = []
        configure(copy.deepcopy(same))
        loggers, handlers, _ = state()
        results.append(
            (
                {
                    name: (level, list(map(repr, at)), len(filters), propagate, disabled)
                    for name, (level, at, filters, propagate, disabled) in loggers.items()
                    if name.startswith("tc") or name == ""
                },
                {
                    name: (
                        type(one),
                        one.level,
                        len(one.filters),
                        one.formatter and one.formatter._fmt,
                    )
                    for name, one in handlers.items()
                },
            )
        )
    assert results[0] == results[1]


def test_the_dict_is_not_changed(set_up):
    given = config(
        filters={"who": {"()": "threadlog.ThreadInfoFilter"}},
        formatters={"f": {"()": "logging.Formatter", "format": "%(message)s"}},
        handlers={
            "q": {
                "class": "logging.handlers.QueueHandler",
                "handlers": ["k"],
                "queue": "queue.Queue",
            },
            "k": {"class": f"{HERE}.Keep", "filters": ["who"], ".": {"x": 1}},
        },
        root={"handlers": ["q"]},
    )
    before = copy.deepcopy(given)
    dictConfig(given)
    assert given == before


# Again and again


def everything(tmp_path, **more):
    return config(
        filters={"who": {"()": "threadlog.ThreadInfoFilter"}},
        handlers={
            "file": {
                "class": "threadlog.handlers.RotatingFileHandler",
                "maxBytes": 100_000,
                "backupCount": 200,
                "filename": str(tmp_path / "app.log"),
            },
            "q": {"class": "threadlog.handlers.QueueHandler", "handlers": ["file"]},
            "s": {"class": "logging.handlers.QueueHandler", "handlers": ["file2"]},
            "file2": {
                "class": "threadlog.handlers.FileHandler",
                "filename": str(tmp_path / "other.log"),
            },
        },
        loggers={"other": {"handlers": ["s"], "propagate": False, "filters": ["who"]}},
        root={"handlers": ["q"], "level": "INFO"},
        **more,
    )


def open_files():
    gc.collect()
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_ten_times_leaves_nothing_behind(set_up, tmp_path):
    dictConfig(everything(tmp_path))
    log()
    log(name="other")
    handler("q").flush()  # after which its listener's thread is there
    gc.collect()
    before = (open_files(), len(threading.enumerate()), len(logging._handlerList))
    other = logging.getLogger("other")
    mine = logging.Filter()
    other.addFilter(mine)
    for _ in range(10):
        dictConfig(everything(tmp_path))
        log()
        log(name="other")
        assert len(other.filters) == 2
        assert mine in other.filters
    handler("q").flush()
    gc.collect()
    assert (open_files(), len(threading.enumerate()), len(logging._handlerList)) == before
    dictConfig(config(loggers={"other": {}}, root={"handlers": []}))
    assert other.filters == [mine]
    other.removeFilter(mine)
    assert (tmp_path / "app.log").read_text().count("hello") == 11
    assert (tmp_path / "other.log").read_text().count("hello") == 11


def test_the_handlers_that_were_there_are_closed_and_those_given_are_not(set_up):
    one = Keep()
    first = config(handlers={"k": {"()": lambda: one}}, root={"handlers": ["k"]})
    dictConfig(first)
    assert one.closed == 0
    again = config(
        handlers={"q": {"class": "threadlog.handlers.QueueHandler", "handlers": [one]}},
        root={"handlers": ["q"]},
    )
    dictConfig(again)
    assert one.closed == 0
    dictConfig(config(root={"handlers": []}))
    assert one.closed >= 1


@pytest.mark.timeout(120)
def test_threads_that_configure_beside_threads_that_log(tmp_path):
    """In a program of its own: other tests' handlers would be closed again and again."""
    program = f"""
        import json, logging, sys, threading
        sys.path.insert(0, {str(os.path.dirname(__file__))!r})
        from pathlib import Path
        from test_config import everything
        from threadlog.config import dictConfig
        folder = Path({str(tmp_path)!r})
        dictConfig(everything(folder))
        begin, done = threading.Barrier(6), threading.Event()
        def write(name):
            log = logging.getLogger("other" if name % 2 else "app")
            begin.wait()
            for number in range(2000):
                log.info("%d-%d", name, number)
        def configure():
            begin.wait()
            times = 0
            while times < 5 or not done.is_set():
                dictConfig(everything(folder))
                times += 1
        writers = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        configuring = [threading.Thread(target=configure) for _ in range(2)]
        for thread in writers + configuring:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in configuring:
            thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    for names, pattern in (((0, 2), "app.log*"), ((1, 3), "other.log*")):
        text = "".join(path.read_text() for path in tmp_path.glob(pattern))
        assert sorted(text.split()) == sorted(f"{n}-{i}" for n in names for i in range(2000))


def test_a_forked_child_configures_though_a_thread_of_its_parent_was_at_it(set_up):
    inside, leave = threading.Event(), threading.Event()

    def factory():
        inside.set()
        leave.wait(10)
        return Keep()

    slow = config(handlers={"k": {"()": factory}})
    thread = threading.Thread(target=dictConfig, args=(slow,))
    thread.start()
    inside.wait()
    try:
        _, text = in_fork(lambda: dictConfig(config(root={"level": "ERROR"})) or "done")
    finally:
        leave.set()
        thread.join()
    assert text == "done"


def test_a_factory_and_a_signal_handler_may_configure(set_up):
    def factory():
        dictConfig(config(loggers={"app": {"level": "ERROR"}}))
        return Keep()

    def on_signal(*_):
        dictConfig(config(loggers={"app": {"level": "DEBUG"}}))

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        dictConfig(config(handlers={"k": {"()": factory}}, root={"handlers": ["k"]}))
        assert logging.getLogger("app").level == logging.ERROR
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert logging.getLogger("app").level == logging.DEBUG


def test_what_a_memory_handler_has_is_flushed(set_up):
    dictConfig(
        config(
            handlers={
                "m": {"class": "logging.handlers.MemoryHandler", "capacity": 10, "target": "k"},
                "k": {"class": f"{HERE}.Keep"},
            },
            root={"handlers": ["m"], "level": "INFO"},
        )
    )
    lines = handler("k").lines
    log()
    dictConfig(config(root={"handlers": []}))
    logging.root.handlers = []
    assert lines == ["hello"]


class Starts(logging.handlers.QueueListener):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.start()


class Refuses(logging.handlers.QueueListener):
    def stop(self):
        super().stop()
        raise queue.Full


def test_a_listener_that_starts_itself_and_one_whose_stop_raises(set_up, capsys):
    entry = {"class": "logging.handlers.QueueHandler", "handlers": ["z"]}
    _, running = lines_of_queue({**entry, "listener": Starts})
    assert running.handlers[0].lines == ["one", "two"]
    _, running = lines_of_queue({**entry, "listener": Refuses})
    assert running.handlers[0].lines == ["one", "two"]
    assert "queue.Full" in capsys.readouterr().err


def test_a_forked_child_does_not_end_its_parent_s_listener(set_up):
    import multiprocessing

    shared = multiprocessing.get_context("fork").Queue()
    entry = {
        "class": "logging.handlers.QueueHandler",
        "handlers": ["z"],
        "queue": shared,
        "listener": "logging.handlers.QueueListener",
    }
    dictConfig(
        config(
            handlers={"a": entry, "z": {"class": f"{HERE}.Keep"}},
            root={"handlers": ["a"], "level": "INFO"},
        )
    )
    listener = handler("a").listener
    in_fork(lambda: dictConfig(config(root={"handlers": []})) or "done")
    log()
    listener.stop()
    assert handler("z").lines == ["hello"]
    shared.close()
    shared.join_thread()


def test_a_handler_that_configures_while_another_thread_does(set_up):
    """It has its own lock, for which the other waits in order to close it."""
    inside, go_on = threading.Event(), threading.Event()

    class Configures(Keep):
        def emit(self, record):
            inside.set()
            go_on.wait(10)
            dictConfig(config(loggers={"app": {"level": "ERROR"}}))

    class Late(Keep):
        def close(self):
            go_on.set()
            super().close()

    dictConfig(
        config(
            handlers={"a": {"()": Configures}, "b": {"()": Late}},
            root={"handlers": ["a", "b"], "level": "INFO"},
        )
    )
    thread = threading.Thread(target=log)
    thread.start()
    inside.wait()
    dictConfig(config(root={"handlers": []}))
    thread.join()
    assert logging.getLogger("app").level == logging.ERROR


def test_what_a_config_within_a_factory_has_made_is_closed(set_up):
    inner = Keep()

    def factory():
        dictConfig(config(handlers={"i": {"()": lambda: inner}}, root={"handlers": ["i"]}))
        return Keep()

    dictConfig(config(handlers={"k": {"()": factory}}, root={"handlers": ["k"]}))
    assert inner.closed == 1


def test_an_empty_root_changes_nothing_as_in_logging(set_up):
    dictConfig(config(handlers={"k": {"class": f"{HERE}.Keep"}}, root={"handlers": ["k"]}))
    before = list(logging.root.handlers)
    dictConfig(config(root={}))
    assert logging.root.handlers == before


def test_a_handler_that_cannot_be_closed_stops_nobody(set_up, capsys):
    class Bad(Keep):
        def close(self):
            super().close()
            raise ZeroDivisionError("in close")

    last = Keep()
    dictConfig(
        config(
            handlers={"a": {"()": lambda: last}, "b": {"()": Bad}}, root={"handlers": ["a", "b"]}
        )
    )
    dictConfig(config(root={"handlers": []}))
    assert last.closed == 1
    assert "in close" in capsys.readouterr().err


# What is turned on besides


def test_the_switches_hold_until_the_next_config(set_up):
    on = config(threadlog={"thread_info": True, "children": True, "uncaught": True, "fast": True})
    hook, standard_log = sys.excepthook, logging.Logger._log
    dictConfig(on)
    assert logging.Logger._log is not standard_log
    assert threadlog.is_logging_with_thread_info()
    assert sys.excepthook is not hook
    assert in_child() == "True"
    dictConfig(on)
    assert threadlog.is_logging_with_thread_info()
    dictConfig({"version": 1, "incremental": True})
    assert threadlog.is_logging_with_thread_info()
    dictConfig({"version": 1, "incremental": True, "threadlog": {"uncaught": True}})
    assert not threadlog.is_logging_with_thread_info()
    assert logging.Logger._log is standard_log
    assert sys.excepthook is not hook
    dictConfig(config())
    assert sys.excepthook is hook
    assert in_child() == "False"


def in_child():
    return in_fork(lambda: any("Forwarder" in repr(one) for one in logging.root.handlers))[1]


def test_thread_info_with_a_prefix(set_up):
    dictConfig(
        config(
            handlers={"k": {"class": f"{HERE}.Keep"}},
            root={"handlers": ["k"], "level": "INFO"},
            threadlog={"thread_info": {"prefix": "<%(threadName)s> "}},
        )
    )
    in_thread(log, name="worker")
    assert handler("k").lines == ["<worker> hello"]


def test_the_claims_of_the_program_are_its_own(set_up):
    with threadlog.logging_with_thread_info():
        dictConfig(config(threadlog={"thread_info": True}))
        dictConfig(config())
        assert threadlog.is_logging_with_thread_info()
    assert not threadlog.is_logging_with_thread_info()


# When something cannot be made


def test_what_cannot_be_made_is_told_with_all_others_and_nothing_is_changed(set_up, tmp_path):
    made = []

    def good():
        made.append(Keep())
        return made[0]

    def broken():
        raise RuntimeError("out of order")

    before = state()
    threads = threading.enumerate()
    with pytest.raises(ConfigError) as raised:
        dictConfig(
            config(
                handlers={
                    "good": {"()": good},
                    "file": {
                        "class": "threadlog.handlers.FileHandler",
                        "filename": str(tmp_path / "no" / "app.log"),
                    },
                    "broken": {"()": broken},
                    "q": {"class": "logging.handlers.QueueHandler", "handlers": ["broken", "good"]},
                    "s": {"class": "logging.handlers.QueueHandler", "handlers": ["good"]},
                },
                root={"handlers": ["q"], "level": "DEBUG"},
                threadlog={"thread_info": True, "uncaught": True},
            )
        )
    paths = [path for path, _ in raised.value.problems]
    assert paths == ["handlers.file", "handlers.broken"]
    assert "No such file" in str(raised.value)
    assert "RuntimeError: out of order" in str(raised.value)
    assert made[0].closed == 1
    assert state() == before
    assert set(threading.enumerate()) <= set(threads)
    assert not threadlog.is_logging_with_thread_info()


def test_what_was_there_before_is_not_touched_by_a_config_that_fails(set_up):
    mine = Keep()

    def interrupted():
        raise KeyboardInterrupt

    handlers = {"mine": {"()": lambda: mine, "level": "ERROR", ".": {"given": "changed"}}}
    with pytest.raises(ConfigError, match="None has been made, which has no method handle"):
        dictConfig(config(handlers={**handlers, "bad": {"()": lambda: None}}))
    made = []

    def good():
        made.append(Keep())
        return made[0]

    with pytest.raises(KeyboardInterrupt):
        dictConfig(config(handlers={**handlers, "a": {"()": good}, "bad": {"()": interrupted}}))
    assert (mine.closed, mine.level, mine.given) == (0, logging.NOTSET, "kept")
    assert made[0].closed == 1


def test_json_can_say_all_of_it(set_up, tmp_path):
    dictConfig(json.loads(json.dumps(everything(tmp_path, threadlog={"thread_info": True}))))
    log()
    handler("q").flush()
    assert "MainThread] hello" in (tmp_path / "app.log").read_text()
