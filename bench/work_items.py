"""What one work item costs beside `concurrent.futures.ThreadPoolExecutor.map`: 4 threads,
a trivial function, both under pyperf in one run.

Target: at most 0.1 times. `python bench/work_items.py --fast` for a quick look.
"""

import logging
from concurrent.futures import ThreadPoolExecutor

import pyperf

from threadlog import do_threaded_work

ITEMS = 20_000
THREADS = 4


def trivial(item: int) -> int:
    return item


def with_threadlog() -> None:
    do_threaded_work(range(ITEMS), trivial, THREADS)


def with_executor() -> None:
    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(trivial, range(ITEMS)))


def main() -> None:
    runner = pyperf.Runner(processes=8, values=3)
    runner.metadata["description"] = f"seconds for one of {ITEMS} items, {THREADS} threads"
    logging.getLogger().addHandler(logging.NullHandler())
    theirs = runner.bench_func("ThreadPoolExecutor.map", with_executor, inner_loops=ITEMS)
    ours = runner.bench_func("do_threaded_work", with_threadlog, inner_loops=ITEMS)
    if theirs and ours and not runner.args.worker:
        ratio = ours.median() / theirs.median()
        print(f"ratio of the medians: {ratio:.3f}  (target: 0.1)")


if __name__ == "__main__":
    main()
