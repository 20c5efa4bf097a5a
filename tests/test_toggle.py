"""P2: thread info on every handler while on, and exactly what was there afterwards."""

import contextlib
import gc
import io
import json
import logging
import logging.config
import logging.handlers
import queue
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import logging_lock, run
from threadlog import (
    ThreadInfoFilter,
    ThreadInfoFormatter,
    fast_logging,
    identity,
    is_logging_with_thread_info,
    logging_with_thread_info,
    start_logging_with_thread_info,
    stop_logging_with_thread_info,
    toggle,
)

METHODS = ("handle", "format", "setFormatter")
ORIGINALS = {name: getattr(logging.Handler, name) for name in METHODS}
log = logging.getLogger("test_toggle")


class Lines(logging.Handler):
    """Keeps what it renders, by message. No file: its lock would be another test's subject."""

    def __init__(self, formatter=None):
        super().__init__()
        self.lines = {}
        if formatter is not None:
            self.setFormatter(formatter)

    def emit(self, record):
        self.lines.setdefault(record.getMessage(), []).append(self.format(record))

    def handleError(self, record):
        raise


def infos(line):
    return line.count("pid ")


def shown(handler, message="hello", logger=log):
    """Log and return the one line that *handler* has made of it."""
    handler.lines.pop(message, None)
    logger.warning(message)
    (line,) = handler.lines.pop(message)
    return line


def assert_restored():
    assert not is_logging_with_thread_info()
    assert {name: getattr(logging.Handler, name) for name in METHODS} == ORIGINALS
    for handler in toggle._live_handlers():
        assert not isinstance(handler.formatter, toggle._Worn)


@pytest.fixture(autouse=True)
def clean():
    kept = logging.root.handlers[:]
    level = logging.root.level
    log.propagate = False
    yield
    stop_logging_with_thread_info()
    try:
        assert_restored()
    finally:
        toggle.claims = {}
        toggle._settle([])
        for name, method in ORIGINALS.items():
            setattr(logging.Handler, name, method)
        for logger in (log, logging.root):
            for handler in logger.handlers[:]:
                if handler not in kept:
                    logger.removeHandler(handler)
        logging.root.setLevel(level)
        log.setLevel(logging.NOTSET)
        log.disabled = False


@pytest.fixture
def lines():
    handler = Lines()
    log.addHandler(handler)
    return handler


@pytest.fixture
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def no_wait_given_up(monkeypatch):
    """No thread waits for the toggle's lock in vain, which is how a deadlock ends here."""
    lock, waits = toggle._lock, []

    class Watched:
        release = lock.release

        def acquire(self, timeout):
            waits.append(lock.acquire(timeout=10 * timeout))  # a busy machine may take long
            return waits[-1]

    monkeypatch.setattr(toggle, "_lock", Watched())
    yield
    assert waits
    assert all(waits)


@contextlib.contextmanager
def running(*functions):
    """Call each function over and over in a thread of its own, at least once before the block."""
    done = threading.Event()
    ready = threading.Barrier(len(functions) + 1, timeout=10)

    def repeat(function):
        function()
        ready.wait()
        while not done.is_set():
            function()

    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(repeat, function) for function in functions]
        try:
            ready.wait()
            yield
        finally:
            done.set()
        for future in futures:
            future.result()


# --- exact restoration -----------------------------------------------------------------------

FORMATTERS = (None, logging.Formatter("plain %(message)s"), ThreadInfoFormatter("own %(message)s"))
PREFIXES = (toggle.DEFAULT_PREFIX, "<%(thread_info)s> ", "%(threadName)s|%(thread_info)s|")
NAMES = ["start", "stop", "open", "close", "set", "assign"]
NAMES += ["add_filter", "remove_filter", "new", "remove"]
OPERATIONS = st.tuples(st.sampled_from(NAMES), st.integers(0, 5))


