"""Delivery: a child's record, handled as if it had been logged here."""

from __future__ import annotations

import logging

from threadlog.guard import report_error, say
from threadlog.records import decode

_reporter = logging.Handler()  # its handleError tells of what a logger's filter or handler raised
_has_complained = False


def deliver(data: bytes) -> None:
    """Give the record in *data* to the logger of its name.

    What loggers and handlers raise is reported as `logging.Handler.handleError` does.
    """
    global _has_complained
    try:
        record = decode(data)
    except Exception:
        if not _has_complained:
            _has_complained = True
            say("threadlog: something that a child has sent is no record")
        return
    try:
        _handle(record)
    except BaseException:  # SystemExit, too: who logs would have got it, and is not here
        report_error(_reporter, record)


def _handle(record: logging.LogRecord) -> None:
    """Have the logger of the record's name handle it.

    A logger that only the child knows is not made here. It would have no level, filter or handler
    of its own: its nearest ancestor's are all that counts.
    """
    manager = logging.root.manager
    logger = manager.loggerDict.get(record.name)
    if record.name == logging.root.name:
        logger = logging.root
    if isinstance(logger, logging.Logger):
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
        return
    ancestor = record.name or ""
    while ancestor and not isinstance(logger, logging.Logger):
        ancestor = ancestor.rpartition(".")[0]
        logger = manager.loggerDict.get(ancestor)
    if not isinstance(logger, logging.Logger):
        logger = logging.root
    if manager.disable < record.levelno >= logger.getEffectiveLevel():
        logger.callHandlers(record)
