"""Levels: what a number or a name means, and how one is set."""

from __future__ import annotations

import logging

from threadlog.nearest import did_you_mean
from threadlog.standard import own

_set_level = own(logging.Logger, "setLevel")  # programs replace it


def set_level(logger: logging.Logger, level: int | str) -> None:
    """Do what `logger.setLevel(level)` does, whatever signal handlers do meanwhile: see below."""
    if getattr(logger.setLevel, "__func__", None) is not _set_level:  # of the program's own
        logger.setLevel(level)
        return
    logger.level = logging._checkLevel(level)  # type: ignore[attr-defined]
    forget_levels()


def disable(level: int) -> None:
    """Do what `logging.disable(level)` does, likewise."""
    logging.root.manager.disable = level
    forget_levels()


def forget_levels() -> None:
    """Have all loggers forget which levels are enabled, and tell children of it."""
    vars(logging.root.manager).get("_clear_cache", clear_caches)()


def clear_caches() -> None:
    """Do what `logging.Manager._clear_cache` does.

    That one goes through the dictionary of all loggers itself. It raises RuntimeError if a signal
    handler or a finalizer gets a new one meanwhile, and before Python 3.13 it keeps logging's lock
    then.
    """
    with logging._lock:  # type: ignore[attr-defined]
        for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
            if isinstance(logger, logging.Logger):
                logger._cache.clear()  # type: ignore[attr-defined]


def level_number(level: object) -> int:
    """Return the number of *level*, a number or a name. Raises ValueError for anything else."""
    if isinstance(level, int) and not isinstance(level, bool):
        return int(level)
    known = logging.getLevelNamesMapping()
    if isinstance(level, str) and level in known:
        return known[level]
    if isinstance(level, str) and level.isdecimal():
        raise ValueError(f"there is no level {level!r}; write the number {level}, without quotes")
    hint = isinstance(level, str) and did_you_mean(level, known)
    hint = hint or f"the levels are {', '.join(known)}, or a number"
    raise ValueError(f"there is no level {level!r}; {hint}")