class Model:
    """What must be true, whatever the toggle does. Several threads share one."""

    def __init__(self, *, in_turns):
        self.turn = threading.Lock() if in_turns else contextlib.nullcontext()
        self.in_turns = in_turns
        self.started = False
        self.open = []

    def run(self, number, operations, ready):
        handlers = []  # of this thread only: [handler, formatter, filters]
        self.do(number, handlers, "new", 0)
        ready.wait()
        for name, choice in operations:
            with self.turn:
                self.do(number, handlers, name, choice)
                if self.in_turns:
                    self.check(handlers)
        return handlers

    def do(self, number, handlers, name, choice):
        held = handlers[choice % len(handlers)] if handlers else None
        if name == "start":
            start_logging_with_thread_info(prefix=PREFIXES[choice % 3])
            self.started = True
        elif name == "stop":
            stop_logging_with_thread_info()
            self.started = False
        elif name == "open":
            manager = logging_with_thread_info(prefix=PREFIXES[choice % 3])
            manager.__enter__()
            self.open.append(manager)
        elif name == "close":
            with contextlib.suppress(IndexError):
                self.open.pop(-1 if choice % 2 else 0).__exit__(None, None, None)
        elif name == "new":
            formatter = FORMATTERS[choice % 3]
            handler = Lines(formatter)
            handlers.append([handler, formatter, []])
            log.addHandler(handler)
        elif name == "set":
            held[1] = FORMATTERS[choice % 3]
            held[0].setFormatter(held[1])
        elif name == "assign":
            with toggle._locked():  # a bare assignment cannot wait for who is dressing just now
                held[1] = held[0].formatter = FORMATTERS[choice % 3]
        elif name == "add_filter":
            held[2].append(ThreadInfoFilter())
            held[0].addFilter(held[2][-1])
        elif name == "remove_filter" and held[2]:
            held[0].removeFilter(held[2].pop())
        elif name == "remove" and len(handlers) > 1:
            log.removeHandler(held[0])  # it lives on: its formatter must come back, too

    def check(self, handlers):
        on = self.started or bool(self.open)
        assert is_logging_with_thread_info() is on
        for handler, formatter, _ in handlers:
            if handler in log.handlers:
                expected = on or isinstance(formatter, ThreadInfoFormatter)
                assert infos(shown(handler, f"check {threading.get_ident()}")) == expected


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    work=st.lists(st.lists(OPERATIONS, max_size=12), min_size=1, max_size=3), in_turns=st.booleans()
)
def test_any_operations_in_any_threads_restore_exactly(switch_often, work, in_turns):
    model = Model(in_turns=in_turns)
    steady = Lines()
    log.addHandler(steady)
    ready = threading.Barrier(len(work), timeout=10)
    with running(*[lambda: log.warning("meanwhile")] * 2), ThreadPoolExecutor(len(work)) as pool:
        futures = [pool.submit(model.run, i, ops, ready) for i, ops in enumerate(work)]
        handlers = [held for future in futures for held in future.result()]
    model.do(0, [], "stop", 0)
    while model.open:
        model.do(0, [], "close", 0)
    assert_restored()
    assert all(infos(line) <= 1 for line in steady.lines["meanwhile"])
    for handler, formatter, filters in [*handlers, [steady, None, []]]:
        log.removeHandler(handler)
        assert handler.formatter is formatter
        assert [id(each) for each in handler.filters] == [id(each) for each in filters]
        assert all(infos(line) <= 1 for line in handler.lines.get("meanwhile", ()))


@pytest.mark.parametrize("interrupt", ["start", "stop", "block", "log"])
@pytest.mark.parametrize("interrupted", ["start, stop", "stop", "block", "log"])
def test_an_interrupt_at_any_line_changes_nothing(lines, interrupt, interrupted):
    """What a signal handler or finalizer may do, at every line of the toggle in turn."""

    def block():
        with logging_with_thread_info():
            log.warning("block")

    actions = {
        "start": start_logging_with_thread_info,
        "stop": stop_logging_with_thread_info,
        "block": block,
        "log": lambda: log.warning("log"),
    }
    countdown = 0

    def trace(frame, event, arg):
        nonlocal countdown
        if frame.f_code.co_filename != toggle.__file__:
            return None
        if event == "line":
            countdown -= 1
            if countdown == 0:
                actions[interrupt]()
        return trace

    before, line = sys.gettrace(), 0
    while countdown <= 0:  # until there is no such line
        line += 1
        countdown = line
        formatter = logging.Formatter("%(message)s")
        lines.setFormatter(formatter)
        if interrupted != "start, stop":
            start_logging_with_thread_info()
        sys.settrace(trace)
        try:
            for name in interrupted.split(", "):
                actions[name]()
        finally:
            sys.settrace(before)
        assert infos(shown(lines)) == is_logging_with_thread_info(), line
        start_logging_with_thread_info()
        assert infos(shown(lines)) == 1, line
        stop_logging_with_thread_info()
        assert lines.formatter is formatter, line
        assert_restored()
    assert line > 5


