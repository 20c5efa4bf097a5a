"""What a call costs that logs nothing, for its level is disabled, beside the same without fast
logging.
"""

import functools
import logging
import time

import contenders as who
import measure

QUESTION = "debug() where INFO is the level"
STANDARD, FAST = "logging", "threadlog, fast"
ROUNDS = 15
CALLS = 1 << 18


def call(fast: bool, calls: int) -> float:
    with who.attached(logging.NullHandler()) as logger, who.threadlog_on(fast=fast):
        start = time.process_time()
        for _ in range(calls):
            logger.debug("hello %s %d", "world", 42)
        return time.process_time() - start


def main() -> None:
    runner = measure.runner("seconds for one disabled call")
    results = measure.under_pyperf(
        runner,
        "debug()",
        {STANDARD: functools.partial(call, False), FAST: functools.partial(call, True)},
        3 if runner.args.quick else ROUNDS,
        CALLS,
    )
    measure.hand_in(runner.args, [measure.compare(QUESTION, results, FAST, STANDARD, at_most=1.0)])


if __name__ == "__main__":
    main()
