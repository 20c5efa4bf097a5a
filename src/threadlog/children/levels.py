"""Levels: what the parent's loggers want to hear, so that children send nothing else."""

from __future__ import annotations

import logging
import sys

from threadlog.level import disable, set_level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOTHING = sys.maxsize  # no level is as high
_UNSET = (logging.NOTSET, False)


class Levels:
    """The levels of one moment: of `logging.disable`, and of each logger that has one of its own.

    A logger is given as its level and whether it is disabled; the root logger's name is "root".
    """

    def __init__(self, disable: int, loggers: dict[str, tuple[int, bool]]) -> None:
        self.disable = disable
        self.loggers = loggers
        self._least: dict[str, int] = {}

    @classmethod
    def here(cls) -> Levels:
        """Return this process's."""
        root = logging.root
        loggers = {root.name: (root.level, bool(root.disabled))}
        for name, logger in list(root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and (logger.level or logger.disabled):
                loggers[name] = (logger.level, bool(logger.disabled))
        return cls(root.manager.disable, loggers)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Levels:
        """Return what `as_plain` was called of. Raises an Exception for anything else."""
        loggers = {
            str(name): (int(level), bool(disabled))
            for name, (level, disabled) in plain["loggers"].items()
        }
        return cls(int(plain["disable"]), loggers)

    def as_plain(self) -> dict[str, Any]:
        return {"disable": self.disable, "loggers": self.loggers}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Levels):
            return NotImplemented
        return (self.disable, self.loggers) == (other.disable, other.loggers)

    __hash__ = None  # type: ignore[assignment]

    def least(self, name: str) -> int:
        """Return the lowest level that the logger *name* wants."""
        least = self._least.get(name)
        if least is None:
            least = self._find_least(name)
            if len(self._least) >= 1000:
                self._least.clear()
            self._least[name] = least
        return least

    def _find_least(self, name: str) -> int:
        if self.loggers.get(name, _UNSET)[1]:
            return _NOTHING
        ancestor, level = name if isinstance(name, str) else "", 0
        while ancestor and not level:
            level = self.loggers.get(ancestor, _UNSET)[0]
            ancestor = ancestor.rpartition(".")[0]
        return max(level or self.loggers.get("root", _UNSET)[0], self.disable + 1)

    def set_here(self, before: Levels | None = None) -> None:
        """Give these levels to this process's loggers.

        *before*: the levels that they had from us. Whose level is another by now keeps it.
        """
        was = {} if before is None else before.loggers
        for name in self.loggers.keys() | was.keys():
            level, is_disabled = self.loggers.get(name, _UNSET)
            logger = logging.getLogger(name)
            if before is None or (
                was.get(name, _UNSET) != (level, is_disabled)
                and was.get(name, _UNSET) == (logger.level, bool(logger.disabled))
            ):
                set_level(logger, level)
                logger.disabled = is_disabled
        if before is None or self.disable != before.disable == logging.root.manager.disable:
            disable(self.disable)
