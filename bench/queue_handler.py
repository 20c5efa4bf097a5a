"""What a record costs on its way through a queue, beside `logging`'s own queue handler and
listener: its caller, the processor, and the unluckiest callers when the sink is slow.

The sink is a `logging.FileHandler` on both sides. What it is like with threadlog's `FileHandler` on
threadlog's side, as when the class paths are changed everywhere, has rows of its own.

A call's seconds are those of the clock: the caller may have to wait for the queue's lock, or for
the interpreter while the listener has it. It logs in bursts for which the queue has room; in
between the clock stands still until all is written. The handler alone is the call less what the
logger itself costs with a `logging.NullHandler`. A record's seconds are those of the processor, in
all threads, in the program and in the kernel, from the first call until the last record is written.
The very first record, with which a listener may begin, is in neither.

pyperf measures what many calls take together, and cannot tell of one in a thousand. So the
percentiles are from a stop-watch around each call, with a sink that takes a millisecond for each
record: the queue is full nearly all the time. threadlog drops the oldest record then. The standard
handler, whose `queue.Queue` is as large, drops the new one, and prints a traceback for each: here
it does not, for `logging.raiseExceptions` is False.
"""

import contextlib
import functools
import logging
import logging.handlers
import queue
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import contenders as who
import measure
import threadlog.handlers

CALLER = "A call that puts a record in a queue"
ALONE = "The same less what the logger itself costs"
WRITTEN = "A record through a queue until it is written, of the processor"
SLOW = "The 99.9th percentile of calls with a slow sink and a full queue"
ROUNDS = 20
BURST = 4096  # calls, fewer than the capacity
CALLS = 2 * BURST  # for one value
POLL = 0.0005  # seconds
# With the slow sink.
TIMED_ROUNDS = 10
TIMED_CALLS = 20_000
SLOW_CAPACITY = 1000
SLOW_SECONDS = 0.001  # for each record

IsDrained = Callable[[], bool]
# What stands in front of a sink, and whether the sink has had everything.
Way = Callable[[logging.Handler], AbstractContextManager[tuple[logging.Handler, IsDrained]]]
MakeSink = Callable[[str], logging.Handler]  # of a path


@contextlib.contextmanager
def with_nothing(sink: logging.Handler) -> Iterator[tuple[logging.Handler, IsDrained]]:
    yield sink, lambda: True


@contextlib.contextmanager
def with_logging(
    sink: logging.Handler, capacity: int = 0
) -> Iterator[tuple[logging.Handler, IsDrained]]:
    # logging cookbook, "Dealing with handlers that block".
    records: queue.Queue[logging.LogRecord] = queue.Queue(capacity)
    listener = logging.handlers.QueueListener(records, sink)
    listener.start()
    yield logging.handlers.QueueHandler(records), lambda: records.unfinished_tasks == 0
    listener.stop()


@contextlib.contextmanager
def with_threadlog(
    sink: logging.Handler, capacity: int = 10_000, overflow: str = "block", *, fast: bool = False
) -> Iterator[tuple[logging.Handler, IsDrained]]:
    handler = threadlog.handlers.QueueHandler(handlers=[sink], capacity=capacity, overflow=overflow)
    with who.threadlog_on(fast=fast):
        yield handler, lambda: handler.statistics().queued == 0


def null_handler(_: str) -> logging.Handler:
    return logging.NullHandler()


with_fast = functools.partial(with_threadlog, fast=True)
LOGGER = "logging.NullHandler"
FAST_ALL = f"{who.FAST_QUEUE}, and FileHandler"
CONTENDERS: dict[str, tuple[Way, MakeSink]] = {
    LOGGER: (with_nothing, null_handler),
    who.LOGGING_QUEUE: (with_logging, logging.FileHandler),
    who.OURS_QUEUE: (with_threadlog, logging.FileHandler),
    who.FAST_QUEUE: (with_fast, logging.FileHandler),
    FAST_ALL: (with_fast, threadlog.handlers.FileHandler),
}
DROP_OLD = f'{who.FAST_QUEUE}, "drop_old"'
SLOW_CONTENDERS: dict[str, Way] = {
    who.LOGGING_QUEUE: functools.partial(with_logging, capacity=SLOW_CAPACITY),
    DROP_OLD: functools.partial(with_fast, capacity=SLOW_CAPACITY, overflow="drop_old"),
}


