"""What one record costs in a file handler beside the standard one: one process, one thread, the
same line, in seconds of the processor.
"""

import functools
import time

import contenders as who
import measure

QUESTION = "One record into a file"
BY_SIZE = "One record into a file that rotates by size"
BY_TIME = "One record into a file that rotates by time"
ROUNDS = 25
CALLS = 1 << 13  # for one value: 1 MB at most, so that no backup is deleted


def write(name: str, calls: int) -> float:
    """Return how many seconds of the processor *calls* records take, to a new file."""
    message = who.message(name, "hello %s %d")
    with measure.log_path() as path:
        with who.IN_PROCESS[name](path) as logger:
            start = time.process_time()
            for _ in range(calls):
                logger.info(message, "world", 42)
            seconds = time.process_time() - start
        measure.expect_lines(name, path, calls)
    return seconds


def main() -> None:
    runner = measure.runner("seconds for one record")
    quick = runner.args.quick
    results = measure.under_pyperf(
        runner,
        "record",
        {name: functools.partial(write, name) for name in who.IN_PROCESS},
        2 if quick else ROUNDS,
        CALLS // 2 if quick else CALLS,
    )

    def compare(question: str, ours: str, theirs: str, at_most: float | None = None) -> measure.Row:
        return measure.compare(question, results, ours, theirs, at_most=at_most)

    rows = [
        compare(QUESTION, who.FAST_SHOWN, who.LOGGING, 0.45),
        compare(QUESTION, who.FAST, who.LOGGING),
        compare(QUESTION, who.OURS, who.LOGGING, 0.75),
        compare(QUESTION, who.SHOWN, who.LOGGING, 1.10),
        compare(BY_SIZE, who.FAST_SIZE, who.LOGGING_SIZE, 0.30),
        compare(BY_SIZE, who.FAST_SIZE_SHOWN, who.LOGGING_SIZE),
        compare(BY_SIZE, who.OURS_SIZE, who.LOGGING_SIZE),
        compare(BY_TIME, who.FAST_TIME, who.LOGGING_TIME),
        compare(BY_TIME, who.OURS_TIME, who.LOGGING_TIME),
    ]
    if who.PICOLOGGING in results:
        rows.insert(1, compare(QUESTION, who.FAST_SHOWN, who.PICOLOGGING, 1.0))
    if who.LOGURU in results:
        rows.append(compare(QUESTION, who.FAST_SHOWN, who.LOGURU))
    if who.CONCURRENT in results:
        rows.append(compare(BY_SIZE, who.FAST_SIZE_SHOWN, who.CONCURRENT))
    measure.hand_in(runner.args, rows)


if __name__ == "__main__":
    main()
