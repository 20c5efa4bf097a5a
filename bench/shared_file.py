"""How many records per second four processes bring into one file: the file handlers beside the
usual ways.

By a stop-watch: from a barrier that all processes pass together until the last of them has returned
from its last call, and until no record waits in any queue. When the clock has stopped, all
records are looked for in the files. The processes are forked from one that has no thread but the
contender's own.
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

QUESTION = "4 processes into one file"
PROCESSES = 4
RECORDS = 20_000  # of each process
ROUNDS = 8
context: Any = multiprocessing.get_context("fork")

Begin = Callable[[], AbstractContextManager[Any]]  # in each process, for its logger
Drain = Callable[[], None]
Contender = Callable[[str], AbstractContextManager[tuple[Begin, Drain]]]


def in_each_process(name: str) -> Contender:
    """What each process sets up for itself, and whose returned calls have written."""

    @contextlib.contextmanager
    def contender(path: str) -> Iterator[tuple[Begin, Drain]]:
        yield functools.partial(who.IN_PROCESS[name], path), lambda: None

    return contender


@contextlib.contextmanager
def with_loguru(path: str) -> Iterator[tuple[Begin, Drain]]:
    """A logger that the processes inherit, and a thread in their parent that writes for them."""
    with who.with_loguru(path, enqueue=True) as logger:

        @contextlib.contextmanager
        def begin() -> Iterator[Any]:
            yield logger
            logger.complete()

        yield begin, logger.complete


@contextlib.contextmanager
def with_queue(path: str) -> Iterator[tuple[Begin, Drain]]:
    # logging cookbook, "Logging to a single file from multiple processes"; the listener is a
    # logging.handlers.QueueListener, as the end of that section has it.
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(who.FORMAT))
    records = context.Queue(-1)
    listener = logging.handlers.QueueListener(records, handler)

    @contextlib.contextmanager
    def begin() -> Iterator[logging.Logger]:
        with who.attached(logging.handlers.QueueHandler(records)) as logger:
            logger.handlers[0].setFormatter(None)
            yield logger
        records.close()
        records.join_thread()  # as at the end of a process: until its records are in the pipe

    listener.start()
    yield begin, listener.stop
    handler.close()


SAFE_OURS = (who.FAST_SHOWN, who.FAST_SIZE_SHOWN)
CONTENDERS: dict[str, Contender] = {
    **{name: in_each_process(name) for name in (*SAFE_OURS, who.LOGGING)},
    who.LOGGING_PROCESSES: with_queue,
}
if who.CONCURRENT in who.IN_PROCESS:
    CONTENDERS[who.CONCURRENT] = in_each_process(who.CONCURRENT)
if who.LOGURU in who.IN_PROCESS:
    CONTENDERS[who.LOGURU_QUEUE] = with_loguru


def work(name: str, number: int, begin: Begin, barrier: Any, records: int) -> None:
    message = who.message(name, "process %d record %d")
    with begin() as logger:
        barrier.wait(measure.WAIT)
        for record in range(records):
            logger.info(message, number, record)
    barrier.wait(measure.WAIT)


def one_round(name: str, path: str, processes: int, records: int) -> float:
    """Return how many seconds *processes* take for so many records each."""
    with CONTENDERS[name](path) as (begin, drain):
        barrier = context.Barrier(processes + 1)
        workers = [
            context.Process(target=work, args=(name, number, begin, barrier, records))
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        barrier.wait(measure.WAIT)
        start = time.perf_counter()
        barrier.wait(measure.WAIT)
        drain()
        seconds = time.perf_counter() - start
        for worker in workers:
            worker.join(measure.WAIT)
    return seconds


def records_per_second(name: str, processes: int, records: int) -> float:
    total = processes * records
    with measure.log_path() as path:
        seconds: float = measure.in_a_process(
            one_round, name, path, processes, records, method="fork"
        )
        found = re.findall(rb"process \d record \d+$", measure.written(path), re.MULTILINE)
    if not len(found) == len(set(found)) == total:
        raise RuntimeError(
            f"{name}: {total} records were logged, {len(found)} are there,"
            f" {len(set(found))} different"
        )
    return total / seconds


def main() -> None:
    arguments = measure.arguments(__doc__)
    rounds, records = (2, RECORDS // 5) if arguments.quick else (ROUNDS, RECORDS)
    results = measure.by_stopwatch(
        {n: functools.partial(records_per_second, n, PROCESSES, records) for n in CONTENDERS},
        rounds,
    )
    targets = {who.CONCURRENT: 8, who.LOGURU_QUEUE: 15, who.LOGGING_PROCESSES: 6}
    rows = [
        measure.compare(QUESTION, results, ours, theirs, "records/s", at_least=least)
        for theirs, target in targets.items()
        for ours, least in ((who.FAST_SHOWN, target), (who.FAST_SIZE_SHOWN, None))
        if theirs in results
    ]
    rows.append(measure.compare(QUESTION, results, who.FAST_SHOWN, who.LOGGING, "records/s"))
    measure.hand_in(arguments, rows)


if __name__ == "__main__":
    main()
