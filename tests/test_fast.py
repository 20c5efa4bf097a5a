"""Fast logging: whatever a call does, it does as with the standard loggers."""

import _thread
import asyncio
import contextlib
import copy
import gc
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import random
import sys
import threading
import time
import types
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadlog
from support import in_fork, in_thread, run
from threadlog import fast, fast_logging, identity, start_fast_logging, stop_fast_logging

STANDARD, STANDARD_LOG = logging.Logger, logging.Logger._log


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def fresh():
    """Make loggers of this test's own, below one that keeps what they log."""
    names = []
    top = f"fast{random.randrange(10**9)}"

    def make(name=""):
        names.append(f"{top}.{name}".rstrip("."))
        return logging.getLogger(names[-1])

    first = make()
    first.propagate = False
    first.setLevel(1)
    first.addHandler(Keep())
    yield make
    for name in names:
        logging.root.manager.loggerDict.pop(name, None)


@pytest.fixture
def log(fresh):
    """A fast logger that keeps what it logs."""
    with fast_logging():
        yield fresh()


def made(text):
    return logging.makeLogRecord({"msg": text, "levelno": logging.ERROR})


def kept(logger):
    return logger.handlers[0].records


def last(logger):
    return kept(logger)[-1]


def is_fast(record):
    return type(record) is fast.LogRecord


@contextlib.contextmanager
def clock_stands(monkeypatch, seconds):
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: seconds)
        patch.setattr(time, "time_ns", lambda: int(seconds * 10**9))
        yield


def by_both(fresh, monkeypatch, call, seconds=1_700_000_000.123456):
    """Return what two records, or errors, look like that one call has made, without and with it."""
    found = []
    for context in (contextlib.nullcontext, fast_logging):
        logger = fresh()
        kept(logger).clear()
        with context(), clock_stands(monkeypatch, seconds):
            try:
                call(logger)
                found.append([list(vars(record).items()) for record in kept(logger)])
            except Exception as error:
                found.append((type(error), str(error)))
    return found


class Words(dict):
    pass


def inner(logger, **options):
    logger.info("from inside", **options)


def raising(logger, **options):
    try:
        raise ValueError("seven")
    except ValueError as error:
        logger.error("caught", exc_info=error if options else True, **options)


class Adapter(logging.LoggerAdapter):
    def process(self, msg, kwargs):
        return f"<{msg}>", kwargs


