"""Values: which of the arguments are refused by what would be made."""

from __future__ import annotations

import inspect
import logging
import logging.handlers

from threadlog.config.making import forget, located
from threadlog.config.plan import unknown
from threadlog.filters import ThreadInfoFilter
from threadlog.formatters import ThreadInfoFormatter
from threadlog.handlers import (
    FileHandler,
    QueueHandler,
    RotatingFileHandler,
    TimedRotatingFileHandler,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from threadlog.config.plan import Plan, Recipe

    Problems = Iterator[tuple[str, str]]

_PLAIN = (logging.Formatter, ThreadInfoFormatter, logging.Filter, ThreadInfoFilter)
_FILES = {
    logging.FileHandler: FileHandler,  # which is tried instead, as it says better what is wrong
    logging.handlers.WatchedFileHandler: FileHandler,
    logging.handlers.RotatingFileHandler: RotatingFileHandler,
    logging.handlers.TimedRotatingFileHandler: TimedRotatingFileHandler,
    FileHandler: FileHandler,
    RotatingFileHandler: RotatingFileHandler,
    TimedRotatingFileHandler: TimedRotatingFileHandler,
}
_NOWHERE = logging.NullHandler()


def refused_values(plan: Plan) -> Problems:
    """Yield what objects refuse. It is tried by making them, where that does no harm."""
    for recipe in plan.formatters.values():
        if recipe.factory in _PLAIN:
            yield from _trial(recipe, recipe.factory, {})
    for recipe in plan.filters.values():
        if recipe.factory in _PLAIN:
            yield from _trial(recipe, recipe.factory, {})
    for handler in plan.all_handlers():
        recipe = handler.recipe
        factory: Any = recipe.factory
        if factory in _FILES:
            yield from _trial(recipe, _FILES[factory], {"delay": True})
        elif factory is QueueHandler and not recipe.positional:
            yield from _trial(recipe, factory, {"handlers": [_NOWHERE]})
        elif factory is logging.StreamHandler:
            stream = recipe.arguments.get("stream")
            if not (stream is None or stream is unknown or hasattr(stream, "write")):
                message = f"must be a stream such as 'ext://sys.stdout', not {stream!r}"
                yield f"{recipe.path}.stream", message


def _trial(recipe: Recipe, factory: Any, instead: dict[str, Any]) -> Problems:
    """Make it, and again without each argument that is refused."""
    takes = inspect.signature(factory)
    arguments = {
        name: value
        for name, value in (recipe.arguments | instead).items()
        if name in takes.parameters and value is not unknown
    }
    while True:
        try:
            takes.bind(*recipe.positional, **arguments)
        except TypeError:  # one is missing, and that has been told of
            return
        try:
            made = factory(*recipe.positional, **arguments)
        except Exception as error:
            path, message = located(recipe, error)
            yield path, message
            if arguments.pop(path.removeprefix(f"{recipe.path}."), None) is None:
                return
        else:
            if isinstance(made, logging.Handler):
                forget([made])
                made.close()
            return
