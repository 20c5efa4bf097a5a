"""The fixture `threadlog_records`: what a test logs, in its process and in its children.

pytest loads this module. Nothing begins before a test asks for the fixture.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from threadlog.children import logging_from_children, settle
from threadlog.filters import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PATIENCE = 10.0  # seconds, for what children have logged


class Records(Sequence[logging.LogRecord]):
    """The records so far, as `logging.LogRecord`, in the order in which they were handled.

    Whoever looks first waits, at most 10 seconds, for what children have logged up to now.
    """

    def __init__(self) -> None:
        self._records: list[logging.LogRecord] = []

    def __getitem__(self, index: Any) -> Any:
        return self._settled()[index]

    def __len__(self) -> int:
        return len(self._settled())

    def __repr__(self) -> str:
        return repr(self._settled())

    @property
    def messages(self) -> list[str]:
        """The text of each record."""
        return [record.getMessage() for record in self._settled()]

    def _settled(self) -> list[logging.LogRecord]:
        if not settle(_PATIENCE):
            raise TimeoutError(f"children's records were not handled in {_PATIENCE} seconds")
        return self._records.copy()


class _Recorder(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        stamp(record)
        self._records.append(record)


@pytest.fixture
def threadlog_records() -> Iterator[Records]:
    """All records that this test logs, in this process and in its children, at every level.

    A sequence of `logging.LogRecord`, each with its writer's identity; `messages` are their texts.
    The root logger's level is NOTSET as long as the test lasts; loggers that have a level of
    their own keep it, and what does not propagate to the root logger is not here.
    """
    records = Records()
    recorder = _Recorder(records._records)
    level = logging.root.level
    logging.root.addHandler(recorder)
    logging.root.setLevel(logging.NOTSET)
    try:
        with logging_from_children():
            yield records
    finally:
        logging.root.setLevel(level)
        logging.root.removeHandler(recorder)