CALLS = {
    "args": lambda log: log.info("hello %s %d", "world", 42),
    "no args": lambda log: log.warning("100%"),
    "one": lambda log: log.debug("%s", "one"),
    "a dict": lambda log: log.error("%(a)s", {"a": 1}),
    "a subclass of dict": lambda log: log.error("%(a)s", Words(a=1)),
    "an empty dict": lambda log: log.error("%s", {}),
    "a proxy": lambda log: log.error("%(a)s", types.MappingProxyType({"a": 1})),
    "no text": lambda log: log.critical(["a", "list"]),
    "log": lambda log: log.log(logging.INFO, "by number"),
    "a level without a name": lambda log: log.log(17, "seventeen"),
    "a level that is a bool": lambda log: log.log(True, "one"),
    "no level": lambda log: log.log("INFO", "text"),
    "exception": raising,
    "exception, given": lambda log: raising(log, extra={}),
    "exception, none": lambda log: log.error("no exception", exc_info=True),
    "exc_info=0": lambda log: log.error("no exception", exc_info=0),
    "exc_info, a tuple": lambda log: log.error("a tuple", exc_info=(None, None, None)),
    "log.exception": lambda log: log.exception("without one"),
    "extra": lambda log: log.info("more", extra={"request": 7, "user": "kim"}),
    "extra, empty": lambda log: log.info("more", extra={}),
    "extra, a field": lambda log: log.info("clash", extra={"name": "x"}),
    "extra, a field of the time": lambda log: log.info("clash", extra={"msecs": 0}),
    "extra, message": lambda log: log.info("clash", extra={"message": "x"}),
    "extra, asctime": lambda log: log.info("clash", extra={"asctime": "x"}),
    "extra, no mapping": lambda log: log.info("clash", extra=[1]),
    "extra, thread_info": lambda log: log.info("mine", extra={"thread_info": "mine"}),
    "stack_info": lambda log: log.info("stack", stack_info=True),
    "stacklevel": lambda log: inner(log, stacklevel=2),
    "stacklevel, too many": lambda log: inner(log, stacklevel=1000),
    "stacklevel 0": lambda log: inner(log, stacklevel=0),
    "stacklevel and stack_info": lambda log: inner(log, stacklevel=2, stack_info=True),
    "an unknown argument": lambda log: log.info("x", colour="red"),
    "an adapter": lambda log: Adapter(log, {"a": 1}).info("adapted"),
    "an adapter of one": lambda log: Adapter(logging.LoggerAdapter(log, {"b": 2}), {}).info("two"),
    "_log": lambda log: log._log(logging.INFO, "directly", ()),
    "_log, without args": lambda log: log._log(logging.INFO, "directly", None),
    "handle": lambda log: log.handle(logging.makeLogRecord({"msg": "made elsewhere"})),
    "disabled": lambda log: log.manager._clear_cache() or log.log(0, "not wanted"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_record_is_the_same_in_the_same_order(fresh, monkeypatch, name):
    standard, ours = by_both(fresh, monkeypatch, CALLS[name])
    if "stack_info" in name:  # the two stacks differ in the line of the test itself
        assert [item[0] for item in ours[0]] == [item[0] for item in standard[0]]
        assert dict(ours[0])["stack_info"] == dict(standard[0])["stack_info"]
        assert f"in {'<lambda>'}" in dict(ours[0])["stack_info"]
        return
    if name == "exception":
        assert [str(value[1]) for key, value in ours[0] if key == "exc_info"] == ["seven"]
        ours, standard = (
            [item for item in each[0] if item[0] != "exc_info"] for each in (ours, standard)
        )
    if name.startswith("exception, given"):
        ours, standard = (
            [(k, v if k != "exc_info" else v[0]) for k, v in each[0]] for each in (ours, standard)
        )
    assert ours == standard
    assert standard != [] or name == "disabled"


@given(
    st.one_of(
        st.floats(-4e9, 4e9),
        st.integers(0, 4 * 10**9).map(lambda n: n + 0.9999999),
        st.integers(0, 4 * 10**12).map(lambda n: n / 1000),
    )
)
def test_times_are_the_same(seconds):
    logger = logging.Logger("times")
    logger.addHandler(Keep())
    quick = logging.Logger("times")
    quick.addHandler(Keep())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: seconds)
        patch.setattr(time, "time_ns", lambda: int(seconds * 10**9))
        logger.warning("now")
        with fast_logging():
            quick.warning("now")
    assert is_fast(last(quick))
    assert not is_fast(last(logger))
    for name in ("created", "msecs", "relativeCreated"):
        ours, theirs = (getattr(last(each), name) for each in (quick, logger))
        assert ours == theirs
        assert type(ours) is type(theirs)


def test_a_fast_record_says_where_it_was_logged(log):
    log.info("a")
    here = sys._getframe().f_lineno - 1
    assert is_fast(last(log))
    for _ in range(3):
        inner(log)
    (lambda: log.info("in a lambda"))()
    exec(compile("\n\nlog.info('x')", "/some/generated.code.py", "exec"), {"log": log})
    found = [(r.pathname, r.filename, r.module, r.lineno, r.funcName) for r in kept(log)]
    path, file, module = __file__, os.path.basename(__file__), "test_fast"
    inside = (path, file, module, inner.__code__.co_firstlineno + 1, "inner")
    test = "test_a_fast_record_says_where_it_was_logged"
    assert found == [
        (path, file, module, here, test),
        inside,
        inside,
        inside,
        (path, file, module, here + 5, "<lambda>"),
        ("/some/generated.code.py", "generated.code.py", "generated.code", 3, "<module>"),
    ]


def test_places_of_code_that_comes_and_goes_are_not_mistaken_for_others(log, monkeypatch):
    monkeypatch.setattr(fast, "_MOST_PLACES", 50)
    identity.current().places.clear()
    for number in range(500):  # their memory is used again
        name = f"/generated/{number}.py"
        exec(compile("\n" * (number % 7) + "log.info('x')", name, "exec"), {"log": log})
        assert (last(log).pathname, last(log).lineno) == (name, number % 7 + 1)
    gc.collect()
    assert 0 < len(identity.current().places) <= 50


def test_the_caller_at_the_bottom_of_the_stack(fresh, monkeypatch):
    def call(logger):
        thread = threading.Thread(target=logger.info, args=("in a thread",), name="t")
        thread.start()
        thread.join()

    standard, ours = (dict(found[0]) for found in by_both(fresh, monkeypatch, call))
    assert ours["funcName"] == standard["funcName"] == "run"
    assert ours["pathname"] == standard["pathname"] == threading.__file__


# Other ways.


def test_a_record_factory_is_used(log):
    class Mine(logging.LogRecord):
        pass

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Mine)
    try:
        log.info("mine")
    finally:
        logging.setLogRecordFactory(before)
    log.info("fast")
    assert [type(record) for record in kept(log)] == [Mine, fast.LogRecord]
    assert last(log).lineno == kept(log)[0].lineno + 3


