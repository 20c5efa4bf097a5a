"""LogRecord: `logging`'s own, of fast loggers."""

from __future__ import annotations

import copyreg
import logging

_FIELDS = (
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno "
    "funcName created msecs relativeCreated thread threadName processName process taskName "
    "native_id thread_number work_item log_context thread_info message asctime"
)


class LogRecord(logging.LogRecord):
    """A `logging.LogRecord` that its maker has filled.

    Why a class of its own: the first of its instances has all fields that one may ever have, so
    that the interpreter keeps them without a dictionary, until somebody asks for one.
    """

    def __reduce__(self) -> tuple[object, ...]:
        """Be an ordinary record once copied or pickled: whoever reads it may not have threadlog."""
        return copyreg.__newobj__, (logging.LogRecord,), self.__dict__  # type: ignore[attr-defined]


_first: LogRecord = object.__new__(LogRecord)
for _name in _FIELDS.split():
    setattr(_first, _name, None)
