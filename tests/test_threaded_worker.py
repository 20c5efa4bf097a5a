"""ThreadedWorker: from one queue into another. See the defects in test_workers.py, too."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from threadlog import ThreadedWorker

WAIT = 15
needs_shutdown = pytest.mark.skipif(not hasattr(queue, "ShutDown"), reason="since Python 3.13")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Watched(queue.Queue[Any]):
    """A queue that counts task_done, and says when it was full."""

    def __init__(self, items: Any = (), maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.done = 0
        self.waiting = threading.Event()
        self.on_done: Callable[[], object] = lambda: None
        for item in items:
            self.put(item)

    def task_done(self) -> None:
        self.done += 1
        self.on_done()
        super().task_done()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        try:
            super().put(item, block, timeout)
        except queue.Full:
            self.waiting.set()
            raise


def halve(item: int) -> int:
    if item % 2:
        raise ValueError(item)
    return item // 2


def run(worker: ThreadedWorker) -> ThreadedWorker:
    worker.start()
    worker.join(WAIT)
    assert not worker.is_alive()
    return worker


def test_task_done_once_for_each_item_and_after_its_result() -> None:
    todo, done = Watched([2, 3, 4]), Watched()
    seen = []
    todo.on_done = lambda: seen.append(list(done.queue))
    run(ThreadedWorker(todo, done, halve, queue_timeout=0.01))
    assert seen == [[1], [1], [1, 2]]
    assert (todo.done, todo.unfinished_tasks) == (3, 0)


@pytest.mark.parametrize("result", [None, 0, "", []])
def test_falsy_results_and_items_are_put(result: Any) -> None:
    done = Watched()
    run(ThreadedWorker(Watched([result]), done, lambda item: item, queue_timeout=0.01))
    assert list(done.queue) == [result]


def test_errors_and_error_queue(caplog: pytest.LogCaptureFixture) -> None:
    errors: queue.Queue[Any] = queue.Queue()
    todo = Watched([4, 3, 1])
    worker = run(ThreadedWorker(todo, Watched(), halve, queue_timeout=0.01, error_queue=errors))
    assert [(item, repr(error)) for item, error in worker.errors] == [
        (3, "ValueError(3)"),
        (1, "ValueError(1)"),
    ]
    assert list(errors.queue) == worker.errors
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("threadlog.workers", "work item 1 failed"),
        ("threadlog.workers", "work item 2 failed"),
    ]
    assert all(record.exc_info for record in caplog.records)


def test_an_error_is_in_the_error_queue_before_task_done() -> None:
    errors: queue.Queue[Any] = queue.Queue()
    todo = Watched([1])
    seen = []
    todo.on_done = lambda: seen.append(errors.qsize())
    run(ThreadedWorker(todo, Watched(), halve, queue_timeout=0.01, error_queue=errors))
    assert seen == [1]


def test_it_waits_for_work_until_stop() -> None:
    todo, done = Watched(), Watched()
    worker = ThreadedWorker(todo, done, halve, False, 0.01, name="service")
    worker.start()
    for item in range(0, 10, 2):
        todo.put(item)
        assert done.get(timeout=WAIT) == item // 2
    assert worker.should_continue_running()
    worker.stop()
    worker.join(WAIT)
    assert not worker.is_alive()
    assert (worker.name, worker.errors, todo.done) == ("service", [], 5)


def test_stop_ends_after_the_item_under_way() -> None:
    todo, done = Watched([1, 2]), Watched()
    worker = ThreadedWorker(todo, done, lambda item: worker.stop() or item)
    run(worker)
    assert list(done.queue) == [1]
    assert (list(todo.queue), todo.unfinished_tasks) == ([2], 1)


def test_stop_with_a_full_result_queue_tells_the_loss(caplog: pytest.LogCaptureFixture) -> None:
    todo, done = Watched([8]), Watched([0], maxsize=1)
    worker = ThreadedWorker(todo, done, halve, queue_timeout=0.01)
    worker.start()
    assert done.waiting.wait(WAIT)
    worker.stop()
    worker.join(WAIT)
    ((item, error),) = worker.errors
    assert (item, type(error)) == (8, queue.Full)
    assert (todo.done, len(caplog.records)) == (1, 1)


def test_stop_with_a_full_error_queue() -> None:
    todo, errors = Watched([1]), Watched([0], maxsize=1)
    worker = ThreadedWorker(todo, Watched(), halve, queue_timeout=0.01, error_queue=errors)
    worker.start()
    assert errors.waiting.wait(WAIT)
    worker.stop()
    worker.join(WAIT)
    assert ([item for item, _ in worker.errors], todo.done) == ([1], 1)


@needs_shutdown
def test_a_shut_down_work_queue_ends_it() -> None:
    todo, done = Watched([2, 4]), Watched()
    todo.shutdown()  # type: ignore[attr-defined]
    worker = run(ThreadedWorker(todo, done, halve, False, 60))
    assert (list(done.queue), worker.errors, todo.done) == ([1, 2], [], 2)


@needs_shutdown
def test_a_shut_down_result_queue_is_told() -> None:
    todo, done, errors = Watched([2]), Watched(), Watched()
    for target in (done, errors):
        target.shutdown()  # type: ignore[attr-defined]
    worker = run(ThreadedWorker(todo, done, halve, queue_timeout=0.01, error_queue=errors))
    ((item, error),) = worker.errors
    assert (item, type(error)) == (2, queue.ShutDown)  # type: ignore[attr-defined]
    assert todo.done == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_base_exception_is_kept_and_ends_it(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))

    def work(item: int) -> None:
        raise error

    todo, errors = Watched([1, 2]), Watched()
    worker = run(ThreadedWorker(todo, Watched(), work, error_queue=errors))
    assert worker.errors == [(1, error)] == list(errors.queue)
    assert (todo.done, list(todo.queue)) == (1, [2])
    assert seen == [error]


def test_each_item_is_counted_and_has_a_context_of_its_own() -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.addFilter(lambda record: seen.append(record))  # type: ignore[arg-type,return-value]
    log = logging.getLogger("another.library")
    log.addHandler(handler)
    import threadlog

    with threadlog.logging_with_thread_info():
        with threadlog.logging_context(job="nightly"):
            worker = ThreadedWorker(Watched("ab"), Watched(), log.warning, queue_timeout=0.01)
        run(worker)
    log.removeHandler(handler)
    assert [r.log_context for r in seen] == [{"job": "nightly"}] * 2  # type: ignore[attr-defined]
    assert [(r.getMessage(), r.work_item) for r in seen] == [("a", 0), ("b", 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"work_queue": [1]}, TypeError, r"work_queue must have get\(\)"),
        ({"work_queue": queue.SimpleQueue()}, TypeError, r"work_queue must have task_done\(\)"),
        ({"result_queue": []}, TypeError, r"result_queue must have put\(\)"),
        ({"error_queue": []}, TypeError, r"error_queue must have put\(\)"),
        ({"work_func": None}, TypeError, "work_func must be callable"),
        ({"queue_timeout": 0}, ValueError, "queue_timeout must be more than 0"),
        ({"queue_timeout": -1}, ValueError, "queue_timeout"),
        ({"queue_timeout": float("nan")}, ValueError, "queue_timeout"),
        ({"queue_timeout": "1"}, TypeError, "queue_timeout must be a number"),
    ],
)
def test_wrong_arguments_are_refused(wrong: Any, error: Any, message: str) -> None:
    right = {"work_queue": queue.Queue(), "result_queue": queue.Queue(), "work_func": halve}
    with pytest.raises(error, match=message):
        ThreadedWorker(**{**right, **wrong})
