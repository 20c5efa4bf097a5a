"""do_threaded_work and iter_threaded_work. First the 20 defects of the first version.

The order of events is made by barriers and events, never by sleeping.
"""

from __future__ import annotations

import contextvars
import io
import itertools
import logging
import os
import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_mock import MockerFixture

import threadlog
from threadlog import ThreadedWorker, WorkError, do_threaded_work, iter_threaded_work

WAIT = 15  # seconds, for what happens at once
LOG = "threadlog.workers"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class NotTrueNorFalse:
    """As a numpy array is."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Fatal(BaseException):
    pass


def into_list(*args: Any, **kwargs: Any) -> list[Any]:
    return list(iter_threaded_work(*args, **kwargs))


both = pytest.mark.parametrize("work", [do_threaded_work, into_list])
any_order = pytest.mark.parametrize("ordered", [True, False])


def odd_fails(item: int) -> int:
    if item % 2:
        raise ValueError(item)
    return item * 10


def backwards(count: int) -> Callable[[int], int]:
    """A work function whose items end in the opposite order: each waits for the next one."""
    ended = [threading.Event() for _ in range(count + 1)]
    ended[count].set()

    def work(item: int) -> int:
        assert ended[item + 1].wait(WAIT)
        ended[item].set()
        return item

    return work


class Stopping:
    """A work function whose first item fails, while the second is certainly under way.

    The second ends only when the run is certainly stopped: the failure is logged, or the first
    one's thread has ended.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.begun: list[int] = []
        self.finished: list[int] = []
        self.both = threading.Barrier(2)
        self.first: threading.Thread | None = None
        self.logged = threading.Event()

    def on_log(self, record: logging.LogRecord) -> bool:
        self.logged.set()
        return True

    def __call__(self, item: int) -> int:
        self.begun.append(item)
        if item == 0:
            self.first = threading.current_thread()
            logging.getLogger(LOG).addFilter(self.on_log)
            self.both.wait(WAIT)
            raise self.error
        if item == 1:
            self.both.wait(WAIT)
            assert self.first is not None
            if isinstance(self.error, Exception):
                assert self.logged.wait(WAIT)
            else:
                self.first.join(WAIT)
            logging.getLogger(LOG).removeFilter(self.on_log)
        self.finished.append(item)
        return item


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    handler = Records()
    level = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(1)
    yield handler.records
    logging.root.setLevel(level)
    logging.root.removeHandler(handler)


@pytest.fixture
def streams() -> Iterator[list[logging.StreamHandler[io.StringIO]]]:
    """Two handlers on the root logger, each with a formatter of its own, and one on another."""
    handlers = [logging.StreamHandler(io.StringIO()) for _ in range(3)]
    loggers = [logging.root, logging.root, logging.getLogger("another.library")]
    for handler, logger in zip(handlers, loggers, strict=True):
        handler.setFormatter(logging.Formatter("<%(message)s>"))
        logger.addHandler(handler)
    yield handlers
    for handler, logger in zip(handlers, loggers, strict=True):
        logger.removeHandler(handler)


# The defects of the first version


@both
def test_defect_01_order_is_kept(work: Any) -> None:
    assert work(range(4), backwards(4), 4) == [0, 1, 2, 3]


@both
@any_order
@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
def test_defect_02_falsy_and_array_results_are_kept(
    work: Any, ordered: bool, on_error: str
) -> None:
    given = [0, "", None, [], False, NotTrueNorFalse(), ValueError("a result")]
    results = work(given, lambda item: item, 1, 1, ordered, on_error=on_error)
    assert list(map(id, results)) == list(map(id, given))


def test_defect_03_failed_items_can_be_told() -> None:
    with pytest.raises(WorkError) as caught:
        do_threaded_work([0, 1, 2], odd_fails, 1)
    assert caught.value.indexes == (1,)
    assert caught.value.results == {0: 0}
    returned = do_threaded_work([0, 1, 2], odd_fails, on_error="return")
    assert (returned[0], repr(returned[1]), returned[2]) == (0, "ValueError(1)", 20)


