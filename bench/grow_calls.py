"""What one record costs in a file when messages are longer, handlers more, loggers deeper: one
process, one thread, in seconds of the processor.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator

import contenders as who
import measure
import threadlog.handlers

ROUNDS = 5
CALLS = 1 << 12  # for one value, at most
BYTES = 1 << 24  # for one value, at most
MESSAGES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)  # bytes
HANDLERS = (1, 2, 5, 10, 20, 50, 100)
LEVELS = (1, 2, 4, 6, 8, 10)
MAKE = {who.FAST_SHOWN: threadlog.handlers.FileHandler, who.LOGGING: logging.FileHandler}


def long_message(name: str, size: int, calls: int) -> float:
    message, text = who.message(name, "%s"), "x" * size
    with measure.log_path() as path:
        with who.IN_PROCESS[name](path) as logger:
            start = time.process_time()
            for _ in range(calls):
                logger.info(message, text)
            seconds = time.process_time() - start
        measure.expect_lines(name, path, calls)
    return seconds


@contextlib.contextmanager
def switched_on(name: str) -> Iterator[None]:
    is_ours = name == who.FAST_SHOWN
    with who.threadlog_on(fast=is_ours, shown=is_ours):
        yield


def many_handlers(name: str, count: int, calls: int) -> float:
    """Each handler has a file of its own."""
    with measure.log_path() as path:
        with contextlib.ExitStack() as stack:
            stack.enter_context(switched_on(name))
            for number in range(count):
                handler = MAKE[name](f"{path}.{number}")
                logger = stack.enter_context(who.attached(handler))
            start = time.process_time()
            for _ in range(calls):
                logger.info("hello %s %d", "world", 42)
            seconds = time.process_time() - start
        measure.expect_lines(name, path, count * calls)
    return seconds


def deep_logger(name: str, levels: int, calls: int) -> float:
    """The handler is on the topmost logger."""
    with measure.log_path() as path:
        with who.attached(MAKE[name](path)) as top, switched_on(name):
            logger = top
            for level in range(1, levels):
                logger = logger.getChild(f"level{level}")
            start = time.process_time()
            for _ in range(calls):
                logger.info("hello %s %d", "world", 42)
            seconds = time.process_time() - start
        measure.expect_lines(name, path, calls)
    return seconds


def main() -> None:
    runner = measure.runner("seconds for one record")
    quick = runner.args.quick
    peers = [name for name in (who.PICOLOGGING, who.LOGURU) if name in who.IN_PROCESS]

    def points(
        title: str,
        log: Callable[[str, int, int], float],
        names: list[str],
        xs: tuple[int, ...],
        calls: Callable[[int], int],
    ) -> dict[float, measure.Results]:
        return {
            x: measure.under_pyperf(
                runner,
                f"{title} {x}",
                {name: functools.partial(log, name, x) for name in names},
                1 if quick else ROUNDS,
                calls(x),
            )
            for x in ((xs[0], xs[len(xs) // 2], xs[-1]) if quick else xs)
        }

    ours = list(MAKE)
    messages = points(
        "message", long_message, ours + peers, MESSAGES, lambda x: max(16, min(CALLS, BYTES // x))
    )
    handlers = points("handlers", many_handlers, ours, HANDLERS, lambda x: max(256, CALLS // x))
    levels = points("levels", deep_logger, ours, LEVELS, lambda _: CALLS)
    measure.hand_in(
        runner.args,
        [],
        [
            measure.curve("Message size", "bytes in the message", "s", messages),
            measure.curve("Handlers", "handlers, each with a file of its own", "s", handlers),
            measure.curve("Logger depth", "levels of the logger's name", "s", levels),
        ],
    )


if __name__ == "__main__":
    main()
