"""How many records per second 1 to 8 threads bring into one file, and whether a Python without the
GIL makes more of them: needs nothing but threadlog and its own standard library.

By a stop-watch, from a barrier that all threads pass together until the last has returned from its
last call. All log through one logger, as functions of one module do.
"""

import functools
import threading
import time

import contenders as who
import measure
import report

QUESTION = "Threads"
THREADS = (1, 2, 4, 6, 8)
# Not picologging's: two threads that log into its FileHandler soon wait for each other for good.
CONTENDERS = [n for n in (who.FAST_SHOWN, who.LOGGING, who.LOGURU) if n in who.IN_PROCESS]
RECORDS = 40_000  # of all threads together
ROUNDS = 5


def one_round(name: str, threads: int, records: int) -> float:
    """Return the records per second."""
    message, each = who.message(name, "hello %s %d"), records // threads
    with measure.log_path() as path:
        with who.IN_PROCESS[name](path) as logger:

            def work() -> None:
                barrier.wait(measure.WAIT)
                for _ in range(each):
                    logger.info(message, "world", 42)

            barrier = threading.Barrier(threads + 1)
            workers = [threading.Thread(target=work) for _ in range(threads)]
            for worker in workers:
                worker.start()
            barrier.wait(measure.WAIT)
            start = time.perf_counter()
            for worker in workers:
                worker.join(measure.WAIT)
            seconds = time.perf_counter() - start
        measure.expect_lines(name, path, threads * each)
    return threads * each / seconds


def main() -> None:
    arguments = measure.arguments(__doc__)
    counts, records, rounds = THREADS, RECORDS, ROUNDS
    if arguments.quick:
        counts, records, rounds = (1, 2, 8), RECORDS // 4, 1
    points = {}
    for threads in counts:
        ways = {
            name: functools.partial(measure.in_a_process, one_round, name, threads, records)
            for name in CONTENDERS
        }
        points[threads] = measure.by_stopwatch(ways, rounds)
    print(f"Python {report.build()}, {'without' if report.is_free_threaded() else 'with'} the GIL")
    measure.hand_in(arguments, [], [measure.curve(QUESTION, "threads", "records/s", points)])


if __name__ == "__main__":
    main()
