"""How many records per second four processes bring into one file: the file handlers beside
concurrent-log-handler and loguru's `enqueue=True`, each set up as its documentation recommends.

Targets: at least 5 times concurrent-log-handler, at least 10 times loguru. `--fast` for a quick
look.

pyperf measures what one process does, over and over. Here the clock runs from a barrier that all
processes pass together to the end of the last of them, and until loguru's queue is empty. So this
is a stop-watch: the contenders alternate round by round, for the machine is never quiet for long,
and the median of the rounds counts. Each round has processes of its own, and a new folder. When the
clock has stopped, all records are looked for in the files; what is missing is printed.

`logging.FileHandler` is for comparison, it is not safe: it loses no record of this size as long as
nobody is killed, forks beside a thread that logs, or moves the file.
"""

import argparse
import contextlib
import logging
import multiprocessing
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import loguru
from concurrent_log_handler import ConcurrentRotatingFileHandler

import threadlog.handlers

PROCESSES = 4
RECORDS = 20_000  # of each process
ROUNDS = 7
WAIT = 300  # seconds: whoever takes longer has failed
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOGURU_FORMAT = "{time:YYYY-MM-DD HH:mm:ss,SSS} {level} {name}: {message}"
SIZE = {"maxBytes": 2_000_000, "backupCount": 5}  # two rollovers, and all records are kept
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else None  # /tmp may be memory

Log = Callable[[int, int], None]  # of process, record
Contender = Callable[[str], Iterator[Callable[[], Log]]]
context: Any = multiprocessing.get_context("fork")


def with_handler(cls: Callable[..., logging.Handler], **options: Any) -> Contender:
    """A handler made in each process, as concurrent-log-handler wants it."""

    def contender(path: str) -> Iterator[Callable[[], Log]]:
        def begin() -> Log:
            handler = cls(path, **options)
            handler.setFormatter(logging.Formatter(FORMAT))
            logger = logging.getLogger("shared_file")
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
            return lambda process, record: logger.info("process %d record %d", process, record)

        yield begin

    return contender


def with_loguru(path: str) -> Iterator[Callable[[], Log]]:
    """A logger that the processes inherit, and a thread in their parent that writes for them."""
    logger = loguru.logger
    logger.remove()
    logger.add(path, format=LOGURU_FORMAT, enqueue=True)
    yield lambda: lambda process, record: logger.info("process {} record {}", process, record)
    logger.complete()  # returns when the queue is empty


CONTENDERS: dict[str, Contender] = {
    "threadlog FileHandler": with_handler(threadlog.handlers.FileHandler),
    "threadlog RotatingFileHandler": with_handler(threadlog.handlers.RotatingFileHandler, **SIZE),
    "logging.FileHandler (not safe)": with_handler(logging.FileHandler),
    "concurrent-log-handler": with_handler(ConcurrentRotatingFileHandler, **SIZE),
    "loguru enqueue=True": with_loguru,
}


def work(number: int, begin: Callable[[], Log], barrier: Any, records: int) -> None:
    log = begin()
    barrier.wait(WAIT)
    for record in range(records):
        log(number, record)


def one_round(name: str, path: str, records: int, connection: Any) -> None:
    """In a process of its own, that the next contender inherits nothing."""
    contender = CONTENDERS[name](path)
    begin = next(contender)
    barrier = context.Barrier(PROCESSES + 1)
    workers = [
        context.Process(target=work, args=(number, begin, barrier, records))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    barrier.wait(WAIT)
    start = time.perf_counter()
    for worker in workers:
        worker.join(WAIT)
    with contextlib.suppress(StopIteration):
        next(contender)
    connection.send(time.perf_counter() - start)


def measured(name: str, records: int) -> tuple[float, int]:
    """Return the records per second of one round, and how many of them are missing."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        receiver, sender = context.Pipe(duplex=False)
        path = os.path.join(folder, "app.log")
        process = context.Process(target=one_round, args=(name, path, records, sender))
        process.start()
        if not receiver.poll(WAIT):
            process.kill()
            raise TimeoutError(f"{name} took longer than {WAIT} seconds")
        seconds = receiver.recv()
        found = set()
        for file in Path(folder).glob("*.log*"):
            found |= set(re.findall(rb"process \d record \d+$", file.read_bytes(), re.MULTILINE))
        process.join(WAIT)
    total = PROCESSES * records
    return total / seconds, total - len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--fast", action="store_true", help="fewer records and rounds")
    fast = parser.parse_args().fast
    records, rounds = (RECORDS // 10, 3) if fast else (RECORDS, ROUNDS)
    load = os.getloadavg()[0]
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    lost = dict.fromkeys(CONTENDERS, 0)
    for _ in range(rounds):
        for name in CONTENDERS:
            rate, missing = measured(name, records)
            rates[name].append(rate)
            lost[name] += missing
    peers = ", ".join(f"{name} {version(name)}" for name in ("concurrent-log-handler", "loguru"))
    print(f"Python {platform.python_version()}, {peers}")
    print(f"{os.cpu_count()} CPUs, load {load:.1f} before")
    print(f"{PROCESSES} processes, {records} records each, medians of {rounds} rounds")
    medians = {name: statistics.median(rates[name]) for name in CONTENDERS}
    for name, rate in medians.items():
        spread = f"{min(rates[name]):7,.0f} to {max(rates[name]):7,.0f}"
        print(f"{name:32} {rate:8,.0f} records/s ({spread}), lost {lost[name]}")
    for peer, target in (("concurrent-log-handler", 5), ("loguru enqueue=True", 10)):
        for ours in ("threadlog FileHandler", "threadlog RotatingFileHandler"):
            ratio = medians[ours] / medians[peer]
            print(f"{ours} / {peer}: {ratio:.1f}  (target: {target})")


if __name__ == "__main__":
    main()
