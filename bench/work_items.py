"""What one work item costs beside `concurrent.futures.ThreadPoolExecutor.map`: 4 threads, a trivial
function, by the clock.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import measure
from threadlog import do_threaded_work

QUESTION = "One of 20,000 work items, 4 threads"
OURS, EXECUTOR = "do_threaded_work", "ThreadPoolExecutor.map"
ITEMS = 20_000
THREADS = 4
ROUNDS = 10


def trivial(item: int) -> int:
    return item


def with_threadlog(items: int) -> float:
    logging.getLogger().addHandler(logging.NullHandler())
    start = time.perf_counter()
    do_threaded_work(range(items), trivial, THREADS)
    return time.perf_counter() - start


def with_executor(items: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(trivial, range(items)))
    return time.perf_counter() - start


def main() -> None:
    runner = measure.runner(f"seconds for one of {ITEMS} items, {THREADS} threads")
    results = measure.under_pyperf(
        runner,
        "item",
        {EXECUTOR: with_executor, OURS: with_threadlog},
        2 if runner.args.quick else ROUNDS,
        ITEMS,
    )
    measure.hand_in(runner.args, [measure.compare(QUESTION, results, OURS, EXECUTOR, at_most=0.05)])


if __name__ == "__main__":
    main()
