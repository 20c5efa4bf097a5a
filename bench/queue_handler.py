"""What a record costs on its way through a queue, beside `logging`'s own queue handler and
listener: its caller, the processor, and the unluckiest callers when the sink is slow.

Targets: a call at most 0.6 times the standard one, a record until it is written at most 0.5 times,
the 99.9th percentile of the calls below 200 µs with a sink that takes a millisecond for each
record. `--fast` for a quick look.

The first two are under pyperf in one run. A machine that is busy for a while must not be busy for
one contender only. So each is measured in many short rounds, a process for each, in turn: A B C D,
A B C D, … The medians are taken over all rounds, and the spread of the rounds' own ratios is
printed beside the ratio. The sink is a `logging.FileHandler` on both sides. What it is like with
threadlog's `FileHandler` on threadlog's side, as when the class paths are changed everywhere, is
printed apart.

A call's seconds are those of the clock: the caller may have to wait for the queue's lock, or for
the interpreter while the listener has it. It logs in bursts for which the queue has room; in
between the clock stands still until all is written. The handler alone is the call less what the
logger itself costs with a `logging.NullHandler`. A record's seconds are those of the processor, in
all threads, in the program and in the kernel, from the first call until the last record is written.
The very first record, with which a listener may begin, is in neither. All records are looked for in
the file afterwards.

pyperf measures what many calls take together, and cannot tell of one in a thousand. So the
percentiles are from a stop-watch around each call, in alternating rounds too, with a process of its
own for each. There the queue is full nearly all the time. threadlog drops the oldest record then.
The standard handler, whose `queue.Queue` is as large, drops the new one, and prints a traceback for
each: here it does not, for `logging.raiseExceptions` is False, and it is for comparison only.
"""

import contextlib
import functools
import logging
import logging.handlers
import math
import multiprocessing
import os
import platform
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pyperf

import threadlog.handlers

ROUNDS = 20
BURST = 4096  # calls, fewer than the capacity
CALLS = 2 * BURST  # for one value: so that nothing is calibrated
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
POLL = 0.0005  # seconds
WAIT = 60  # seconds: whoever takes longer has failed
# With the slow sink.
TIMED_ROUNDS = 10
TIMED_CALLS = 20_000
SLOW_CAPACITY = 1000
SLOW = 0.001  # seconds for each record
# Not /tmp, which may be memory: a log is on a disk.
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else None

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
    records: queue.Queue[logging.LogRecord] = queue.Queue(capacity)
    listener = logging.handlers.QueueListener(records, sink)
    listener.start()
    yield logging.handlers.QueueHandler(records), lambda: records.unfinished_tasks == 0
    listener.stop()


@contextlib.contextmanager
def with_threadlog(
    sink: logging.Handler, capacity: int = 10_000, overflow: str = "block"
) -> Iterator[tuple[logging.Handler, IsDrained]]:
    handler = threadlog.handlers.QueueHandler(handlers=[sink], capacity=capacity, overflow=overflow)
    yield handler, lambda: handler.statistics().queued == 0


def null_handler(_: str) -> logging.Handler:
    return logging.NullHandler()


LOGGER, STANDARD = "logging.NullHandler", "logging QueueHandler"
OURS, ALL_OURS = "threadlog QueueHandler", "threadlog QueueHandler, FileHandler"
CONTENDERS: dict[str, tuple[Way, MakeSink]] = {
    LOGGER: (with_nothing, null_handler),
    STANDARD: (with_logging, logging.FileHandler),
    OURS: (with_threadlog, logging.FileHandler),
    ALL_OURS: (with_threadlog, threadlog.handlers.FileHandler),
}
SLOW_STANDARD, SLOW_OURS = "logging QueueHandler", 'threadlog QueueHandler, "drop_old"'
SLOW_CONTENDERS: dict[str, Way] = {
    SLOW_STANDARD: functools.partial(with_logging, capacity=SLOW_CAPACITY),
    SLOW_OURS: functools.partial(with_threadlog, capacity=SLOW_CAPACITY, overflow="drop_old"),
}


@contextlib.contextmanager
def attached(way: Way, sink: logging.Handler) -> Iterator[tuple[logging.Logger, IsDrained]]:
    """A logger whose records take *way* to *sink*, where the first has arrived."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    with way(sink) as (handler, is_drained):
        logger.addHandler(handler)
        logger.info("hello")
        drain(is_drained)
        yield logger, is_drained
        logger.removeHandler(handler)
        handler.close()
    sink.close()


def drain(is_drained: IsDrained) -> None:
    give_up = time.monotonic() + WAIT
    while not is_drained():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not all is written after {WAIT} seconds")
        time.sleep(POLL)


def measure(calls: int, name: str, clock: Callable[[], float], is_for_callers: bool) -> float:
    """Return how many seconds of *clock* so many calls take: until they have returned if
    *is_for_callers*, else until their records are written.
    """
    way, make_sink = CONTENDERS[name]
    seconds = 0.0
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = os.path.join(folder, "app.log")
        sink = make_sink(path)
        sink.setFormatter(logging.Formatter(FORMAT))
        with attached(way, sink) as (logger, is_drained):
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
        if isinstance(sink, logging.FileHandler):
            with open(path, "rb") as file:
                missing = calls + 1 - sum(1 for _ in file)
            if missing:
                raise RuntimeError(f"{name}: {missing} of {calls} records are missing")
    return seconds


class SlowSink(logging.Handler):
    """Sleeps, and counts the bench's own records."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(SLOW)
        self.written += record.name == "bench"