REPLACED = {
    "makeRecord": lambda self, *args, **named: made("my own way"),
    "findCaller": lambda self, *args, **named: ("/my/own/way.py", 7, "mine", None),
    "_log": lambda self, level, msg, args, **named: self.handle(made("my own way")),
    "handle": lambda self, record: self.callHandlers(made("my own way")),
    "callHandlers": lambda self, record: self.handlers[0].handle(made("my own way")),
    "filter": lambda self, record: setattr(record, "msg", "my own way") or True,
    "info": lambda self, msg, *args, **named: self.handlers[0].handle(made("my own way")),
    "isEnabledFor": lambda self, level: level == logging.INFO,
}


def logs_its_own_way(log, name):
    log.info("hello")
    log.debug("hello")
    assert (
        "my own way" in kept(log)[0].getMessage()
        or kept(log)[0].funcName == "mine"
        or (name == "isEnabledFor" and len(kept(log)) == 1)
    )


@pytest.mark.parametrize("name", REPLACED)
def test_a_method_that_is_replaced_on_the_class_is_called(log, monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setattr(logging.Logger, name, REPLACED[name])
        logs_its_own_way(log, name)
    kept(log).clear()
    log.info("fast again")
    assert is_fast(last(log))


@pytest.mark.parametrize("name", REPLACED)
def test_a_method_that_is_replaced_on_a_logger_is_called(log, name):
    setattr(log, name, types.MethodType(REPLACED[name], log))
    logs_its_own_way(log, name)


def test_a_logger_with_a_way_of_its_own_before_is_left_alone(fresh):
    logger = fresh()
    logger.makeRecord = types.MethodType(REPLACED["makeRecord"], logger)
    with fast_logging():
        logger.info("hello")
    assert last(logger).msg == "my own way"


def test_a_function_and_a_mock_in_the_place_of_a_method(log):
    log.makeRecord = lambda *args, **named: made("a function")
    log.info("hello")
    del log.makeRecord
    log.info("hello")
    with mock.patch.object(log, "findCaller", return_value=("p.py", 7, "mocked", None)):
        log.info("hello")
    with mock.patch.object(logging.Logger, "findCaller", autospec=True) as find:
        find.return_value = ("p.py", 7, "mocked", None)
        log.info("hello")
    log.info("hello")
    assert [record.msg for record in kept(log)] == ["a function", *["hello"] * 4]
    assert [is_fast(record) for record in kept(log)] == [False, True, False, False, True]
    assert [record.funcName for record in kept(log)[2:4]] == ["mocked", "mocked"]


def test_a_subclass_of_the_programs_is_left_alone(fresh):
    class Mine(logging.Logger):
        def makeRecord(self, *args, **named):
            return made("mine")

    with fast_logging():
        logging.setLoggerClass(Mine)
        try:
            logger = fresh("mine")
        finally:
            logging.setLoggerClass(STANDARD)
        assert type(logger) is Mine
        logger.info("hello")
    assert last(fresh()).msg == "mine"
    assert type(logger) is Mine
    assert logging.getLoggerClass() is STANDARD


FLAGS = ["logThreads", "logProcesses", "logMultiprocessing"]
FLAGS += ["logAsyncioTasks"] if hasattr(logging, "logAsyncioTasks") else []


@pytest.mark.parametrize("flag", FLAGS)
def test_what_is_not_to_be_logged(fresh, monkeypatch, flag):
    monkeypatch.setattr(logging, flag, False)
    standard, ours = by_both(fresh, monkeypatch, CALLS["args"])
    assert ours == standard
    assert None in dict(ours[0]).values()


def test_without_a_look_for_the_caller(fresh, monkeypatch):
    monkeypatch.setattr(logging, "_srcfile", None)
    standard, ours = by_both(fresh, monkeypatch, CALLS["args"])
    assert ours == standard
    assert dict(ours[0])["funcName"] == "(unknown function)"


def test_filters_levels_and_propagation(fresh):
    with fast_logging():
        top, below = fresh(), fresh("below")
        below.addFilter(lambda record: "secret" not in record.getMessage())
        below.info("secret")
        below.info("open")
        below.setLevel(logging.ERROR)
        below.info("too low")
        below.setLevel(logging.NOTSET)
        logging.disable(logging.INFO)
        try:
            below.info("disabled")
        finally:
            logging.disable(logging.NOTSET)
        below.disabled = True
        below.error("disabled")
        below._log(logging.ERROR, "disabled", ())
        below.disabled = False
        below.propagate = False
        below.addHandler(logging.NullHandler())
        below.error("not propagated")
    assert [record.msg for record in kept(top)] == ["open"]
    assert is_fast(last(top))


def test_a_record_factory_s_class_whose_init_is_replaced(log, monkeypatch):
    before = logging.LogRecord.__init__

    def init(self, *args, **named):
        before(self, *args, **named)
        self.hostname = "here"

    monkeypatch.setattr(logging.LogRecord, "__init__", init)
    log.info("hello")
    assert last(log).hostname == "here"


def test_what_the_module_says_of_levels_times_and_the_start(log, monkeypatch):
    monkeypatch.setattr(logging, "getLevelName", lambda level: f"<{level}>")
    monkeypatch.setattr(logging, "_startTime", logging._startTime - logging._startTime // 2)
    log.info("hello")
    assert last(log).levelname == "<20>"
    assert last(log).relativeCreated > 1e11
    assert is_fast(last(log))


@mock.patch.dict(logging._levelToName)
@mock.patch.dict(logging._nameToLevel)
def test_an_added_level(log):
    logging.addLevelName(25, "NOTICE")
    log.log(25, "hello")
    assert last(log).levelname == "NOTICE"
    logging.addLevelName(25, "NOTE")
    log.log(25, "hello")
    assert last(log).levelname == "NOTE"


class Intercept(logging.Handler):
    """Searches for the caller as handlers that hand over to other logging packages do."""

    def emit(self, record):
        frame, depth = sys._getframe(0), 0
        while depth == 0 or frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        self.found = frame.f_code.co_name


@pytest.mark.parametrize("shows", [False, True])
def test_who_walks_the_stack_finds_the_caller(log, shows):
    log.addHandler(handler := Intercept())
    with threadlog.logging_with_thread_info() if shows else contextlib.nullcontext():
        inner(log)
    assert handler.found == "inner"


def test_a_traceback_through_it_shows_logging(log):
    log.addFilter(lambda record: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        log.info("hello")
    through = [entry for entry in caught.traceback if entry.name == "_log"]
    assert [str(entry.path) for entry in through] == [logging.__file__]
    assert "self.handle(record)" in str(through[0].statement)


def test_frames_of_an_import_are_skipped(log):
    for name in ("/x/importlib_bootstrap.py", "/y/app.py"):
        code = compile("def call(): log.info('x')", name, "exec")
        exec(code, names := {"log": log})
        names["call"]()
    assert [record.funcName for record in kept(log)] == [sys._getframe().f_code.co_name, "call"]


@pytest.mark.timeout(60)
def test_the_bottom_of_the_stack(log):
    done = threading.Event()
    log.addHandler(handler := Keep())
    handler.emit = lambda record: [handler.records.append(record), done.set()]
    _thread.start_new_thread(log._log, (logging.INFO, "hello", ()))
    assert done.wait(30)
    assert handler.records[0].funcName == "_log"
    done.clear()
    _thread.start_new_thread(log._log, (logging.INFO, "hello", ()))
    assert done.wait(30)


AT_EXIT = """
import atexit, logging, threadlog
logging.basicConfig(level=logging.INFO, format="%(funcName)s %(message)s")
threadlog.start_fast_logging()
def work():
    logging.info("second")
atexit.register(work)
atexit.register(logging.info, "first")
"""


def test_one_without_a_caller_and_one_with():
    assert run(AT_EXIT).stderr == "info first\nwork second\n"


def test_whoever_counts_frames_finds_as_many(fresh, monkeypatch):
    class Counting(logging.LogRecord):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            self.counted = sys._getframe(5).f_code.co_name

    def factory(*args, **named):
        return Counting(*args, **named)

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(factory)
    try:
        standard, ours = by_both(fresh, monkeypatch, inner)
    finally:
        logging.setLogRecordFactory(before)
    assert dict(ours[0])["counted"] == dict(standard[0])["counted"] == "inner"


# The records.


def test_a_record_that_is_copied_or_pickled_is_an_ordinary_one(log):
    log.info("hello %s", "you", extra={"more": 1})
    record = last(log)
    assert is_fast(record)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(record, protocol))
        assert type(back) is logging.LogRecord
        assert list(vars(back).items()) == list(vars(record).items())
    for copied in (copy.copy(record), copy.deepcopy(record)):
        assert type(copied) is logging.LogRecord
        assert vars(copied) == vars(record)
        assert vars(copied) is not vars(record)
    assert b"threadlog" not in pickle.dumps(record)


class OfTheProgram(fast.LogRecord):
    pass


def test_a_subclass_of_the_record_stays_one():
    record = OfTheProgram("a", 20, "/a.py", 7, "hello", (), None)
    for back in (copy.copy(record), pickle.loads(pickle.dumps(record))):
        assert type(back) is OfTheProgram
        assert vars(back) == vars(record)


def test_what_others_do_with_records(log):
    log.info("hello %s", "you")
    record = last(log)
    assert isinstance(record, logging.LogRecord)
    assert repr(record) == repr(logging.makeLogRecord(vars(record)))
    assert vars(record) == record.__dict__
    record.colour = "red"
    assert vars(record)["colour"] == "red"
    record.__dict__["shape"] = "round"
    assert record.shape == "round"
    del record.shape
    assert not hasattr(record, "shape")
    record.__dict__.update(lineno=7)
    assert record.lineno == 7
    assert not hasattr(record, "thread_info")
    assert logging.Formatter("%(colour)s %(message)s").format(record) == "red hello you"


@pytest.mark.parametrize("shows", [False, True])
def test_it_goes_through_queues_sockets_and_memory(log, shows):
    import queue

    passed = queue.Queue()
    log.addHandler(logging.handlers.QueueHandler(passed))
    memory = logging.handlers.MemoryHandler(10, target=Keep())
    log.addHandler(memory)
    socket = logging.handlers.SocketHandler("localhost", 1)
    with threadlog.logging_with_thread_info() if shows else contextlib.nullcontext():
        log.info("hello %s", "you")
    queued, sent = passed.get(), pickle.loads(socket.makePickle(last(log))[4:])
    memory.flush()
    socket.close()
    names = set(vars(last(log))) - {"message", "asctime"}
    assert names <= set(vars(queued))
    assert names <= set(sent)
    assert ("thread_info" in names) is shows
    assert memory.target.records == [last(log)]


# Who logs.


def test_who_logged_is_known_at_once_with_the_toggle(log):
    def work():
        with threadlog.logging_context(request="abc"):
            log.info("hello")

    with threadlog.logging_with_thread_info():
        in_thread(work, name="worker")
    record = last(log)
    assert is_fast(record)
    assert record.threadName == "worker"
    assert record.log_context == {"request": "abc"}
    assert record.thread_info.startswith(f"pid {os.getpid()} tid {record.native_id} worker")
    assert set(vars(record)) >= {"thread_number", "work_item", "taskName"}
    log.info("off")
    assert not hasattr(last(log), "thread_info")


def test_a_thread_that_is_renamed(log):
    def renamed():
        log.info("before")
        threading.current_thread().name = "after"
        log.info("after")

    in_thread(renamed, name="before")
    assert [record.threadName for record in kept(log)] == ["before", "after"]


def test_a_thread_with_a_way_of_its_own_to_its_name(log):
    class Thread(threading.Thread):
        count = 0

        @property
        def name(self):
            type(self).count += 1
            return f"mine-{self.count}"

    thread = Thread(target=lambda: [log.info("one"), log.info("two")])
    thread.start()
    thread.join()
    one, two = (record.threadName for record in kept(log))
    assert one != two
    assert one.startswith("mine-")


def test_a_process_that_is_renamed(log):
    process = multiprocessing.current_process()
    before = process.name
    try:
        for name in ("one", "two"):
            process.name = name
            log.info(name)
    finally:
        process.name = before
    assert [record.processName for record in kept(log)] == ["one", "two"]


def test_tasks(fresh, monkeypatch):
    async def two(logger):
        async def one(name):
            asyncio.current_task().set_name(name)
            await asyncio.sleep(0)
            logger.info("hello")
            asyncio.current_task().set_name(f"{name}, renamed")
            logger.info("hello")

        await asyncio.gather(one("a"), one("b"))

    standard, ours = by_both(fresh, monkeypatch, lambda logger: asyncio.run(two(logger)))
    assert ours == standard
    assert len(ours) == 4


def test_in_a_forked_child(log):
    log.info("here")
    child, text = in_fork(lambda: [log.info("there"), last(log).process][1])
    assert int(text) == child
    child, text = in_fork(lambda: in_thread(lambda: [log.info("there"), last(log).process][1]))
    assert int(text) == child


FORK_HOOKS = """
import os, sys, logging
seen = []
class Keep(logging.Handler):
    def emit(self, record): seen.append((record.msg, record.process == os.getpid()))
logging.basicConfig(handlers=[Keep()], level=logging.INFO)
hook = lambda where: lambda: logging.info(where)
os.register_at_fork(before=hook("a before"), after_in_child=hook("a child"),
    after_in_parent=hook("a parent"))
import threadlog
os.register_at_fork(before=hook("b before"), after_in_child=hook("b child"),
    after_in_parent=hook("b parent"))
threadlog.start_fast_logging()
if "toggle" in sys.argv: threadlog.start_logging_with_thread_info()
logging.info("warm")
for turn in range(2):
    child = os.fork()
    if child == 0:
        logging.info("in the child")
        print(seen, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
logging.info("in the parent")
print(seen, flush=True)
"""


@pytest.mark.parametrize("toggle", ["", "import sys; sys.argv.append('toggle')\n"])
def test_fork_hooks_that_log_before_and_after_ours(toggle):
    done = run(toggle + FORK_HOOKS)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "False" not in line, line
    assert all(where in lines[0] for where in ("a before", "b before", "a child", "b child"))
    assert "a parent" in lines[2]


def test_a_forked_child_s_process_name_is_what_logging_says(fresh):
    logger = fresh()

    def name(shows):
        def log():
            with threadlog.logging_with_thread_info() if shows else contextlib.nullcontext():
                logger.info("hello")
            return last(logger).processName

        return log

    _, standard = in_fork(name(False))
    with fast_logging():
        _, ours = in_fork(name(False))
        child, shown = in_fork(name(True))
    assert ours == standard == multiprocessing.current_process().name
    assert shown == f"{standard}-fork-{child}"


BEFORE = """
import logging, sys, time
{patch}
import threadlog
from threadlog.handlers import FileHandler
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=[
    FileHandler("/dev/stdout"), logging.StreamHandler(sys.stdout)], datefmt={datefmt})
log = logging.getLogger("app")
fast, shown = threadlog.start_fast_logging, threadlog.start_logging_with_thread_info
for switch in (lambda: None, fast, shown):
    switch()
    log.info("hello %s", "you", stacklevel=1)
    log.info("hello {{}}", "you") if "getMessage" in {patch!r} else None
"""

PATCHES = {
    "converter": ("logging.Formatter.converter = lambda *_: time.gmtime(7)", "00:00:07"),
    "msecs": ("logging.Formatter.default_msec_format = '%s.%03d!'", "!"),
    "time format": ("logging.Formatter.default_time_format = 'mine'", "mine"),
    "getMessage": (
        "logging.LogRecord.getMessage = lambda self: self.msg.format(*self.args) + '!!'",
        "!!",
    ),
    "style": ("logging.PercentStyle._format = lambda self, record: 'styled'", "styled"),
    "makeRecord": (
        "make = logging.Logger.makeRecord\n"
        "def mine(self, *args, **named):\n"
        "    record = make(self, *args, **named)\n"
        "    record.msg = 'made by me'\n"
        "    record.args = ()\n"
        "    return record\n"
        "logging.Logger.makeRecord = mine",
        "made by me",
    ),
    "_log": (
        "before = logging.Logger._log\n"
        "def mine(self, level, msg, args, **named):\n"
        "    before(self, level, 'logged by me', (), **named)\n"
        "logging.Logger._log = mine",
        "logged by me",
    ),
    "_log by an object": (
        "class Mine:\n"
        "    def __call__(self, level, msg, args, **named): logging.root.handle(\n"
        "        logging.makeLogRecord(dict(msg='an object', levelno=20)))\n"
        "logging.Logger._log = Mine()",
        "an object",
    ),
}


@pytest.mark.parametrize("name", PATCHES)
def test_what_was_replaced_before_threadlog_was_imported_holds(name):
    patch, shown = PATCHES[name]
    code = BEFORE.format(patch=patch, datefmt="None")
    done = run(code)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == (12 if name == "getMessage" else 6)
    assert [line for line in lines if shown not in line] == []
    assert len([line for line in lines if line.startswith("[pid ")]) == len(lines) // 3


def test_no_look_for_the_caller_from_before_the_import():
    done = run(
        "import logging, sys\nlogging._srcfile = None\nimport threadlog\n"
        "logging.basicConfig(format='%(funcName)s')\nthreadlog.start_fast_logging()\n"
        "logging.warning('hello')"
    )
    assert done.stderr == "(unknown function)\n"


# On and off.


def test_existing_and_future_loggers_the_root_included(fresh):
    existing, keep = fresh("existing"), Keep()
    manager = logging.Manager(logging.RootLogger(logging.WARNING))
    manager.root.addHandler(keep)
    logging.root.addHandler(keep)
    try:
        with fast_logging():
            logging.root.warning("root")
            logging.warning("root")
            for logger in (existing, fresh("future"), existing.getChild("child")):
                logger.warning("below")
            manager.getLogger("elsewhere").warning("elsewhere")
            manager.root.warning("elsewhere")
            alone = logging.Logger("alone")
            alone.addHandler(keep)
            alone.warning("alone")
    finally:
        logging.root.removeHandler(keep)
    records = [*keep.records, *kept(fresh())]
    assert len(records) == 8
    assert all(is_fast(record) for record in records)
    existing.warning("not fast")
    assert not is_fast(last(fresh()))
    assert type(existing) is STANDARD
    assert type(logging.root) is logging.RootLogger


def is_on():
    return logging.Logger._log is not STANDARD_LOG


def test_claims():
    stop_fast_logging()
    assert not is_on()
    start_fast_logging()
    start_fast_logging()
    first, second = fast_logging(), fast_logging()
    first.__enter__()
    second.__enter__()
    stop_fast_logging()
    first.__exit__(None, None, None)
    assert is_on()
    second.__exit__(None, None, None)
    assert not is_on()
    start_fast_logging()
    stop_fast_logging()
    assert not is_on()


def test_a_log_that_another_has_wrapped_stays(fresh):
    logger, wrapped = fresh(), []
    with pytest.MonkeyPatch.context() as patch:
        start_fast_logging()
        inside = logging.Logger._log

        def theirs(self, *args, **named):
            wrapped.append(args)
            inside(self, *args, **named)

        patch.setattr(logging.Logger, "_log", theirs)
        logger.info("wrapped and fast")
        stop_fast_logging()
        assert logging.Logger._log is theirs
        logger.info("wrapped")
        with fast_logging():
            assert logging.Logger._log is theirs
            logger.info("wrapped and fast")
    logging.Logger._log = STANDARD_LOG
    assert [is_fast(record) for record in kept(logger)] == [True, False, True]
    assert len(wrapped) == 3


def test_a_log_that_was_replaced_before_is_left_alone(fresh, monkeypatch):
    logger = fresh()
    with monkeypatch.context() as patch:
        patch.setattr(logging.Logger, "_log", REPLACED["_log"])
        with fast_logging():
            logger.info("hello")
    assert last(logger).msg == "my own way"
    assert not is_on()


def test_a_decorator():
    @fast_logging()
    def decorated():
        return is_on()

    assert decorated()
    assert not is_on()


@pytest.mark.timeout(60)
def test_started_and_stopped_while_others_log(fresh):
    """Nothing is lost or doubled, and each record says which line has logged it."""
    loggers = [fresh(f"{number}") for number in range(4)]
    ready = threading.Barrier(5, timeout=30)
    over = threading.Event()

    def work(logger):
        count = 0
        while count < 100 or not over.is_set():
            logger.info("%s %d", logger.name, count)
            count += 1
            if count == 1:  # which was not fast
                ready.wait()
        return logger.name, count

    counts = []
    threads = [
        threading.Thread(target=lambda logger=logger: counts.append(work(logger)))
        for logger in loggers
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    for number in range(100):
        with fast_logging():
            fresh(f"new{number}").info("new")
    over.set()
    for thread in threads:
        thread.join()
    records = kept(fresh())
    wanted = {(name, number) for name, count in counts for number in range(count)}
    found = [record.args for record in records if record.msg != "new"]
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert {r.funcName for r in records if r.msg != "new"} == {"work"}
    assert {is_fast(record) for record in records} == {True, False}


SIGNALS = """
import logging, os, signal, threadlog
count = 0
class Count(logging.Handler):
    def emit(self, record):
        global count
        count += 1
logging.basicConfig(handlers=[Count()], level=logging.INFO)
threadlog.start_fast_logging()
handled = 0
def handler(*_):
    global handled
    handled += 1
    logging.info("signal")
    with threadlog.fast_logging():
        logging.getLogger(f"made{handled}").info("signal")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
logged = 0
while handled < 300:
    logging.info("main")
    logged += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(count == logged + 2 * handled, flush=True)
"""


@pytest.mark.skipif(
    hasattr(logging.Logger, "_tls"),
    reason="logging of Python 3.13.4 and 3.13.5 drops what is logged inside of a logging call",
)
def test_signal_handlers_that_log_and_start_and_stop():
    done = run(SIGNALS)
    assert done.stderr == ""
    assert done.stdout == "True\n"


def test_a_module_that_is_not_there_before_logs_fast(tmp_path):
    (tmp_path / "app.py").write_text(
        "import logging\nlog = logging.getLogger(__name__)\n"
        "def work():\n    log.warning('at work')\n"
    )
    done = run(
        f"import sys, logging, threadlog; sys.path.insert(0, {str(tmp_path)!r})\n"
        "logging.basicConfig(format='%(funcName)s %(lineno)d %(message)s')\n"
        "threadlog.start_fast_logging(); import app; app.work()"
    )
    assert done.stderr == "work 4 at work\n"