@both
def test_defect_04_system_exit_is_not_swallowed(work: Any) -> None:
    with pytest.raises(SystemExit, match="7"):
        work([7], sys.exit)


def idle_worker(**kwargs: Any) -> ThreadedWorker:
    """A service worker that has waited for work in vain several times."""
    idle = threading.Event()

    class Todo(queue.Queue[int]):
        waits = 0

        def get(self, block: bool = True, timeout: float | None = None) -> int:
            try:
                return super().get(block, timeout)
            except queue.Empty:
                self.waits += 1
                if self.waits == 3:
                    idle.set()
                raise

    worker = ThreadedWorker(Todo(), queue.Queue(), odd_fails, False, 0.01, **kwargs)
    worker.start()
    assert idle.wait(WAIT)
    return worker


def test_defect_05_an_idle_worker_lives_on() -> None:
    worker = idle_worker()
    worker.work_queue.put(4)
    assert worker.result_queue.get(timeout=WAIT) == 40
    worker.stop()
    worker.join(WAIT)


def test_defect_06_queue_join_waits_for_the_results() -> None:
    todo: queue.Queue[int] = queue.Queue()
    done: queue.Queue[int] = queue.Queue()
    workers = [ThreadedWorker(todo, done, odd_fails, False, 0.01) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(20):
        for item in range(0, 100, 2):
            todo.put(item)
        todo.join()
        assert sorted(done.get_nowait() for _ in range(50)) == list(range(0, 1000, 20))
    for worker in workers:
        worker.stop()
        worker.join(WAIT)


def test_defect_07_workers_may_start_before_the_queue_is_filled() -> None:
    asked = threading.Event()

    class Todo(queue.Queue[int]):
        def get(self, block: bool = True, timeout: float | None = None) -> int:
            if asked.is_set():
                raise queue.Empty  # the end; no need to wait for it here
            asked.set()
            return super().get(block, timeout)

    todo, done = Todo(), queue.Queue[int]()
    worker = ThreadedWorker(todo, done, odd_fails, queue_timeout=WAIT)
    worker.start()
    assert asked.wait(WAIT)
    todo.put(2)
    worker.join(WAIT)
    assert (list(done.queue), todo.unfinished_tasks) == ([20], 0)


def test_defect_08_the_queue_is_never_asked_whether_it_is_empty() -> None:
    class Todo(queue.Queue[int]):
        def empty(self) -> bool:
            return False  # as it may be when another worker takes the last item right after

    todo, done = Todo(), queue.Queue[int]()
    todo.put(2)
    workers = [ThreadedWorker(todo, done, odd_fails, queue_timeout=0.01) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WAIT)
        assert not worker.is_alive()
    assert (list(done.queue), todo.unfinished_tasks) == ([20], 0)


def test_defect_09_a_full_result_queue_loses_nothing() -> None:
    refused = threading.Event()

    class Done(queue.Queue[int]):
        def put(self, item: int, block: bool = True, timeout: float | None = None) -> None:
            try:
                super().put(item, block, timeout)
            except queue.Full:
                refused.set()
                raise

    todo, done = queue.Queue[int](), Done(1)
    for item in (0, 2):
        todo.put(item)
    worker = ThreadedWorker(todo, done, odd_fails, queue_timeout=0.01)
    worker.start()
    assert refused.wait(WAIT)
    assert todo.unfinished_tasks == 1
    assert [done.get(timeout=WAIT), done.get(timeout=WAIT)] == [0, 20]
    worker.join(WAIT)
    assert (todo.unfinished_tasks, worker.errors) == (0, [])


def test_defect_10_threads_are_few_and_never_a_negative_number(mocker: MockerFixture) -> None:
    mocker.patch("os.cpu_count", return_value=2)
    names = do_threaded_work(range(500), lambda item: threading.current_thread().name)
    assert set(names) <= {f"worker-{number}" for number in range(1, 7)}
    with pytest.raises(ValueError, match="num_threads must be at least 1, not -1"):
        do_threaded_work([1], odd_fails, -1)


@both
@pytest.mark.parametrize("given", [iter([3, 1, 2]), {3: 0, 1: 0, 2: 0}, (n for n in (3, 1, 2)), ()])
def test_defect_11_any_iterable_will_do(work: Any, given: Any) -> None:
    given, expected = itertools.tee(given)
    assert work(given, str) == [str(item) for item in expected]
    assert set(work({3, 1, 2}, str)) == {"1", "2", "3"}


def test_defect_12_every_handler_is_dressed(streams: list[Any]) -> None:
    do_threaded_work([5], lambda item: logging.getLogger("another.library").warning("hello"))
    for handler in streams:
        assert handler.stream.getvalue().endswith("worker-1 item 0] <hello>\n")


def test_defect_13_the_format_is_restored(streams: list[Any]) -> None:
    formatters = [handler.formatter for handler in streams]
    do_threaded_work([0], odd_fails)
    assert [handler.formatter for handler in streams] == formatters


def test_defect_14_concurrent_calls_leave_each_other_the_format(streams: list[Any]) -> None:
    formatters = [handler.formatter for handler in streams]
    inside, go_on = threading.Event(), threading.Event()

    def outer(item: int) -> None:
        inside.set()
        assert go_on.wait(WAIT)
        logging.warning("after the other call")

    caller = threading.Thread(target=do_threaded_work, args=([0], outer))
    caller.start()
    assert inside.wait(WAIT)
    do_threaded_work([0], odd_fails)
    go_on.set()
    caller.join(WAIT)
    assert "item 0] <after the other call>" in streams[0].stream.getvalue()
    assert [handler.formatter for handler in streams] == formatters


@both
@pytest.mark.parametrize("error", [ValueError(), SystemExit(), Fatal()])
def test_defect_15_the_toggle_is_off_after_an_error(
    work: Any, error: BaseException, streams: list[Any]
) -> None:
    formatters = [handler.formatter for handler in streams]
    with pytest.raises((WorkError, type(error))):
        work([0, 1], Stopping(error), 2)
    assert not threadlog.is_logging_with_thread_info()
    assert [handler.formatter for handler in streams] == formatters


def test_defect_16_no_handlers_are_needed_and_none_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    assert do_threaded_work([2], odd_fails) == [20]
    assert logging.root.handlers == []


def test_defect_17_a_record_says_which_thread_of_which_process(
    records: list[logging.LogRecord],
) -> None:
    ids = do_threaded_work(
        range(3), lambda item: (logging.info("hello"), threading.get_native_id())[1], 1, name="sum"
    )
    assert {record.thread_info for record in records} == {  # type: ignore[attr-defined]
        f"pid {os.getpid()} tid {ids[0]} sum-1 item {item}" for item in range(3)
    }
    first = records[0].thread_number  # type: ignore[attr-defined]
    do_threaded_work([0], lambda item: logging.info("another thread"))
    assert records[-1].thread_number > first  # type: ignore[attr-defined]


def test_defect_18_results_are_never_rendered(records: list[logging.LogRecord]) -> None:
    results = do_threaded_work([1, 2], lambda item: Unprintable(), 1)
    assert len(results) == 2
    assert records == []


def test_defect_19_own_logger_and_no_warning_about_idleness(
    records: list[logging.LogRecord],
) -> None:
    worker = idle_worker()
    worker.stop()
    worker.join(WAIT)
    assert records == []
    do_threaded_work([1], odd_fails, on_error="skip")
    assert [record.name for record in records] == [LOG]


@both
def test_defect_20_workers_are_joined_and_no_daemons(work: Any) -> None:
    threads = work(range(6), lambda item: threading.current_thread(), 3)
    assert not any(thread.daemon or thread.is_alive() for thread in threads)
    assert not ThreadedWorker(queue.Queue(), queue.Queue(), odd_fails).daemon


# Errors of work items


@both
def test_raise_finishes_what_is_under_way_and_begins_nothing_more(work: Any) -> None:
    func = Stopping(ValueError("first"))
    with pytest.raises(WorkError, match=r"1 of the work items failed \(index 0\)") as caught:
        work(range(50), func, 2)
    assert sorted(func.begun) == [0, 1]
    assert caught.value.exceptions == (func.error,)
    assert (caught.value.indexes, caught.value.results) == ((0,), {1: 1})


@both
@any_order
def test_raise_tells_every_failure(work: Any, ordered: bool) -> None:
    both_run = threading.Barrier(2)

    def fail(item: int) -> None:
        both_run.wait(WAIT)
        raise ValueError(item)

    with pytest.raises(WorkError) as caught:
        work(range(2), fail, 2, 1, ordered)
    told = dict(zip(caught.value.indexes, map(repr, caught.value.exceptions), strict=True))
    assert told == {0: "ValueError(0)", 1: "ValueError(1)"}
    assert caught.value.results == {}


@both
@any_order
def test_return_and_skip_go_on(work: Any, ordered: bool) -> None:
    returned = work(range(5), odd_fails, 1, 1, ordered, on_error="return")
    assert list(map(repr, returned)) == ["0", "ValueError(1)", "20", "ValueError(3)", "40"]
    assert work(range(5), odd_fails, 1, 1, ordered, on_error="skip") == [0, 20, 40]


@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
def test_an_exception_that_is_false_is_an_error_still(on_error: str) -> None:
    class False_(ExceptionGroup):  # noqa: N801
        __bool__ = NotTrueNorFalse.__bool__

    error = False_("group", [ValueError()])

    def fail(item: int) -> None:
        raise error

    if on_error == "raise":
        with pytest.raises(WorkError) as caught:
            do_threaded_work([0], fail)
        assert caught.value.exceptions == (error,)
    else:
        expected = [error] if on_error == "return" else []
        assert do_threaded_work([0], fail, on_error=on_error) == expected  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
def test_a_failure_is_logged_once(
    work: Any, on_error: Any, records: list[logging.LogRecord]
) -> None:
    try:
        work([0, 1], odd_fails, 1, on_error=on_error)
    except WorkError:
        assert on_error == "raise"
    (record,) = records
    assert (record.name, record.levelname) == (LOG, "ERROR")
    assert record.getMessage() == "work item 1 failed"
    assert record.work_item == 1  # type: ignore[attr-defined]
    assert record.threadName == "worker-1"
    assert record.exc_info is not None
    trace = record.exc_info[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert trace.tb_frame.f_code is odd_fails.__code__


@both
@pytest.mark.parametrize("closed", [False, True])
def test_a_logging_filter_that_raises_loses_no_item(
    work: Any, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("in the filter")

    stderr = io.StringIO()
    if closed:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(logging.getLogger(LOG), "filters", [fail])
    returned = work([1, 2], odd_fails, 1, on_error="return")
    assert list(map(repr, returned)) == ["ValueError(1)", "20"]
    assert closed or "in the filter" in stderr.getvalue()


@both
@any_order
@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Fatal()])
def test_a_base_exception_stops_the_run(
    work: Any, ordered: bool, on_error: Any, error: BaseException
) -> None:
    func = Stopping(error)
    with pytest.raises(type(error)) as caught:
        work(range(50), func, 2, 1, ordered, on_error=on_error)
    assert caught.value is error
    assert sorted(func.begun) == [0, 1]
    assert func.finished == [1]


def test_a_base_exception_wakes_the_caller_at_once() -> None:
    with pytest.raises(Fatal):
        next(iter_threaded_work([0, 1], Stopping(Fatal()), 2, 3600))


CTRL_C = """
    import logging, signal, sys, threading
    from threadlog import do_threaded_work, iter_threaded_work
    import threadlog.workers

    main = threading.main_thread()
    both = threading.Barrier(2)
    begun, finished, threads = [], [], {}

    def caller():
        names, frame = set(), sys._current_frames()[main.ident]
        while frame is not None:
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        return names

    def waits():
        return "start" not in caller() and not caller().isdisjoint({"wait", "join"})

    def stopped():
        # The caller waits for the threads, and is on its way out.
        return {"__exit__", "join"} <= caller()

    def work(item):
        begun.append(item)
        me = threading.current_thread()
        threads[me.name] = me
        both.wait(15)
        if item == 0:
            while not waits():
                pass
            signal.pthread_kill(main.ident, signal.SIGINT)
        while not stopped():
            pass
        if me.name == "worker-1":  # still under way: a caller that does not wait for it is seen
            threads["worker-2"].join(15)
            threading.Event().wait(0.1)
        finished.append(item)

    try:
        list(FUNC(range(100), work, 2))
    except KeyboardInterrupt:
        print(sorted(begun), sorted(finished), threading.enumerate() == [main])
"""


@pytest.mark.parametrize("func", ["do_threaded_work", "iter_threaded_work"])
def test_ctrl_c_in_the_caller_stops_the_run(func: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CTRL_C).replace("FUNC", func)],
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert (ran.stdout, ran.stderr) == ("[0, 1] [0, 1] True\n", "")


