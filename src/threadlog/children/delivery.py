"""Delivery: a child's record, handled as if it had been logged here."""

from __future__ import annotations

import logging

from threadlog.children.levels import Levels
from threadlog.guard import report_error, say
from threadlog.records import UNJUDGED, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_reporter = logging.Handler()  # its handleError tells of what a logger's filter or handler raised
_has_complained = False


def deliver(data: bytes) -> None:
    """Give the record in *data* to the logger of its name.

    Whether the logger wants the level was judged by the child, at the call, unless it has marked
    the record as `UNJUDGED`. What loggers and handlers raise is reported as
    `logging.Handler.handleError` does.
    """
    global _has_complained
    is_judged = not data.endswith(UNJUDGED)
    try:
        record = decode(data if is_judged else data.removesuffix(UNJUDGED))
    except Exception:
        if not _has_complained:
            _has_complained = True
            say("threadlog: something that a child has sent is no record")
        return
    try:
        if is_judged or record.levelno >= Levels.here().least(record.name):
            _handle(record)
    except BaseException:  # SystemExit, too: who logs would have got it, and is not here
        report_error(_reporter, record)


def _handle(record: logging.LogRecord) -> None:
    """Have the logger of the record's name handle it.

    A logger that only the child knows is not made here. It would have no filter or handler of its
    own: its nearest ancestor's are all that counts.
    """
    loggers = logging.root.manager.loggerDict
    logger = logging.root if record.name == logging.root.name else loggers.get(record.name)
    if isinstance(logger, logging.Logger):
        if not logger.disabled:
            logger.handle(record)
        else:  # since the record was logged
            passed: Any = logger.filter(record)
            if passed:
                logger.callHandlers(passed if isinstance(passed, logging.LogRecord) else record)
        return
    ancestor = record.name or ""
    while ancestor and not isinstance(logger, logging.Logger):
        ancestor = ancestor.rpartition(".")[0]
        logger = loggers.get(ancestor)
    (logger if isinstance(logger, logging.Logger) else logging.root).callHandlers(record)
