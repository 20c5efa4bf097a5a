"""The public names as typed code uses them. mypy --strict reads this file; pytest runs it, too."""

import logging
import queue
from collections.abc import Iterator

import threadlog
import threadlog.config


def length(word: str) -> int:
    return len(word)


def consume() -> None:
    lengths: list[int] = threadlog.do_threaded_work(["a", "bb"], length, 2)
    assert lengths == [1, 2]
    lazily: Iterator[int] = threadlog.iter_threaded_work(iter(["a"]), length, window=2)
    assert list(lazily) == [1]
    results: queue.Queue[int] = queue.Queue()
    words: queue.Queue[str] = queue.Queue()
    words.put("ccc")
    worker = threadlog.ThreadedWorker(words, results, length, queue_timeout=0.01)
    worker.start()
    worker.join()
    failures: list[tuple[str, BaseException]] = worker.errors
    assert failures == []
    assert results.get() == 3


@threadlog.logging_with_thread_info(prefix="%(native_id)d ")
def decorated(number: int) -> str:
    return str(number)


def configured(path: str) -> None:
    with threadlog.configure(path, rotate="midnight", queue=True) as handle:
        handlers: tuple[logging.Handler, ...] = handle.handlers
        assert handlers
    try:
        threadlog.config.check({"version": 2})
    except threadlog.config.ConfigError as error:
        problems: tuple[tuple[str, str], ...] = error.problems
        assert problems


def log() -> None:
    handler = logging.NullHandler()
    handler.addFilter(threadlog.ThreadInfoFilter())
    handler.setFormatter(threadlog.ThreadInfoFormatter("{message}", style="{", escape=True))
    with threadlog.logging_context(request="abc"), threadlog.logging_with_thread_info():
        on: bool = threadlog.is_logging_with_thread_info()
        assert on
    text: str = decorated(1)
    assert text == "1"