# Arguments


@pytest.mark.parametrize("work", [do_threaded_work, iter_threaded_work])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"num_threads": 0}, ValueError, "num_threads must be at least 1, not 0"),
        ({"num_threads": -3}, ValueError, "num_threads"),
        ({"num_threads": 2.0}, TypeError, "num_threads must be a whole number"),
        ({"num_threads": "2"}, TypeError, "num_threads"),
        ({"num_threads": True}, TypeError, "num_threads"),
        ({"per_sync_timeout": 0}, ValueError, "per_sync_timeout must be more than 0"),
        ({"per_sync_timeout": -1}, ValueError, "per_sync_timeout"),
        ({"per_sync_timeout": float("nan")}, ValueError, "per_sync_timeout"),
        ({"per_sync_timeout": float("inf")}, ValueError, "per_sync_timeout"),
        ({"per_sync_timeout": "1"}, TypeError, "per_sync_timeout must be a number of seconds"),
        ({"per_sync_timeout": True}, TypeError, "per_sync_timeout"),
        ({"on_error": "ignore"}, ValueError, "on_error must be one of 'raise', 'return', 'skip'"),
        ({"on_error": None}, ValueError, "on_error"),
        ({"work_func": 3}, TypeError, "work_func must be callable with one item, not 3"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(
    work: Any, wrong: Any, error: Any, message: str, mocker: MockerFixture
) -> None:
    start = mocker.spy(threading.Thread, "start")
    items = iter([1, 2])
    with pytest.raises(error, match=message):
        work(items, **{"work_func": odd_fails, **wrong})
    assert list(items) == [1, 2]
    assert not start.called
    assert not threadlog.is_logging_with_thread_info()


@pytest.mark.parametrize(("window", "error"), [(0, ValueError), (1.5, TypeError)])
def test_a_wrong_window_is_refused_at_the_call(window: Any, error: Any) -> None:
    with pytest.raises(error, match="window"):
        iter_threaded_work([], odd_fails, window=window)


@pytest.mark.parametrize("work", [do_threaded_work, iter_threaded_work])
def test_what_is_no_iterable_is_refused_at_the_call(work: Any) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        work(3, odd_fails)


# Threads


@both
def test_a_thread_that_cannot_be_started(work: Any, mocker: MockerFixture) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def third_fails(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    mocker.patch.object(threading.Thread, "start", third_fails)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        work(range(10), odd_fails, 4, on_error="skip")
    assert [thread.is_alive() for thread in started] == [False, False]
    assert not threadlog.is_logging_with_thread_info()


@both
def test_as_many_threads_as_asked_for_work_at_once(work: Any) -> None:
    together = threading.Barrier(4)
    assert sorted(work(range(4), lambda item: together.wait(WAIT), 4)) == [0, 1, 2, 3]


def test_no_more_threads_than_items(mocker: MockerFixture) -> None:
    start = mocker.spy(threading.Thread, "start")
    do_threaded_work([2, 4], odd_fails, 30)
    assert start.call_count == 2


def test_completion_order() -> None:
    threads: dict[int, threading.Thread] = {}
    begun = threading.Barrier(4)

    def work(item: int) -> int:
        threads[item] = threading.current_thread()
        begun.wait(WAIT)
        if item < 3:
            threads[item + 1].join(WAIT)  # then it has delivered
        return item

    assert do_threaded_work(range(4), work, 4, 1, False) == [3, 2, 1, 0]


@both
def test_each_item_runs_in_its_own_copy_of_the_callers_context(work: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    def change(item: int) -> str:
        was = variable.get()
        variable.set(f"item {item}")
        return was

    token = variable.set("caller")
    assert work(range(3), change, 1) == ["caller"] * 3
    assert variable.get() == "caller"
    variable.reset(token)


@both
def test_a_librarys_record_carries_item_and_context(
    work: Any, records: list[logging.LogRecord]
) -> None:
    with threadlog.logging_context(request="abc"):
        work("xy", logging.getLogger("another.library").warning, 1, name="fetch")
    told = [(r.getMessage(), r.work_item, r.log_context, r.threadName) for r in records]  # type: ignore[attr-defined]
    assert told == [(item, index, {"request": "abc"}, "fetch-1") for index, item in enumerate("xy")]


@both
def test_thread_info_may_be_left_off(work: Any, streams: list[Any]) -> None:
    work([0], lambda item: logging.warning("hello"), thread_info=False)
    assert streams[0].stream.getvalue() == "<hello>\n"


@both
def test_calls_nest(work: Any, records: list[logging.LogRecord]) -> None:
    def inner(item: int) -> int:
        logging.info("inner")
        return item + 1

    def outer(item: int) -> int:
        total = sum(work(range(item), inner, 2, name="inner"))
        logging.info("outer")
        return total

    assert work(range(4), outer, 2) == [0, 1, 3, 6]
    items = sorted(r.work_item for r in records if r.msg == "inner")  # type: ignore[attr-defined]
    assert items == [0, 0, 0, 1, 1, 2]
    outer_items = [r.work_item for r in records if r.msg == "outer"]  # type: ignore[attr-defined]
    assert sorted(outer_items) == [0, 1, 2, 3]


# iter_threaded_work


@any_order
@pytest.mark.parametrize("window", [1, 3, 10])
def test_an_endless_source_is_drawn_by_the_window(ordered: bool, window: int) -> None:
    drawn = itertools.count()
    source = (next(drawn) for _ in itertools.repeat(None))
    results = iter_threaded_work(source, odd_fails, 3, 1, ordered, on_error="return", window=window)
    for yielded in range(50):
        next(results)
        # Each look at the count adds one to it.
        assert next(drawn) - yielded <= yielded + window
    results.close()  # type: ignore[attr-defined]


def test_the_window_is_full_before_the_first_result() -> None:
    source = iter(range(100))
    results = iter_threaded_work(source, str, 2, window=7)
    assert next(source) == 0  # nothing is drawn before the first next()
    assert next(results) == "1"
    assert next(source) == 8
    results.close()  # type: ignore[attr-defined]


def test_the_window_is_filled_again_before_each_result() -> None:
    others = threading.Semaphore(0)

    def work(item: int) -> int:
        if item == 0:  # is the last of the first four to be done
            assert all(others.acquire(timeout=WAIT) for _ in range(3))
        others.release()
        return item

    source = iter(range(100))
    results = iter_threaded_work(source, work, 2, window=4)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    assert next(source) == 6
    results.close()  # type: ignore[attr-defined]


def test_an_exception_of_the_source_comes_after_what_was_drawn() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise OSError("source")

    results = iter_threaded_work(source(), str, 2)
    assert [next(results), next(results), next(results)] == ["0", "1", "2"]
    with pytest.raises(OSError, match="source"):
        next(results)
    with pytest.raises(WorkError, match="index 0"):
        list(iter_threaded_work(source(), lambda item: 1 // item, 2))


def test_a_source_whose_length_no_integer_holds() -> None:
    assert next(iter_threaded_work(range(2**70), str, 2)) == "0"


def test_the_message_names_ten_indexes_at_most() -> None:
    def work(item: int) -> None:
        barrier.wait(WAIT)
        raise ValueError(item)

    barrier = threading.Barrier(12)
    with pytest.raises(WorkError, match=r"^12 of the work items failed \(index (\d+, ){10}…\)"):
        do_threaded_work(range(12), work, 12)


def test_results_come_as_completed() -> None:
    may_end = [threading.Event() for _ in range(3)]

    def work(item: int) -> int:
        assert may_end[item].wait(WAIT)
        return item

    results = iter_threaded_work(range(3), work, 3, preserve_result_ordering=False)
    for item in (1, 2, 0):
        may_end[item].set()
        assert next(results) == item
    assert list(results) == []


def test_close_finishes_what_is_under_way_and_joins() -> None:
    second = threading.Event()
    closing = threading.Event()
    finished = []

    def work(item: int) -> int:
        if item == 1:
            second.set()
        if item:
            assert closing.wait(WAIT)
        finished.append(item)
        return item

    before = threading.enumerate()
    results = iter_threaded_work(itertools.count(), work, 2)
    assert set(threading.enumerate()) <= set(before)
    assert next(results) == 0
    assert second.wait(WAIT)
    assert threadlog.is_logging_with_thread_info()
    closing.set()
    results.close()  # type: ignore[attr-defined]
    assert 1 in finished
    assert set(threading.enumerate()) <= set(before)
    assert not threadlog.is_logging_with_thread_info()
    assert list(results) == []


def test_close_raises_what_would_be_swallowed() -> None:
    begun, fail = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item:
            begun.set()
            assert fail.wait(WAIT)
            raise Fatal
        return item

    results = iter_threaded_work(range(2), work, 2)
    assert next(results) == 0
    assert begun.wait(WAIT)
    fail.set()
    with pytest.raises(Fatal):
        results.close()  # type: ignore[attr-defined]


def test_an_exception_of_the_source_propagates() -> None:
    def source() -> Iterator[int]:
        yield 0
        yield 2
        raise LookupError("source")

    results = iter_threaded_work(source(), odd_fails, 2, window=1)
    assert [next(results), next(results)] == [0, 20]
    with pytest.raises(LookupError, match="source"):
        next(results)
    with pytest.raises(LookupError, match="source"):
        do_threaded_work(source(), odd_fails)


def test_work_error_is_raised_in_its_place() -> None:
    held = backwards(3)
    all_begun = threading.Barrier(3)

    def work(item: int) -> int:
        all_begun.wait(WAIT)
        held(item)
        return odd_fails(item)

    results = iter_threaded_work(range(3), work, 3)
    assert next(results) == 0
    with pytest.raises(WorkError) as caught:
        next(results)
    assert (caught.value.indexes, caught.value.results) == ((1,), {2: 20})
    assert list(results) == []


def test_each_call_has_the_context_of_its_call() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    token = variable.set(1)
    results = iter_threaded_work([0], lambda item: variable.get())
    variable.reset(token)
    assert list(results) == [1]
