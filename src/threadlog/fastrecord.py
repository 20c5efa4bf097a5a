"""LogRecord: `logging`'s own, of fast logging."""

from __future__ import annotations

import copyreg
import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIELDS = (
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno "
    "funcName created msecs relativeCreated thread threadName processName process taskName "
    "native_id thread_number work_item log_context thread_info message asctime"
)


class LogRecord(logging.LogRecord):
    """A `logging.LogRecord` that is filled by its maker.

    It is a class of its own for the interpreter's sake: the first instance of a class decides which
    attributes the others have room for without a dictionary. (That is tried with `logging`'s own
    class, too, in vain if records of it are there already.)
    """

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be an ordinary record once copied or pickled: whoever reads it may not have threadlog."""
        if type(self) is not LogRecord:
            return super().__reduce_ex__(protocol)
        ordinary = (logging.LogRecord, object, None)
        return copyreg._reconstructor, ordinary, self.__dict__  # type: ignore[attr-defined]


def _make_room(cls: type[logging.LogRecord]) -> None:
    first: logging.LogRecord = object.__new__(cls)
    for name in _FIELDS.split():
        setattr(first, name, None)


_make_room(LogRecord)
_make_room(logging.LogRecord)
