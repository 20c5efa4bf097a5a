"""ThreadInfoFilter: writes on a record who wrote it."""

from __future__ import annotations

import logging

from threadlog import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ThreadInfoFilter(logging.Filter):
    """Stamps every record with the identity of the thread that logs. It vetoes nothing.

    Put it on a logger or on a handler that is called in the thread that logs; on the sinks
    behind a queue it comes too late, and says so (see `stamp`). With a *name* it stamps the
    records of that logger and its children only (`logging.Filter`), and lets all others pass.
    Thread-safe and fork-safe: it has no state.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if self.nlen == 0 or super().filter(record):
            stamp(record)
        return True


def stamp(record: logging.LogRecord) -> None:
    """Add the identity of the running thread to *record*, once.

    Sets `native_id`, `thread_number`, `work_item`, `log_context`, `thread_info`, `taskName`
    (also on 3.11), and those of `thread`, `threadName`, `process`, `processName` that
    `logging.logThreads` and its like have left out. What stands on the record is never
    changed, except a `processName` that `os.fork` has made untrue.

    A record that was made in another thread or process, and that nobody stamped there, gets
    None for what is not known, and a `thread_info` with `tid ?`. To tell, the record's own
    `thread`, `threadName` and `process` are compared with the running thread's.
    """
    # Asked of the record, not of its dictionary: it has none before somebody wants one.
    if hasattr(record, "thread_info") and hasattr(record, "native_id"):
        return
    who = identity.current()
    if (
        record.thread == who.thread
        and record.process == who.process
        and record.threadName == who.threadName
        and record.processName == who.processName
        and getattr(record, "taskName", None) in (None, who.taskName)
        and not hasattr(record, "thread_info")
        and not hasattr(record, "native_id")
        and not hasattr(record, "thread_number")
        and not hasattr(record, "work_item")
        and not hasattr(record, "log_context")
    ):  # as it nearly always is
        made: Any = record
        made.native_id = who.native_id
        made.thread_number = who.thread_number
        made.taskName = who.taskName
        made.work_item = who.work_item
        made.log_context = who.log_context
        made.thread_info = who.thread_info
        return
    fields = record.__dict__
    if (
        record.thread in (who.thread, None)
        and record.process in (who.process, None)
        and record.threadName in (who.threadName, None)
    ):
        fields["process"] = who.process
        name = record.processName
        if name is None or f"{name}-fork-{who.process}" == who.processName:
            fields["processName"] = who.processName
        fields["thread"] = who.thread
        fields["threadName"] = who.threadName
        if fields.get("taskName") is None:
            fields["taskName"] = who.taskName
        fields.setdefault("native_id", who.native_id)
        fields.setdefault("thread_number", who.thread_number)
        fields.setdefault("work_item", who.work_item)
        fields.setdefault("log_context", who.log_context)
        fields.setdefault("thread_info", who.thread_info)
    else:
        for unknown in ("native_id", "thread_number", "taskName", "work_item"):
            fields.setdefault(unknown, None)
        fields.setdefault("log_context", {})
        fields.setdefault(
            "thread_info",
            identity.describe(
                record.process,
                fields["native_id"],
                record.threadName,
                fields["taskName"],
                fields["work_item"],
            ),
        )
