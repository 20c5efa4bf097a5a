"""What it costs to log from child processes: a child's call beside one with a file handler of its
own, and the records per second of four children beside the usual ways into one file.

All children are spawned. When the clock has stopped, all records are looked for in the file; it is
an error if one is missing or doubled.

A call's seconds are those of the clock, in the child. It logs in bursts for which the socket has
room. In between the child sleeps and the clock stands still until all is in the file, and for a few
milliseconds with every contender. After a sleep the first calls take many times as long as the
others, with all contenders, for the processor has forgotten the program. So some calls lead in
before the clock starts. What the calls take without a pause has a row of its own: a child cannot go
on for long faster than its parent. So has the call less what the logger itself costs with a
`logging.NullHandler`, and what a call costs of the child's processor: where two processes do not
really have two processors, as on many rented machines, the parent's work is in the child's clock.
The parent's handler is a `logging.FileHandler`.

The records per second are from a signal for which all four children wait until the last record is
in the file. Each child has logged one record before, so that all connections are made. The parent's
main thread looks into the file every few milliseconds, with all contenders alike.
"""

import contextlib
import functools
import logging
import logging.handlers
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import contenders as who
import measure
import threadlog.handlers

ROUNDS = 10
BURST = 100  # calls: with those that lead in, a socket of Linux has room for them
LEAD = 10  # calls
CALLS = 50 * BURST  # for one value
CHILDREN = 4
RATE_ROUNDS = 8
RECORDS = 10_000  # of each of the children
POLL = 0.005  # seconds
context: Any = multiprocessing.get_context("spawn")

Log = Callable[[int, int], None]  # of child, record
Begin = Callable[[], Log]  # called in each child