# --- which handlers --------------------------------------------------------------------------


def test_handlers_on_any_logger_with_any_formatter_or_none():
    child = log.getChild("child")
    handlers = [
        Lines(formatter) for formatter in (*FORMATTERS, logging.Formatter("{message}", style="{"))
    ]
    loggers = [log, child, logging.root, child]
    child.propagate = False
    try:
        for logger, handler in zip(loggers, handlers, strict=True):
            logger.addHandler(handler)
        with logging_with_thread_info():
            for logger, handler in zip(loggers, handlers, strict=True):
                line = shown(handler, logger=logger)
                assert infos(line) == 1
                assert line.startswith(f"[{identity.current().thread_info}] ")
                assert line.endswith("hello")
        assert [handler.formatter for handler in handlers][:3] == list(FORMATTERS)
    finally:
        child.handlers.clear()
        child.propagate = True


def test_handlers_that_come_later_show_it_from_their_first_record():
    start_logging_with_thread_info()
    mine = logging.Formatter("mine %(message)s")
    created = Lines()
    log.addHandler(created)
    assert infos(shown(created)) == 1
    created.setFormatter(mine)
    assert infos(shown(created)) == 1
    created.formatter = logging.Formatter("assigned %(message)s")
    assert infos(shown(created)) == 1
    created.setFormatter(mine)
    stop_logging_with_thread_info()
    assert created.formatter is mine
    assert shown(created) == "mine hello"


def test_a_formatter_that_the_user_saves_and_puts_back_meanwhile(lines):
    lines.setFormatter(FORMATTERS[1])
    with logging_with_thread_info():
        saved = lines.formatter
        lines.setFormatter(FORMATTERS[2])
        lines.setFormatter(saved)
    assert lines.formatter is FORMATTERS[1]


