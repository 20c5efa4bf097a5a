"""Making: what goes wrong in it, and how it is undone."""

from __future__ import annotations

import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from threadlog.config.plan import Recipe


def located(recipe: Recipe, error: Exception) -> tuple[str, str]:
    """Return the problem that *error* tells of: of the argument that it begins with, if any."""
    text = str(error)
    if not isinstance(error, (TypeError, ValueError)) or not text:
        text = f"{type(error).__name__}: {text}"
    word, space, rest = text.partition(" ")
    if space and word in recipe.arguments:
        return f"{recipe.path}.{word}", rest
    if recipe.makes(logging.Formatter) and recipe.positional:
        return f"{recipe.path}.{'style' if word == 'Style' else 'format'}", text
    return recipe.path, text


def forget(handlers: Sequence[logging.Handler]) -> None:
    """Take *handlers* off the list of those that `logging` closes at the end of the process."""
    with logging._lock:  # type: ignore[attr-defined]
        known = logging._handlerList  # type: ignore[attr-defined]
        known[:] = [one for one in known if not any(one() is handler for handler in handlers)]