class LogFile:
    """A file whose lines are counted while it is written."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a+b")  # noqa: SIM115  made here if it is not there yet
        self._lines = 0

    def wait_for(self, lines: int) -> None:
        give_up = time.monotonic() + measure.WAIT
        while True:
            time.sleep(POLL)
            self._lines += self._file.read().count(b"\n")
            if self._lines >= lines:
                return
            if time.monotonic() > give_up:
                raise TimeoutError(f"{lines - self._lines} of {lines} records are missing")

    def close(self) -> None:
        self._file.close()


def receive(connection: Any) -> Any:
    if not connection.poll(measure.WAIT):
        raise TimeoutError(f"nothing has come from a child in {measure.WAIT} seconds")
    return connection.recv()


def check(name: str, path: str, pattern: bytes, total: int, *, is_numbered: bool) -> None:
    """See that the file is *total* lines that match, no two of them alike if *is_numbered*."""
    lines = measure.written(path).splitlines()
    found = [line for line in lines if re.search(pattern, line)]
    different = len({line.partition(b": ")[2] for line in found}) if is_numbered else len(found)
    if not len(lines) == len(found) == different == total:
        raise RuntimeError(
            f"{name}: {total} records were logged, {len(found)} of {len(lines)} lines are such,"
            f" {different} of them different"
        )


# A child's call.

LOGGER, STANDARD, OURS = "logging.NullHandler", who.LOGGING, "threadlog, to the parent"
WAYS = {
    f"A child's call, in bursts of {BURST}": (BURST, time.perf_counter, 1.3),
    f"A child's call, in bursts of {BURST}, of its processor": (BURST, time.process_time, None),
    f"A child's call, {CALLS} without a pause": (CALLS, time.perf_counter, None),
}


def time_calls(
    name: str, path: str, calls: int, burst: int, clock: Callable[[], float], connection: Any
) -> None:
    """Send how many seconds of *clock* so many calls take, in this process. Whoever has the other
    end tells when each burst may begin.
    """
    if name == STANDARD:
        logging.basicConfig(filename=path, format=who.FORMAT, level=logging.INFO)
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


def child_calls(name: str, burst: int, clock: Callable[[], float], calls: int) -> float:
    total = 0
    way: AbstractContextManager[object] = contextlib.nullcontext()
    with measure.log_path() as path:
        if name == OURS:
            way = with_threadlog(path, logging.FileHandler)
        with way, contextlib.closing(LogFile(path)) as file:
            ours, theirs = context.Pipe()
            arguments = (name, path, calls, burst, clock, theirs)
            child = context.Process(target=time_calls, args=arguments)
            child.start()
            theirs.close()
            for _ in range(calls // burst):
                ours.send("go")
                seconds: float = receive(ours)
                total += 0 if name == LOGGER else LEAD + burst
                file.wait_for(total)
            child.join(measure.WAIT)
        check(name, path, rb" INFO bench: hello world 42$", total, is_numbered=False)
    return seconds


# Four children.


def log_with_logging() -> Log:
    return functools.partial(logging.getLogger("bench").info, "process %d record %d")


@contextlib.contextmanager
def with_threadlog(path: str, cls: Callable[[str], logging.Handler]) -> Iterator[Begin]:
    root, handler = logging.getLogger(), cls(path)
    handler.setFormatter(logging.Formatter(who.FORMAT))
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
    # logging cookbook, "Logging to a single file from multiple processes".
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(who.FORMAT))
    records = context.Queue(-1)
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()
    yield functools.partial(log_with_queue, records)
    listener.stop()
    handler.close()


def log_with_loguru(logger: Any) -> Log:
    return functools.partial(logger.info, "process {} record {}")


@contextlib.contextmanager
def with_loguru(path: str) -> Iterator[Begin]:
    # As its recipes have it for spawned processes: the logger is an argument.
    with who.with_loguru(path, enqueue=True, context=context) as logger:
        yield functools.partial(log_with_loguru, logger)


RATE = f"{CHILDREN} spawned children to their parent's file"
OURS_STANDARD = "threadlog, to the parent's logging.FileHandler"
OURS_ALL = "threadlog, to the parent's threadlog FileHandler"
CONTENDERS: dict[str, Callable[[str], AbstractContextManager[Begin]]] = {
    OURS_STANDARD: functools.partial(with_threadlog, cls=logging.FileHandler),
    OURS_ALL: functools.partial(with_threadlog, cls=threadlog.handlers.FileHandler),
    who.LOGGING_PROCESSES: with_queue,
}
if who.LOGURU in who.IN_PROCESS:
    CONTENDERS[who.LOGURU_QUEUE] = with_loguru


def log_much(number: int, begin: Begin, ready: Any, go: Any, records: int) -> None:
    """In each of the children."""
    log = begin()
    log(number, 0)
    ready.release()
    go.wait(measure.WAIT)
    for record in range(1, records + 1):
        log(number, record)


def one_round(name: str, path: str, records: int) -> float:
    """Return how many seconds the children take. In a process of its own, their parent."""
    ready, go = context.Semaphore(0), context.Event()
    with CONTENDERS[name](path) as begin, contextlib.closing(LogFile(path)) as file:
        children = [
            context.Process(target=log_much, args=(number, begin, ready, go, records))
            for number in range(CHILDREN)
        ]
        for each in children:
            each.start()
        for _ in children:
            ready.acquire(timeout=measure.WAIT)
        file.wait_for(CHILDREN)
        start = time.perf_counter()
        go.set()
        file.wait_for(CHILDREN * (records + 1))
        seconds = time.perf_counter() - start
        for each in children:
            each.join(measure.WAIT)
    return seconds


def records_per_second(name: str, records: int) -> float:
    with measure.log_path() as path:
        seconds: float = measure.in_a_process(one_round, name, path, records)
        pattern = rb" INFO \w+: process \d record \d+$"
        check(name, path, pattern, CHILDREN * (records + 1), is_numbered=True)
    return CHILDREN * records / seconds


def main() -> None:
    runner = measure.runner("seconds for one call")
    quick = runner.args.quick
    calls = {
        question: measure.under_pyperf(
            runner,
            question,
            {
                name: functools.partial(child_calls, name, burst, clock)
                for name in (LOGGER, STANDARD, OURS)
            },
            1 if quick else ROUNDS,
            CALLS,
        )
        for question, (burst, clock, _) in WAYS.items()
    }
    rates = measure.by_stopwatch(
        {
            name: functools.partial(records_per_second, name, RECORDS // 5 if quick else RECORDS)
            for name in CONTENDERS
        },
        1 if quick else RATE_ROUNDS,
    )
    rows = []
    for question, (*_, at_most) in WAYS.items():
        results, less = calls[question], f"{question}, less the logger"
        rows += [
            measure.compare(question, results, OURS, STANDARD, at_most=at_most),
            measure.compare(less, results, OURS, STANDARD, less=LOGGER),
        ]
    rows += [
        measure.compare(RATE, rates, ours, theirs, "records/s", at_least=least)
        for theirs, least in ((who.LOGGING_PROCESSES, 2), (who.LOGURU_QUEUE, 4))
        for ours, least in ((OURS_STANDARD, least), (OURS_ALL, None))
        if theirs in rates
    ]
    measure.hand_in(runner.args, rows)


if __name__ == "__main__":
    main()
