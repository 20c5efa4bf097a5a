"""What it costs to log from child processes: a child's call beside one with a file handler of its
own, and the records per second of four children beside the usual ways into one file.

Targets: a call at most 1.3 times the one with a `logging.FileHandler`, at least 2 times the
records per second of a `multiprocessing.Queue` with `logging`'s queue handler and listener, at
least 4 times those of loguru's `enqueue=True`. `--fast` for a quick look.

A machine that is busy for a while must not be busy for one contender only. So each is measured in
many short rounds, processes of its own for each, in turn: A B C, A B C, … The medians are taken
over all rounds, and the spread of the rounds' own ratios is printed beside the ratio. Each
contender is set up as its documentation recommends. All children are spawned. When the clock has
stopped, all records are looked for in the file; it is an error if one is missing or doubled.

The calls are under pyperf, with a child for each value. A call's seconds are those of the clock,
in the child. It logs in bursts for which the socket has room. In between the child sleeps and the
clock stands still until all is in the file, and for a few milliseconds with every contender. After
a sleep the first calls take many times as long as the others, with all contenders, for the
processor has forgotten the program. So some calls lead in before the clock starts. What the calls
take without a pause is printed apart: a child cannot go on for long faster than its parent. So is
the call less what the logger itself costs with a `logging.NullHandler`, and what a call costs of
the child's processor: where two processes do not really have two processors, as on many rented
machines, the parent's work is in the child's clock. The parent's handler is a
`logging.FileHandler`.

pyperf measures what one process does, over and over. So the records per second are from a
stop-watch. It runs from a signal for which all four children wait until the last record is in the
file. Each child has logged one record before, so that all connections are made. The parent's main
thread looks into the file every few milliseconds, with all contenders alike.
"""

import contextlib
import functools
import itertools
import logging
import logging.handlers
import math
import multiprocessing
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import loguru
import pyperf

import threadlog.handlers

ROUNDS = 20
BURST = 100  # calls: with those that lead in, a socket of Linux has room for them
LEAD = 10  # calls
CALLS = 50 * BURST  # for one value: so that nothing is calibrated
CHILDREN = 4
RATE_ROUNDS = 10
RECORDS = 10_000  # of each of the children
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOGURU_FORMAT = "{time:YYYY-MM-DD HH:mm:ss,SSS} {level} {name}: {message}"
POLL = 0.005  # seconds
WAIT = 60  # seconds: whoever takes longer has failed
# Not /tmp, which may be memory: a log is on a disk.
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else None

Log = Callable[[int, int], None]  # of child, record
Begin = Callable[[], Log]  # called in each child
Results = dict[str, list[list[float]]]  # of each contender, of each round
context: Any = multiprocessing.get_context("spawn")