def test_no_handlers_nothing_installed_and_last_resort_shows_it():
    code = """if True:
        import logging, threadlog
        before = vars(logging.lastResort).copy()
        threadlog.start_logging_with_thread_info()
        logging.getLogger("a").warning("shown")
        assert logging.root.handlers == [] and logging.getLogger("a").handlers == []
        threadlog.stop_logging_with_thread_info()
        logging.getLogger("a").warning("bare")
        assert vars(logging.lastResort) == before
        assert logging.root.handlers == []
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15)
    assert run.returncode == 0, run.stderr
    first, second = run.stderr.splitlines()
    assert infos(first) == 1
    assert first.endswith("shown")
    assert second == "bare"


def test_unusual_handlers(lines):
    class ReadOnly(Lines):
        own = logging.Formatter("own %(message)s")

        @property
        def formatter(self):
            return self.own

        @formatter.setter
        def formatter(self, value):
            if value is not None:
                raise AttributeError("read-only")

    class Unhashable(Lines):
        def __eq__(self, other):
            return isinstance(other, Unhashable)

        __hash__ = None

        def createLock(self):  # logging's own would hash it
            self.lock = threading.RLock()

    class Overrides(Lines):
        def handle(self, record):
            self.emit(record)
            return True

    class Refuses(Lines):
        def setFormatter(self, fmt):
            raise AssertionError("not ours to call")

    read_only, unhashable, another = ReadOnly(), Unhashable(), Unhashable()
    overrides, refuses = Overrides(), Refuses()
    for handler in (read_only, unhashable, overrides, refuses):
        log.addHandler(handler)
    log.handlers.append(another)  # addHandler compares by ==
    with logging_with_thread_info():
        assert shown(read_only) == "own hello"
        overrides.setFormatter(None)  # no later chance to dress it
        for handler in (unhashable, another, overrides, refuses):
            assert infos(shown(handler)) == 1
    for handler in (unhashable, another, overrides, refuses):
        assert handler.formatter is None
        assert shown(handler) == "hello"


def test_handlers_are_not_kept_alive():
    handler = Lines()
    gone = weakref.ref(handler)
    with logging_with_thread_info():
        handler.handle(logging.makeLogRecord({}))
        del handler
        gc.collect()
        assert gone() is None


def test_a_formatter_copied_to_another_handler_is_clean_after_stop(lines):
    start_logging_with_thread_info()
    unused, used = Lines(), Lines()
    unused.setFormatter(lines.formatter)
    used.formatter = lines.formatter  # as tqdm's logging_redirect does
    idle = Lines()
    idle.formatter = lines.formatter  # and handles nothing while on
    log.addHandler(unused)
    log.addHandler(used)
    assert infos(shown(used)) == infos(shown(unused)) == 1
    stop_logging_with_thread_info()
    log.addHandler(idle)
    assert lines.formatter is unused.formatter is used.formatter is None
    for handler in (unused, used, idle):
        assert shown(handler) == "hello"
    with logging_with_thread_info():
        assert infos(shown(idle)) == 1
    assert idle.formatter is None


# --- exactly once ----------------------------------------------------------------------------


@contextlib.contextmanager
def queued(*targets):
    records = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    listener = logging.handlers.QueueListener(records, *targets)
    listener.start()
    yield handler
    listener.stop()


@contextlib.contextmanager
def chained(chain, sink):
    with contextlib.ExitStack() as stack:
        target = sink
        handlers = []
        for kind in reversed(chain):
            if kind == "queue":
                target = stack.enter_context(queued(target))
            else:
                target = logging.handlers.MemoryHandler(1, target=target)
            handlers.append(target)
        yield target, handlers


@pytest.mark.parametrize("chain", ["queue", "memory", "queue memory queue", "memory memory queue"])
@pytest.mark.parametrize("at_ends", ["", "source", "sink", "both", "message"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_once_and_the_producers_through_any_chain(chain, at_ends, prefix):
    sink = Lines()
    if at_ends in ("sink", "both"):
        sink.setFormatter(ThreadInfoFormatter("%(message)s"))
    if at_ends == "message":
        sink.setFormatter(logging.Formatter("%(thread_info)s: %(message)s"))
    with logging_with_thread_info(prefix=prefix), chained(chain.split(), sink) as (source, all_):
        if at_ends in ("source", "both"):
            source.setFormatter(ThreadInfoFormatter("%(message)s"))
        log.addHandler(source)
        log.warning("hello")
        log.removeHandler(source)
        assert not any(isinstance(each.formatter, toggle._Worn) for each in all_)
    (line,) = (line for found in sink.lines.values() for line in found)
    assert infos(line) == 1
    assert identity.current().thread_info in line
    assert line.endswith("hello")


def test_a_json_line_stays_one(lines):
    from pythonjsonlogger.json import JsonFormatter

    lines.setFormatter(JsonFormatter())
    with logging_with_thread_info():
        assert json.loads(shown(lines))["thread_info"] == identity.current().thread_info


# --- claims ----------------------------------------------------------------------------------


def test_start_twice_stop_once_and_stop_without_start(lines):
    stop_logging_with_thread_info()
    start_logging_with_thread_info()
    start_logging_with_thread_info(prefix="second ")
    assert shown(lines) == "second hello"
    stop_logging_with_thread_info()
    assert_restored()
    assert shown(lines) == "hello"
    stop_logging_with_thread_info()


def test_the_newest_claim_is_shown_and_each_ends_alone(lines):
    first, second = (logging_with_thread_info(prefix=prefix) for prefix in ("1 ", "2 "))
    first.__enter__()
    second.__enter__()
    assert shown(lines) == "2 hello"
    start_logging_with_thread_info(prefix="3 ")
    assert shown(lines) == "3 hello"
    first.__exit__(None, None, None)
    assert shown(lines) == "3 hello"
    stop_logging_with_thread_info()
    assert shown(lines) == "2 hello"
    second.__exit__(None, None, None)
    assert_restored()


def test_decorator_and_a_block_that_raises(lines):
    @logging_with_thread_info(prefix="in ")
    def work(error):
        line = shown(lines)
        if error:
            raise OSError(line)
        return line

    assert work(None) == work(None) == "in hello"
    with pytest.raises(OSError, match="in hello"):
        work("error")
    assert_restored()


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("%(thread_inof)s ", ["thread_inof", "thread_info"]),
        ("%(nativ_id)d ", ["nativ_id", "native_id"]),
        ("%(xyzzy)s ", ["xyzzy", "thread_info"]),
        ("%(thread_info)d ", ["thread_info"]),
        ("100%", ["100%"]),
    ],
)
def test_a_bad_prefix_is_refused_before_anything_changes(lines, prefix, words):
    def refused(start):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            start()
        assert all(word in str(caught.value) for word in words)

    refused(lambda: start_logging_with_thread_info(prefix=prefix))
    assert_restored()
    refused(lambda: logging_with_thread_info(prefix=prefix).__enter__())
    assert_restored()
    with logging_with_thread_info(prefix="good "):
        refused(lambda: start_logging_with_thread_info(prefix=prefix))
        assert shown(lines) == "good hello"


@pytest.mark.parametrize("prefix", [None, b"x", 3])
def test_a_prefix_that_is_no_text(prefix):
    with pytest.raises(TypeError, match="prefix must be"):
        start_logging_with_thread_info(prefix=prefix)


@pytest.mark.parametrize("prefix", ["%(levelno)d ", "%(work_item)s ", "%(lineno)d ", "%(msecs)d "])
def test_any_record_attribute_makes_a_prefix(lines, prefix):
    with logging_with_thread_info(prefix=prefix):
        assert shown(lines) != "hello"


def test_with_the_users_own_escape_one_record_stays_one_line(lines):
    lines.setFormatter(ThreadInfoFormatter("%(message)s", escape=True))
    with logging_with_thread_info():
        writer = threading.Thread(target=log.error, args=("m",), name="job\nERROR forged")
        writer.start()
        writer.join()
    (line,) = lines.lines["m"]
    assert "\n" not in line
    assert infos(line) == 1


def test_a_handler_that_calls_a_method_of_its_formatter_only(lines):
    class Html(logging.Formatter):
        def html(self, record):
            return f"<b>{record.getMessage()}</b>"

    lines.setFormatter(Html())
    with logging_with_thread_info():
        assert lines.formatter.html(logging.makeLogRecord({"msg": "hello"})) == "<b>hello</b>"
        with pytest.raises(AttributeError):
            lines.formatter.latex  # noqa: B018


def test_a_block_without_a_prefix_leaves_the_chosen_one(lines):
    start_logging_with_thread_info(prefix="mine ")
    with logging_with_thread_info():
        assert shown(lines) == "mine hello"
        with logging_with_thread_info(prefix="inner "):
            assert shown(lines) == "inner hello"
    stop_logging_with_thread_info()
    with logging_with_thread_info():
        assert shown(lines).startswith("[pid ")


def test_a_prefix_that_a_record_cannot_fill_loses_no_record(lines):
    with logging_with_thread_info(prefix="%(native_id)d "):
        lines.handle(logging.makeLogRecord({"msg": "far", "process": 1}))
    assert lines.lines["far"][0].startswith("[pid 1 tid ? ")


# --- what others do meanwhile ----------------------------------------------------------------

CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "plain %(message)s"}},
    "handlers": {"lines": {"()": Lines, "formatter": "plain"}},
    "loggers": {"test_toggle.configured": {"handlers": ["lines"], "propagate": False}},
}


def test_dict_config_while_on(lines):
    lines.setFormatter(FORMATTERS[1])
    start_logging_with_thread_info()
    logging.config.dictConfig(CONFIG)
    configured = logging.getLogger("test_toggle.configured")
    (new,) = configured.handlers
    assert infos(shown(new, logger=configured)) == 1
    assert infos(shown(lines)) == 1  # logging has forgotten it, its logger has not
    stop_logging_with_thread_info()
    assert lines.formatter is FORMATTERS[1]
    assert shown(new, logger=configured) == "plain hello"
    with logging_with_thread_info():
        assert infos(shown(lines)) == 1


def test_basic_config_force_while_on():
    old = Lines(FORMATTERS[1])
    logging.root.addHandler(old)
    start_logging_with_thread_info()
    new = Lines()
    logging.basicConfig(force=True, handlers=[new], format="basic %(message)s")
    assert infos(shown(new, logger=logging.root)) == 1
    stop_logging_with_thread_info()
    assert old.formatter is FORMATTERS[1]
    assert shown(new, logger=logging.root) == "basic hello"


def test_another_wraps_handle_meanwhile(lines):
    calls = []
    start_logging_with_thread_info()
    ours = logging.Handler.handle

    def wrapping(self, record):
        calls.append(record)
        return ours(self, record)

    logging.Handler.handle = wrapping
    for _ in range(3):
        stop_logging_with_thread_info()
        assert logging.Handler.handle is wrapping
        assert lines.formatter is None
        assert shown(lines) == "hello"
        start_logging_with_thread_info()
        del calls[:]
        assert infos(shown(lines)) == 1
        assert len(calls) == len(log.handlers)  # pytest's are there, too
    stop_logging_with_thread_info()
    logging.Handler.handle = ORIGINALS["handle"]


def test_stop_in_the_middle_of_a_format(lines):
    """logging reads a handler's formatter twice, which we may set back to None in between."""

    class Stops(Lines):
        stopping = False

        @property
        def formatter(self):
            found = self.__dict__["formatter"]
            if self.stopping:
                self.stopping = False
                stop_logging_with_thread_info()
            return found

        @formatter.setter
        def formatter(self, value):
            self.__dict__["formatter"] = value

        def emit(self, record):
            self.stopping = True
            super().emit(record)

    handler = Stops()
    start_logging_with_thread_info()
    handler.handle(logging.makeLogRecord({"msg": "hello"}))
    assert handler.lines == {"hello": ["hello"]}
    assert_restored()


