"""Handlers that any number of threads and processes may share.

They are the standard library's by name, arguments, attributes and `isinstance`: to move to them,
write `threadlog.handlers` in the place of `logging` or `logging.handlers`.
"""

from threadlog.handlers.file import FileHandler
from threadlog.handlers.listener import QueueListener
from threadlog.handlers.queue import QueueHandler
from threadlog.handlers.rotation import RotatingFileHandler, TimedRotatingFileHandler
from threadlog.ledger import Statistics

__all__ = [
    "FileHandler",
    "QueueHandler",
    "QueueListener",
    "RotatingFileHandler",
    "Statistics",
    "TimedRotatingFileHandler",
]
