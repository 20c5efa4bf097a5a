"""What one record costs in a file handler beside the standard one: one process, one thread, the
same line, all under pyperf in one run.

Targets: `FileHandler` at most 0.8 times `logging.FileHandler`, `RotatingFileHandler` at most 0.6
times `logging.handlers.RotatingFileHandler`. `--fast` for a quick look.

A machine that is busy for a while must not be busy for one contender only. So each is measured in
many short rounds, a process for each, in turn: A B C D, A B C D, … The medians are taken over all
rounds, and the spread of the rounds' own ratios is printed beside the ratio. The seconds are those
of the processor, in the program and in the kernel: no handler here waits for anything, so that on
a quiet machine they are the seconds of the clock, and on a busy one others' turns do not count.
"""

import functools
import logging
import logging.handlers
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

import pyperf

import threadlog.handlers

ROUNDS = 10
CALLS = 1 << 15  # for one value: 1.6 MB, so that nothing is calibrated and no file grows on
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
SIZE = {"maxBytes": 1_000_000, "backupCount": 5}  # a rollover for each 20,000 records
TIME = {"when": "midnight", "backupCount": 5}
PAIRS = (
    (logging.FileHandler, threadlog.handlers.FileHandler, {}, "target: 0.8"),
    (
        logging.handlers.RotatingFileHandler,
        threadlog.handlers.RotatingFileHandler,
        SIZE,
        "target: 0.6",
    ),
    (
        logging.handlers.TimedRotatingFileHandler,
        threadlog.handlers.TimedRotatingFileHandler,
        TIME,
        "for information",
    ),
)
# Not /tmp, which may be memory: a log is on a disk.
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else None


def write(calls: int, make_handler: Callable[[str], logging.Handler]) -> float:
    """Return how many seconds of the processor *calls* records take, to a new file."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        handler = make_handler(os.path.join(folder, "app.log"))
        handler.setFormatter(logging.Formatter(FORMAT))
        logger = logging.getLogger("bench")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        start = time.process_time()
        for _ in range(calls):
            logger.info("hello %s %d", "world", 42)
        seconds = time.process_time() - start
        logger.removeHandler(handler)
        handler.close()
    return seconds


def main() -> None:
    runner = pyperf.Runner(processes=1, values=2, loops=CALLS)
    runner.metadata["description"] = "seconds for one record"
    runner.parse_args()
    runner.args.quiet = not runner.args.verbose  # no word on each round's own spread
    rounds = 1 if runner.args.fast else ROUNDS  # pyperf's fast runs take 3 processes each
    contenders = {
        f"{cls.__module__.split('.')[0]} {cls.__name__}": functools.partial(cls, **options)
        for standard, ours, options, _ in PAIRS
        for cls in (standard, ours)
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}  # a median for each round
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, make_handler in contenders.items():
            done = runner.bench_time_func(f"{name}, round {number}", write, make_handler)
            if done is not None and not runner.args.worker:
                values[name] += done.get_values()
                seconds[name].append(done.median())
    if not all(values.values()):
        return  # one of pyperf's worker processes
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(f"Python {platform.python_version()}, medians of {rounds} rounds, load {load:.1f}")
    names = iter(contenders)
    for *_, target in PAIRS:
        theirs, ours = next(names), next(names)
        for name in (theirs, ours):
            print(f"{name:35} {statistics.median(values[name]) * 1e6:6.2f} µs")
        ratio = statistics.median(values[ours]) / statistics.median(values[theirs])
        each = [a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
        print(f"ratio {ratio:.3f}, in the rounds {min(each):.2f} to {max(each):.2f}  ({target})")


if __name__ == "__main__":
    main()