def time_each(name: str) -> tuple[float, float, float, int]:
    """Return the median, 99th and 99.9th percentile of one round's calls, in seconds, and how many
    records were dropped.
    """
    if name == SLOW_STANDARD:
        logging.raiseExceptions = False
    sink = SlowSink()
    took = []
    clock = time.perf_counter_ns
    with attached(SLOW_CONTENDERS[name], sink) as (logger, is_drained):
        for _ in range(TIMED_CALLS):
            start = clock()
            logger.info("hello %s %d", "world", 42)
            took.append(clock() - start)
        drain(is_drained)  # the standard listener cannot be stopped while its queue is full
    cuts = statistics.quantiles(took, n=1000)
    return cuts[499] / 1e9, cuts[989] / 1e9, cuts[998] / 1e9, TIMED_CALLS + 1 - sink.written


def report_percentiles(rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    results: dict[str, list[tuple[float, float, float, int]]] = {n: [] for n in SLOW_CONTENDERS}
    for _ in range(rounds):
        for name in SLOW_CONTENDERS:
            with context.Pool(1) as pool:
                results[name].append(pool.apply_async(time_each, (name,)).get(WAIT))
    print(
        f"\nA call by the stop-watch, of {TIMED_CALLS}, {SLOW_CAPACITY} may wait for a sink that "
        f"sleeps {SLOW * 1e3:.0f} ms: medians of {rounds} rounds"
    )
    for name, each in results.items():
        *percentiles, dropped = map(statistics.median, zip(*each, strict=True))
        median, p99, p999 = (seconds * 1e6 for seconds in percentiles)
        least, most = (f([seconds for _, _, seconds, _ in each]) * 1e6 for f in (min, max))
        note = "target: 200" if name == SLOW_OURS else "no tracebacks, for comparison"
        print(
            f"{name:36} median {median:.1f}, 99th {p99:.1f}, 99.9th {p999:.1f} µs, "
            f"in the rounds {least:.0f} to {most:.0f}  ({note}), {dropped:.0f} dropped"
        )


class Rounds:
    """The seconds of one record, of each contender and round."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.values: dict[str, list[float]] = {name: [] for name in names}
        self.medians: dict[str, list[float]] = {name: [] for name in names}

    def run(self, runner: pyperf.Runner, title: str, *args: object) -> None:
        for name in self.values:
            done = runner.bench_time_func(title.format(name), measure, name, *args)
            if done is not None and not runner.args.worker:
                self.values[name] += done.get_values()
                self.medians[name].append(done.median())

    def is_complete(self) -> bool:
        return all(self.values.values())

    def print_seconds(self) -> None:
        for name, values in self.values.items():
            print(f"{name:36} {statistics.median(values) * 1e6:6.2f} µs")

    def print_ratio(self, ours: str, note: str, less: str | None = None) -> None:
        """Print how *ours* compares to the standard one, both without what *less* costs."""

        def ratio(seconds: dict[str, float]) -> float:
            base = seconds[less] if less else 0.0
            return (seconds[ours] - base) / (seconds[STANDARD] - base)

        whole = ratio({name: statistics.median(values) for name, values in self.values.items()})
        each = [
            ratio(dict(zip(self.medians, medians, strict=True)))
            for medians in zip(*self.medians.values(), strict=True)
        ]
        what = f"{ours}, {'the handler alone' if less else 'ratio'}"
        print(f"{what}: {whole:.3f}, in the rounds {min(each):.2f} to {max(each):.2f}  ({note})")


def main() -> None:
    runner = pyperf.Runner(processes=1, values=2, loops=CALLS)
    runner.metadata["description"] = "seconds for one record"
    runner.parse_args()
    runner.args.quiet = not runner.args.verbose  # no word on each round's own spread
    rounds = 1 if runner.args.fast else ROUNDS  # pyperf's fast runs take 3 processes each
    callers = Rounds((LOGGER, STANDARD, OURS, ALL_OURS))
    records = Rounds((STANDARD, OURS, ALL_OURS))
    for number in range(1, rounds + 1):
        callers.run(runner, f"call, {{}}, round {number}", time.perf_counter, True)
        records.run(runner, f"record, {{}}, round {number}", time.process_time, False)
    if not (callers.is_complete() and records.is_complete()):
        return  # one of pyperf's worker processes
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(f"Python {platform.python_version()}, medians of {rounds} rounds, load {load:.1f}")
    print("\nA call, by the clock")
    callers.print_seconds()
    callers.print_ratio(OURS, "target: 0.6")
    callers.print_ratio(ALL_OURS, "for information")
    callers.print_ratio(OURS, "for information", less=LOGGER)
    callers.print_ratio(ALL_OURS, "for information", less=LOGGER)
    print("\nA record until it is written, of the processor")
    records.print_seconds()
    records.print_ratio(OURS, "target: 0.5")
    records.print_ratio(ALL_OURS, "for information")
    report_percentiles(3 if runner.args.fast else TIMED_ROUNDS)


if __name__ == "__main__":
    main()