class LogFile:
    """A file whose lines are counted while it is written."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a+b")  # noqa: SIM115  made here if it is not there yet
        self._lines = 0

    def wait_for(self, lines: int) -> None:
        give_up = time.monotonic() + WAIT
        while True:
            time.sleep(POLL)
            self._lines += self._file.read().count(b"\n")
            if self._lines >= lines:
                return
            if time.monotonic() > give_up:
                raise TimeoutError(f"{lines - self._lines} of {lines} records are missing")

    def close(self) -> None:
        self._file.close()


@contextlib.contextmanager
def child(target: Callable[..., None], *args: object) -> Iterator[Any]:
    """A child that calls *target* with one end of a connection besides. Yields the other end."""
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*args, theirs))
    process.start()
    theirs.close()
    try:
        yield ours
        process.join(WAIT)
    finally:
        process.kill()
        ours.close()


def receive(connection: Any) -> Any:
    if not connection.poll(WAIT):
        raise TimeoutError(f"nothing has come from a child in {WAIT} seconds")
    return connection.recv()


def check(name: str, path: str, pattern: bytes, total: int, *, is_numbered: bool) -> None:
    """See that the file is *total* lines that match, no two of them alike if *is_numbered*."""
    lines = Path(path).read_bytes().splitlines()
    found = [line for line in lines if re.search(pattern, line)]
    different = len({line.partition(b": ")[2] for line in found}) if is_numbered else len(found)
    if not len(lines) == len(found) == different == total:
        raise RuntimeError(
            f"{name}: {total} records were logged, {len(found)} of {len(lines)} lines are such,"
            f" {different} of them different"
        )


# A child's call.

LOGGER, STANDARD, OURS = "logging.NullHandler", "logging.FileHandler", "threadlog, to the parent"


def time_calls(
    name: str, path: str, calls: int, burst: int, clock: Callable[[], float], connection: Any
) -> None:
    """Send how many seconds of *clock* so many calls take, in this process. Whoever has the other
    end tells when each burst may begin.
    """
    if name == STANDARD:
        logging.basicConfig(filename=path, format=FORMAT, level=logging.INFO)
    elif name == LOGGER:
        logging.basicConfig(handlers=[logging.NullHandler()], level=logging.INFO)
    log = logging.getLogger("bench")
    seconds = 0.0
    for _ in range(calls // burst):
        receive(connection)
        for _ in range(LEAD):
            log.info("hello %s %d", "world", 42)
        start = clock()
        for _ in range(burst):
            log.info("hello %s %d", "world", 42)
        seconds += clock() - start
        connection.send(seconds)


def measure(calls: int, name: str, burst: int, clock: Callable[[], float]) -> float:
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = os.path.join(folder, "app.log")
        total = 0
        way: AbstractContextManager[object] = contextlib.nullcontext()
        if name == OURS:
            way = with_threadlog(path, logging.FileHandler)
        with (
            way,
            contextlib.closing(LogFile(path)) as file,
            child(time_calls, name, path, calls, burst, clock) as connection,
        ):
            for _ in range(calls // burst):
                connection.send("go")
                seconds: float = receive(connection)
                total += 0 if name == LOGGER else LEAD + burst
                file.wait_for(total)
        check(name, path, rb" INFO bench: hello world 42$", total, is_numbered=False)
    return seconds


# Four children.


def log_with_logging() -> Log:
    return functools.partial(logging.getLogger("bench").info, "process %d record %d")


@contextlib.contextmanager
def with_threadlog(path: str, cls: Callable[[str], logging.Handler]) -> Iterator[Begin]:
    root, handler = logging.getLogger(), cls(path)
    handler.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    with threadlog.logging_from_children():
        yield log_with_logging
    root.removeHandler(handler)
    handler.close()


def log_with_queue(records: Any) -> Log:
    root = logging.getLogger()
    root.addHandler(logging.handlers.QueueHandler(records))
    root.setLevel(logging.INFO)
    return log_with_logging()


@contextlib.contextmanager
def with_queue(path: str) -> Iterator[Begin]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(FORMAT))
    records = context.Queue()
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()
    yield functools.partial(log_with_queue, records)
    listener.stop()
    handler.close()


def log_with_loguru(logger: Any) -> Log:
    return functools.partial(logger.info, "process {} record {}")


@contextlib.contextmanager
def with_loguru(path: str) -> Iterator[Begin]:
    logger = loguru.logger
    logger.remove()
    logger.add(path, format=LOGURU_FORMAT, enqueue=True, context=context)
    yield functools.partial(log_with_loguru, logger)
    logger.remove()


OURS_STANDARD = "threadlog, logging.FileHandler"
OURS_ALL = "threadlog, threadlog FileHandler"
QUEUE, LOGURU = "logging QueueHandler", "loguru enqueue=True"
CONTENDERS: dict[str, Callable[[str], AbstractContextManager[Begin]]] = {
    OURS_STANDARD: functools.partial(with_threadlog, cls=logging.FileHandler),
    OURS_ALL: functools.partial(with_threadlog, cls=threadlog.handlers.FileHandler),
    QUEUE: with_queue,
    LOGURU: with_loguru,
}


def log_much(number: int, begin: Begin, ready: Any, go: Any, records: int) -> None:
    """In each of the children."""
    log = begin()
    log(number, 0)
    ready.release()
    go.wait(WAIT)
    for record in range(1, records + 1):
        log(number, record)


def one_round(name: str, path: str, records: int, connection: Any) -> None:
    """Send how many seconds the children take. In a process of its own, their parent, that the
    next contender inherits nothing.
    """
    ready, go = context.Semaphore(0), context.Event()
    with CONTENDERS[name](path) as begin, contextlib.closing(LogFile(path)) as file:
        children = [
            context.Process(target=log_much, args=(number, begin, ready, go, records))
            for number in range(CHILDREN)
        ]
        for each in children:
            each.start()
        for _ in children:
            ready.acquire(timeout=WAIT)
        file.wait_for(CHILDREN)
        start = time.perf_counter()
        go.set()
        file.wait_for(CHILDREN * (records + 1))
        connection.send(time.perf_counter() - start)
        for each in children:
            each.join(WAIT)


def records_per_second(name: str, records: int) -> float:
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = os.path.join(folder, "app.log")
        with child(one_round, name, path, records) as connection:
            seconds: float = receive(connection)
        pattern = rb" INFO \w+: process \d record \d+$"
        check(name, path, pattern, CHILDREN * (records + 1), is_numbered=True)
    return CHILDREN * records / seconds


# The report.


def middle(rounds: list[list[float]]) -> float:
    return statistics.median(itertools.chain(*rounds))


def print_ratio(results: Results, ours: str, theirs: str, note: str, less: str = "") -> None:
    """Print how *ours* compares to *theirs*, both without what *less* costs."""

    def ratio(values: dict[str, float]) -> float:
        base = values[less] if less else 0.0
        return (values[ours] - base) / (values[theirs] - base)

    whole = ratio({name: middle(rounds) for name, rounds in results.items()})
    each = [
        ratio(dict(zip(results, map(statistics.median, values), strict=True)))
        for values in zip(*results.values(), strict=True)
    ]
    what = f"{ours} / {theirs}{', both less the logger' if less else ''}"
    print(f"{what}: {whole:.2f}, in the rounds {min(each):.2f} to {max(each):.2f}  ({note})")


def report_rates(records: int, rounds: int) -> None:
    rates: Results = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, values in rates.items():
            values.append([records_per_second(name, records)])
    print(f"\n{CHILDREN} children, {records} records each: medians of {rounds} rounds")
    for name, values in rates.items():
        least, most = min(values)[0], max(values)[0]
        print(f"{name:36} {middle(values):7,.0f} records/s ({least:,.0f} to {most:,.0f})")
    for theirs, target in ((QUEUE, 2), (LOGURU, 4)):
        print_ratio(rates, OURS_STANDARD, theirs, f"target: {target}")
        print_ratio(rates, OURS_ALL, theirs, "for information")


def main() -> None:
    runner = pyperf.Runner(processes=1, values=2, loops=CALLS)
    runner.metadata["description"] = "seconds for one call"
    runner.parse_args()
    fast = runner.args.fast
    runner.args.quiet = not runner.args.verbose  # no word on each round's own spread
    rounds = 1 if fast else ROUNDS  # pyperf's fast runs take 3 processes each
    names = (LOGGER, STANDARD, OURS)
    burst, endless = f"in bursts of {BURST}", f"{CALLS} without a pause"
    ways: dict[str, tuple[int, Callable[[], float], str, Results]] = {
        f"{burst}, by the clock": (BURST, time.perf_counter, "target: 1.3", {}),
        f"{burst}, of its processor": (BURST, time.process_time, "for information", {}),
        f"{endless}, by the clock": (CALLS, time.perf_counter, "for information", {}),
    }
    for number in range(1, rounds + 1):
        for title, (size, clock, _, results) in ways.items():
            for name in names:
                label = f"call, {title}, {name}, round {number}"
                done = runner.bench_time_func(label, measure, name, size, clock)
                if done is not None and not runner.args.worker:
                    results.setdefault(name, []).append(list(done.get_values()))
    if not all(len(results) == len(names) for *_, results in ways.values()):
        return  # one of pyperf's worker processes
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(f"Python {platform.python_version()}, loguru {version('loguru')}")
    print(f"{os.cpu_count()} CPUs, load {load:.1f}")
    for title, (_, _, note, results) in ways.items():
        print(f"\nA child's call, {title}: medians of {rounds} rounds")
        for name, values in results.items():
            print(f"{name:36} {middle(values) * 1e6:6.2f} µs")
        print_ratio(results, OURS, STANDARD, note)
        print_ratio(results, OURS, STANDARD, "for information", less=LOGGER)
    report_rates(*((RECORDS // 5, 3) if fast else (RECORDS, RATE_ROUNDS)))


if __name__ == "__main__":
    main()
