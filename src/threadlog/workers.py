"""do_threaded_work, iter_threaded_work and ThreadedWorker: work items handed to threads.

Every item ends as a result or as an error that the caller sees. All that threads share is
a `queue.SimpleQueue`, a list that is only appended to, and two flags that are only ever set.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import operator
import os
import queue
import threading
import traceback

from threadlog import identity
from threadlog import progress as progress_bar
from threadlog.errors import WorkError
from threadlog.toggle import logging_with_thread_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal, TypeAlias, TypeVar

    T = TypeVar("T")
    R = TypeVar("R")
    OnError: TypeAlias = Literal["raise", "return", "skip"]
    Outcome: TypeAlias = tuple[int, BaseException | None, Any]

_log = logging.getLogger("threadlog.workers")

_ON_ERROR = ("raise", "return", "skip")
# Raised by a queue that was shut down, since Python 3.13.
_SHUT_DOWN: tuple[type[Exception], ...] = (queue.ShutDown,) if hasattr(queue, "ShutDown") else ()

# The outcome of an item that was handed out, and not begun because the run had been stopped.
_NOT_RUN = Exception("not run")
# Delivered by a thread that a BaseException has ended: wakes the caller, who raises it.
_FATAL: Outcome = (-1, None, None)


def do_threaded_work(
    work_items: Iterable[T],
    work_func: Callable[[T], R],
    num_threads: int | None = None,
    per_sync_timeout: float = 1,
    preserve_result_ordering: bool = True,
    *,
    on_error: OnError = "raise",
    thread_info: bool = True,
    name: str | None = None,
    progress: bool = False,
) -> list[R]:
    """Call *work_func* with each of *work_items* in threads, and return the list of results.

    *work_items*: any finite iterable; it is read to its end first, in the calling thread. For
    an endless one see `iter_threaded_work`.
    *num_threads*: None means `min(32, cpu_count + 4, number of items)`; never more than items.
    *per_sync_timeout*: seconds that the caller waits in one piece before it looks for signals.
    It does not limit the work.
    *preserve_result_ordering*: results in the order of the items, else in that of completion.
    *on_error*: what an `Exception` from *work_func* does. `"raise"`: no further item is begun,
    those under way are finished, and one `WorkError` is raised with all failures and the results
    so far. `"return"`: the exception stands in the item's place. `"skip"`: the item is left out.
    Each failure is logged once, with its traceback, by the logger `threadlog.workers`.
    *thread_info*: show who wrote each line, on all handlers, while the work lasts.
    *name*: the threads are called `name-1`, `name-2` …; `worker-1` … by default.
    *progress*: show a bar on a terminal; needs the extra `threadlog[progress]`.

    Each item runs in a copy of the caller's `contextvars` context, and each log line written in it
    carries the item's index as `work_item`. A `BaseException` that is no `Exception` (SystemExit …)
    from *work_func*, and Ctrl-C in the caller, stop the run: items under way are finished, then
    it is raised here. No thread is left running. May be called from any thread, nested, too.
    Raises TypeError or ValueError for wrong arguments before any thread starts.
    """
    threads = _checked(work_func, num_threads, per_sync_timeout, on_error, progress)
    items = list(work_items)
    outcomes: list[Outcome] = []
    run = _Run(work_func, min(threads, len(items)), name, outcomes.append, on_error)
    for numbered in enumerate(items):
        run.todo.put(numbered)
    run.end()
    with contextlib.ExitStack() as stack:
        show = _enter(stack, thread_info, progress, len(items), name)
        pause = min(per_sync_timeout, progress_bar.REFRESH) if progress else per_sync_timeout
        with run:
            for _ in run.threads:
                while not run.ended.acquire(timeout=pause):
                    show(len(outcomes))
            show(len(outcomes))
    if preserve_result_ordering:
        outcomes.sort(key=operator.itemgetter(0))
    if on_error == "raise":
        _raise_failures(outcomes)
    if on_error == "return":
        return [result if error is None else error for _, error, result in outcomes]  # type: ignore[misc]
    return [result for _, error, result in outcomes if error is None]


def iter_threaded_work(
    work_items: Iterable[T],
    work_func: Callable[[T], R],
    num_threads: int | None = None,
    per_sync_timeout: float = 1,
    preserve_result_ordering: bool = True,
    *,
    on_error: OnError = "raise",
    thread_info: bool = True,
    name: str | None = None,
    progress: bool = False,
    window: int | None = None,
) -> Iterator[R]:
    """Do as `do_threaded_work` does, lazily: return a generator of results.

    At most *window* items (default: four for each thread) are drawn from *work_items* and not yet
    yielded, so that *work_items* may be endless, and a slow consumer holds the work up. Items are
    drawn in the thread that iterates, up to the whole window before a result is yielded: for a
    source that waits for its own results take `window=1`. An exception from *work_items* is raised
    when what had been drawn before it has been yielded. The threads start with the first `next()`;
    when the generator ends, fails or is closed, the items under way are finished and the threads
    joined.
    *num_threads*: None means `min(32, cpu_count + 4)`. *thread_info* holds from the first `next()`
    to the end. `WorkError` is raised in the failed item's place; what had been finished beyond it
    is in its `results`. Everything else is as there.
    """
    threads = _checked(work_func, num_threads, per_sync_timeout, on_error, progress)
    if window is None:
        window = 4 * threads
    window = _count("window", window)
    numbered = enumerate(work_items)
    total = None
    if progress:
        with contextlib.suppress(TypeError, OverflowError):
            total = len(work_items)  # type: ignore[arg-type]
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    run = _Run(work_func, threads, name, done.put, on_error)

    def results() -> Iterator[R]:
        under_way = 0
        place = 0  # of the next result
        held: dict[int, Outcome] = {}  # completed, and not yet yielded
        source_error: Exception | None = None
        with contextlib.ExitStack() as stack:
            show = _enter(stack, thread_info, progress, total, name)
            stack.enter_context(run)
            while True:
                while under_way + len(held) < window and not run.stopped and not source_error:
                    try:
                        pair = next(numbered, None)
                    except Exception as failure:  # what is under way comes first
                        source_error, pair = failure, None
                    if pair is None:
                        break
                    run.todo.put(pair)
                    under_way += 1
                index = place if preserve_result_ordering else next(iter(held), -1)
                if index not in held:
                    if not under_way:
                        break
                    outcome = run.wait(done, per_sync_timeout)
                    under_way -= 1
                    held[outcome[0]] = outcome
                    continue
                _, error, result = held[index]
                if error is not None and on_error == "raise":
                    for _ in range(under_way):
                        outcome = run.wait(done, per_sync_timeout)
                        held[outcome[0]] = outcome
                    _raise_failures(held.values())
                del held[index]
                place += 1
                show(place)
                if error is None:
                    yield result
                elif on_error == "return":
                    yield error  # type: ignore[misc]
            if source_error is not None:
                raise source_error

    return results()


class _Run:
    """What the threads of one call share."""

    def __init__(
        self,
        work_func: Callable[[Any], Any],
        num_threads: int,
        name: str | None,
        deliver: Callable[[Outcome], object],
        on_error: OnError,
    ) -> None:
        # (index, item), and None for each thread at the end. Each item has one outcome.
        self.todo: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self.work_func = work_func
        self.deliver = deliver
        self.stop_on_error = on_error == "raise"
        self.stopped = False
        self.fatal: BaseException | None = None
        # One for each thread at its end, for the caller to wait for: up to Python 3.12, a join()
        # that Ctrl-C interrupts takes the running thread for ended, and does not wait again.
        self.ended = threading.Semaphore(0)
        self.context = contextvars.copy_context()
        self.threads = [
            threading.Thread(target=self.work, name=f"{name or 'worker'}-{number}", daemon=False)
            for number in range(1, num_threads + 1)
        ]

    def __enter__(self) -> None:
        try:
            for thread in self.threads:
                thread.start()
        except BaseException as error:  # no more threads to be had, or Ctrl-C
            self.__exit__(type(error))
            raise

    def __exit__(self, kind: type[BaseException] | None, *unused: object) -> None:
        self.stopped = True
        self.end()
        for thread in self.threads:
            if thread.ident is not None:
                thread.join()
        if kind in (None, GeneratorExit):  # nothing else is on its way to the caller
            self.raise_fatal()

    def end(self) -> None:
        for _ in self.threads:
            self.todo.put(None)

    def work(self) -> None:
        work_func, deliver, copy_context = self.work_func, self.deliver, self.context.copy
        try:
            for index, item in iter(self.todo.get, None):
                if self.stopped:
                    deliver((index, _NOT_RUN, None))
                    continue
                context = copy_context()
                try:
                    result = context.run(_call, work_func, index, item)
                except Exception as error:
                    if self.stop_on_error:
                        self.stopped = True
                    context.run(_log_failure, index, error)
                    deliver((index, error, None))
                else:
                    deliver((index, None, result))
        except BaseException as error:
            self.fatal = error
            self.stopped = True
            deliver(_FATAL)
        finally:
            self.ended.release()

    def wait(self, done: queue.SimpleQueue[Outcome], pause: float) -> Outcome:
        while True:
            with contextlib.suppress(queue.Empty):
                outcome = done.get(timeout=pause)
                if outcome is _FATAL:
                    self.raise_fatal()
                return outcome

    def raise_fatal(self) -> None:
        """Raise what ended a thread, SystemExit for example."""
        fatal, self.fatal = self.fatal, None
        if fatal is not None:
            try:
                raise fatal
            finally:
                del fatal  # its traceback holds this frame


def _call(work_func: Callable[[T], R], index: int, item: T) -> R:
    identity.work_item.set(index)
    return work_func(item)


def _log_failure(index: int, error: Exception) -> None:
    try:
        _log.error("work item %d failed", index, exc_info=error)
    except Exception:  # a filter of the user's: logging lets its exceptions through
        if logging.raiseExceptions:
            with contextlib.suppress(Exception):  # no stderr to write to
                traceback.print_exc()


def _raise_failures(outcomes: Iterable[Outcome]) -> None:
    failures = {
        index: error
        for index, error, _ in outcomes
        if isinstance(error, Exception) and error is not _NOT_RUN
    }
    if failures:
        shown = ", ".join(map(str, list(failures)[:10])) + (", …" if len(failures) > 10 else "")
        results = {index: result for index, error, result in outcomes if error is None}
        raise WorkError(
            f"{len(failures)} of the work items failed (index {shown})",
            list(failures.values()),
            list(failures),
            results,
        )


def _enter(
    stack: contextlib.ExitStack,
    thread_info: bool,
    progress: bool,
    total: int | None,
    name: str | None,
) -> Callable[[int], None]:
    """Turn on what goes with the work. Return the function that shows how many items are done."""
    if thread_info:
        stack.enter_context(logging_with_thread_info())
    if progress:
        return stack.enter_context(progress_bar.bar(total, name))
    return lambda _: None


def _checked(
    work_func: object,
    num_threads: int | None,
    per_sync_timeout: float,
    on_error: str,
    progress: bool,
) -> int:
    """Refuse wrong arguments. Return the number of threads."""
    if not callable(work_func):
        raise TypeError(f"work_func must be callable with one item, not {work_func!r}")
    if on_error not in _ON_ERROR:
        raise ValueError(
            f"on_error must be one of {', '.join(map(repr, _ON_ERROR))}, not {on_error!r}"
        )
    _timeout("per_sync_timeout", per_sync_timeout)
    if progress:
        progress_bar.require()
    if num_threads is None:
        return min(32, (os.cpu_count() or 1) + 4)
    return _count("num_threads", num_threads)


def _count(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number of at least 1, not {value!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")
    return number


def _timeout(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"{name} must be more than 0 and at most {threading.TIMEOUT_MAX:.0f} seconds, "
            f"not {value!r}"
        )


class ThreadedWorker(threading.Thread):
    """A thread that takes items from *work_queue* and puts the results in *result_queue*.

    The queues are `queue.Queue`s or have its `get(timeout=)`, `put(item, timeout=)`, `task_done()`.
    *stop_when_work_queue_empty*: end when no item has come for *queue_timeout* seconds, so that
    workers may be started before the queue is filled; False: go on until `stop()` or
    `queue.ShutDown` (3.13).
    *queue_timeout*: seconds that one wait for an item, or for room in a full result queue, lasts
    before the worker looks whether it should stop. It does not limit the work.
    *error_queue*: gets each failure, too, as `(item, exception)`.

    `task_done()` is called once for each item, after its result has been put. A full queue is
    waited for; a result that it did not take within *queue_timeout* after `stop()` becomes a
    failure (`queue.Full`, or `queue.ShutDown`). An `Exception` from *work_func* is logged by
    `threadlog.workers`, kept in `errors`, and the worker goes on. A `BaseException` that is none
    is kept, too, and ends the thread. Each item runs in a copy of the `contextvars` context in
    which the worker was made. The worker's log lines carry as `work_item` its own count of
    items, from 0. It is no daemon unless asked to be: join it.
    """

    errors: list[tuple[Any, BaseException]]

    def __init__(
        self,
        work_queue: queue.Queue[Any],
        result_queue: queue.Queue[Any],
        work_func: Callable[[Any], Any],
        stop_when_work_queue_empty: bool = True,
        queue_timeout: float = 1,
        *,
        error_queue: queue.Queue[tuple[Any, BaseException]] | None = None,
        name: str | None = None,
        daemon: bool = False,
    ) -> None:
        for argument, value, methods in (
            ("work_queue", work_queue, ("get", "task_done")),
            ("result_queue", result_queue, ("put",)),
            ("error_queue", error_queue, ("put",) if error_queue is not None else ()),
        ):
            for method in methods:
                if not callable(getattr(value, method, None)):
                    raise TypeError(
                        f"{argument} must have {method}() as queue.Queue has, not {value!r}"
                    )
        if not callable(work_func):
            raise TypeError(f"work_func must be callable with one item, not {work_func!r}")
        _timeout("queue_timeout", queue_timeout)
        super().__init__(name=name, daemon=daemon)
        self.work_queue = work_queue
        self.result_queue = result_queue
        self.work_func = work_func
        self.stop_when_work_queue_empty = stop_when_work_queue_empty
        self.queue_timeout = queue_timeout
        self.error_queue = error_queue
        self.errors = []
        self._stop_asked = False
        self._item_context = contextvars.copy_context()  # the maker's: a thread begins with none

    def stop(self) -> None:
        """Ask the worker to end: after the item under way, or *queue_timeout* of waiting."""
        self._stop_asked = True

    def should_continue_running(self) -> bool:
        """Return whether the worker goes on to take items."""
        return not self._stop_asked

    def run(self) -> None:
        count = 0
        while self.should_continue_running():
            try:
                item = self.work_queue.get(timeout=self.queue_timeout)
            except _SHUT_DOWN:
                return
            except queue.Empty:
                if self.stop_when_work_queue_empty:
                    return
                continue
            try:
                self._item_context.copy().run(self._work, count, item)
            finally:
                self.work_queue.task_done()
            count += 1

    def _work(self, count: int, item: Any) -> None:
        try:
            result = _call(self.work_func, count, item)
            self._put(self.result_queue, result)
        except BaseException as error:
            self.errors.append((item, error))
            if isinstance(error, Exception):
                _log_failure(count, error)
            if self.error_queue is not None:
                with contextlib.suppress(queue.Full, *_SHUT_DOWN):
                    self._put(self.error_queue, (item, error))
            if not isinstance(error, Exception):
                raise

    def _put(self, target: queue.Queue[Any], value: Any) -> None:
        while True:
            stopping = not self.should_continue_running()
            try:
                target.put(value, timeout=self.queue_timeout)
                return
            except queue.Full:
                if stopping:
                    raise
