"""The level that a number or a name means."""

from __future__ import annotations

import logging

from threadlog.nearest import did_you_mean


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