# --- no deadlock -----------------------------------------------------------------------------


def toggle_once():
    start_logging_with_thread_info()
    stop_logging_with_thread_info()


def toggle_block():
    with logging_with_thread_info():
        pass


def test_a_handler_that_dies_meanwhile_against_dict_config(lines, no_wait_given_up):
    """logging takes its lock when a handler dies; dictConfig holds it and sets formatters."""
    dying = threading.Event()

    class Dies(Lines):
        @property
        def formatter(self):
            return None

        @formatter.setter
        def formatter(self, value):
            if value is not None:
                kept.clear()  # now the toggle holds the last reference
                dying.set()

    kept = [Dies()]
    with ThreadPoolExecutor(1) as pool:
        with logging_lock():
            started = pool.submit(start_logging_with_thread_info)
            assert dying.wait(10)
            lines.setFormatter(FORMATTERS[1])
        started.result(10)
    assert infos(shown(lines)) == 1


def test_start_and_stop_against_dict_config(lines, switch_often, no_wait_given_up):
    with running(toggle_once, toggle_block, lambda: log.warning("meanwhile")):
        for _ in range(100):
            logging.config.dictConfig(CONFIG)
    assert_restored()
    assert lines.formatter is None


FORK_WHILE_OTHERS_LOG_AND_TOGGLE = """
import logging, os, select, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, 3.12+: that is the test
import threadlog
from threadlog import identity
class Lines(logging.Handler):
    line = ""
    def emit(self, record):
        self.line = self.format(record)
lines = Lines()
log = logging.getLogger("forks")
log.addHandler(lines)
log.propagate = False
sys.setswitchinterval(1e-5)
ended = False
def keep(what):
    while not ended:
        what()
def toggle():
    threadlog.start_logging_with_thread_info()
    threadlog.stop_logging_with_thread_info()
def in_child():
    threadlog.start_logging_with_thread_info()
    log.warning("child")
    assert identity.current().thread_info in lines.line, lines.line
    threadlog.stop_logging_with_thread_info()
    log.warning("child")
    assert lines.line == "child", lines.line
    assert lines.formatter is None
busy = [toggle] + [lambda: log.warning("meanwhile")] * 2
threads = [threading.Thread(target=keep, args=(what,)) for what in busy]
for thread in threads:
    thread.start()
hung = failed = 0
for _ in range(50):
    pid = os.fork()
    if pid == 0:
        try:
            in_child()
            os._exit(0)
        finally:
            os._exit(1)
    with open(os.pidfd_open(pid), "rb") as end:
        if not select.select([end], [], [], 5)[0]:
            hung += 1
            os.kill(pid, signal.SIGKILL)
    failed += os.waitpid(pid, 0)[1] != 0
    if failed:
        break
ended = True
for thread in threads:
    thread.join()
print("hung", hung, "failed", failed)
"""


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="a free-threaded build's child may hang, see docs/explanation.md",
)
def test_fork_while_others_log_and_toggle():
    # In an interpreter that nobody measures: a fork strands the lock of coverage's tracer.
    assert run(FORK_WHILE_OTHERS_LOG_AND_TOGGLE).stdout == "hung 0 failed 0\n"


