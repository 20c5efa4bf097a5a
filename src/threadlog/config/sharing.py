"""Sharing: files that two handlers would have."""

from __future__ import annotations

import logging
import logging.handlers
import os

from threadlog.handlers import FileHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadlog.config.plan import Plan, Recipe

    Problems = Iterator[tuple[str, str]]

_ROTATING = (logging.handlers.RotatingFileHandler, logging.handlers.TimedRotatingFileHandler)
# What they must agree in if they rotate it.
_ROTATION = ("maxBytes", "backupCount", "when", "interval", "utc", "atTime", "compress")


def shared_files(plan: Plan) -> Problems:
    """Yield the files of two handlers that cannot share one."""
    users: dict[str, Recipe] = {}
    for handler in plan.all_handlers():
        recipe = handler.recipe
        if not recipe.makes(logging.FileHandler):
            continue
        filename = recipe.bound().get("filename")
        if not isinstance(filename, (str, os.PathLike)):
            continue
        try:
            path = os.path.realpath(os.fsdecode(filename))
            if os.path.exists(filename) and not os.path.isfile(filename):
                continue  # a terminal, a pipe, /dev/null
        except ValueError as error:  # a NUL in the name
            yield f"{recipe.path}.filename", str(error)
            continue
        first = users.setdefault(path, recipe)
        reason = _why_not_shared(first, recipe) if first is not recipe else None
        if reason:
            yield f"{recipe.path}.filename", f"is the file of {first.path}, too; {reason}"


def _why_not_shared(one: Recipe, other: Recipe) -> str | None:
    for recipe in (one, other):
        if not recipe.makes(FileHandler):
            return (
                "only the file handlers of threadlog.handlers can share one:"
                f" {recipe.path} is a {recipe.factory.__module__}.{recipe.factory.__qualname__}"
            )
    first, second = one.bound(), other.bound()
    if any(mode in ("w", "x") for mode in (first.get("mode"), second.get("mode"))):
        return "with mode 'w' or 'x' a file cannot be shared"
    if one.makes(*_ROTATING) or other.makes(*_ROTATING):
        if one.factory is not other.factory:
            return "what rotates a file can only share it with another of the same class"
        for key in _ROTATION:
            if first.get(key) != second.get(key):
                return f"the two must agree on {key}"
    return None
