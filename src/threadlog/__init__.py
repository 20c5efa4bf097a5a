"""Logging for concurrent programs: every line tells who wrote it."""

from threadlog.children import (
    attach,
    logging_from_children,
    start_logging_from_children,
    stop_logging_from_children,
)
from threadlog.errors import WorkError
from threadlog.fast import fast_logging, start_fast_logging, stop_fast_logging
from threadlog.filters import ThreadInfoFilter
from threadlog.formatters import ThreadInfoFormatter
from threadlog.identity import logging_context
from threadlog.scripts import configure
from threadlog.toggle import (
    is_logging_with_thread_info,
    logging_with_thread_info,
    start_logging_with_thread_info,
    stop_logging_with_thread_info,
)
from threadlog.workers import ThreadedWorker, do_threaded_work, iter_threaded_work

__version__ = "0.1.0"

__all__ = [
    "ThreadInfoFilter",
    "ThreadInfoFormatter",
    "ThreadedWorker",
    "WorkError",
    "attach",
    "configure",
    "do_threaded_work",
    "fast_logging",
    "is_logging_with_thread_info",
    "iter_threaded_work",
    "logging_context",
    "logging_from_children",
    "logging_with_thread_info",
    "start_fast_logging",
    "start_logging_from_children",
    "start_logging_with_thread_info",
    "stop_fast_logging",
    "stop_logging_from_children",
    "stop_logging_with_thread_info",
]