@contextlib.contextmanager
def attached(way: Way, sink: logging.Handler) -> Iterator[tuple[logging.Logger, IsDrained]]:
    """A logger whose records take *way* to *sink*, where the first has arrived."""
    with way(sink) as (handler, is_drained), who.attached(handler) as logger:
        handler.setFormatter(None)
        sink.setFormatter(logging.Formatter(who.FORMAT))
        logger.info("hello")
        drain(is_drained)
        yield logger, is_drained
    sink.close()


def drain(is_drained: IsDrained) -> None:
    give_up = time.monotonic() + measure.WAIT
    while not is_drained():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not all is written after {measure.WAIT} seconds")
        time.sleep(POLL)


def log(name: str, is_for_callers: bool, calls: int) -> float:
    """Return how many seconds so many calls take: of the clock, until they have returned, if
    *is_for_callers*, else of the processor, until their records are written.
    """
    way, make_sink = CONTENDERS[name]
    clock = time.perf_counter if is_for_callers else time.process_time
    seconds = 0.0
    with measure.log_path() as path:
        with attached(way, make_sink(path)) as (logger, is_drained):
            for done in range(0, calls, BURST):
                start = clock()
                for _ in range(min(BURST, calls - done)):
                    logger.info("hello %s %d", "world", 42)
                if is_for_callers:
                    seconds += clock() - start
                    drain(is_drained)
                else:
                    drain(is_drained)
                    seconds += clock() - start
        if name != LOGGER:
            measure.expect_lines(name, path, calls + 1)
    return seconds


class SlowSink(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        time.sleep(SLOW_SECONDS)


def time_each(name: str) -> float:
    """Return the 99.9th percentile of the calls, in seconds."""
    if name == who.LOGGING_QUEUE:
        logging.raiseExceptions = False
    took = []
    clock = time.perf_counter_ns
    with attached(SLOW_CONTENDERS[name], SlowSink()) as (logger, is_drained):
        for _ in range(TIMED_CALLS):
            start = clock()
            logger.info("hello %s %d", "world", 42)
            took.append(clock() - start)
        drain(is_drained)  # the standard listener cannot be stopped while its queue is full
    return statistics.quantiles(took, n=1000)[998] / 1e9


def main() -> None:
    runner = measure.runner("seconds for one record")
    quick = runner.args.quick
    rounds, calls = (2, BURST) if quick else (ROUNDS, CALLS)
    callers = measure.under_pyperf(
        runner, "call", {n: functools.partial(log, n, True) for n in CONTENDERS}, rounds, calls
    )
    records = measure.under_pyperf(
        runner,
        "record",
        {n: functools.partial(log, n, False) for n in CONTENDERS if n != LOGGER},
        rounds,
        calls,
    )
    slow = measure.by_stopwatch(
        {n: functools.partial(measure.in_a_process, time_each, n) for n in SLOW_CONTENDERS},
        1 if quick else TIMED_ROUNDS,
    )
    theirs = who.LOGGING_QUEUE
    measure.hand_in(
        runner.args,
        [
            measure.compare(CALLER, callers, who.FAST_QUEUE, theirs, at_most=0.35),
            measure.compare(CALLER, callers, FAST_ALL, theirs),
            measure.compare(CALLER, callers, who.OURS_QUEUE, theirs, at_most=0.6),
            measure.compare(ALONE, callers, who.FAST_QUEUE, theirs, less=LOGGER),
            measure.compare(ALONE, callers, who.OURS_QUEUE, theirs, less=LOGGER),
            measure.compare(WRITTEN, records, who.FAST_QUEUE, theirs),
            measure.compare(WRITTEN, records, FAST_ALL, theirs),
            measure.compare(WRITTEN, records, who.OURS_QUEUE, theirs, at_most=0.5),
            measure.compare(SLOW, slow, DROP_OLD, theirs),
        ],
    )


if __name__ == "__main__":
    main()