def test_a_signal_handler_that_logs_and_toggles():
    # Elsewhere: pytest-timeout owns this process's timer.
    code = """if True:
        import logging, signal, time
        from threadlog import logging_with_thread_info, start_logging_with_thread_info
        from threadlog import stop_logging_with_thread_info, is_logging_with_thread_info
        handle = logging.Handler.handle
        class Sink(logging.Handler):
            def emit(self, record):
                self.format(record)
        sink = Sink()
        logging.root.addHandler(sink)
        count = 0
        def on_signal(number, frame):
            global count
            count += 1
            with logging_with_thread_info():
                logging.warning("in the handler")
            (start_logging_with_thread_info, stop_logging_with_thread_info)[count % 2]()
        signal.signal(signal.SIGALRM, on_signal)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        while count < 500:
            start_logging_with_thread_info()
            logging.warning("outside")
            with logging_with_thread_info():
                stop_logging_with_thread_info()
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop_logging_with_thread_info()
        assert not is_logging_with_thread_info()
        assert sink.formatter is None
        assert logging.Handler.handle is handle
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15)
    assert run.returncode == 0, run.stderr


def test_a_finalizer_that_logs_and_toggles(lines):
    ended = []

    class Finalized:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            log.warning("finalized")
            toggle_block()
            ended.append(1)

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        with running(toggle_once):
            for _ in range(300):
                Finalized()
                toggle_block()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(ended) == 300
    assert_restored()
    assert lines.formatter is None


@pytest.mark.parametrize(
    "extra",
    [
        {"native_id": 7},
        {"thread_info": ["a"]},
        {"thread_info": 5},
        {"thread_info": None},
        {"thread_info": "mine", "native_id": 7},
        {"work_item": 3},
    ],
)
@pytest.mark.parametrize("is_fast", [False, True])
def test_fields_of_the_programs_own_are_kept_and_lose_no_record(extra, is_fast):
    stream = io.StringIO()
    logger = logging.Logger("own")
    logger.addHandler(logging.StreamHandler(stream))
    with contextlib.ExitStack() as stack:
        stack.enter_context(logging_with_thread_info())
        if is_fast:
            stack.enter_context(fast_logging())
        for _ in range(3):
            logger.warning("hello", extra=extra)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("[") and line.endswith("hello") for line in lines)
    assert len(set(lines)) == 1


def test_a_prefix_without_fields_is_not_doubled():
    stream = io.StringIO()
    logger = logging.Logger("own")
    logger.addHandler(logging.StreamHandler(stream))
    with logging_with_thread_info(prefix=">> "):
        for _ in range(3):
            logger.warning(">> hello")
            logger.warning("hello")
    assert stream.getvalue() == ">> hello\n" * 6


RECURSIVE = """
import logging, sys, threadlog

class Logs:
    calls = 0
    def __str__(self):
        Logs.calls += 1
        logging.info("%s", self)
        return "text"

logging.raiseExceptions = False
logging.basicConfig(level=logging.INFO, stream=open("/dev/null", "w"))
threadlog.start_logging_with_thread_info({prefix})
if "fast" in {mode!r}:
    threadlog.start_fast_logging()
sys.setrecursionlimit(250)
try:
    logging.info("%s", Logs())
except RecursionError:
    pass
print(Logs.calls)
"""


@pytest.mark.parametrize("prefix", ["", "prefix='%(threadName)s %(thread)d '"])
@pytest.mark.parametrize("mode", ["", "fast"])
def test_a_message_that_logs_itself_ends(prefix, mode):
    done = run(RECURSIVE.format(prefix=prefix, mode=mode))
    assert done.stderr == ""
    assert int(done.stdout) < 1000
