"""Calls: whether a factory takes what it will be given, and makes what is wanted."""

from __future__ import annotations

import inspect

from threadlog.config.plan import unknown
from threadlog.nearest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from threadlog.config.plan import Recipe

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_NOUNS = {"format": "formatter", "filter": "filter", "handle": "handler"}


def parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return what *factory* takes; None if it is written in C and does not say."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None


def problems_of_call(recipe: Recipe, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the call of *recipe*'s factory.

    *keys* are those of the entry that are no arguments.
    """
    factory, path, method = recipe.factory, recipe.path, recipe.method
    if factory is unknown:
        return
    name = getattr(factory, "__name__", repr(factory))
    if method and isinstance(factory, type) and not callable(getattr(factory, method, None)):
        yield path, f"{name} is no {_NOUNS[method]}: it has no method {method}"
        return
    known = parameters(factory)
    if known is None:
        return
    by_place = [key for key, parameter in known.items() if parameter.kind in _BY_PLACE]
    taken = by_place[: len(recipe.positional)]
    named = [key for key, p in known.items() if p.kind in _BY_NAME and key not in taken]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    wrong = [
        key
        for key in recipe.arguments
        if key not in named and not (takes_any and str(key).isidentifier())
    ]
    for key in wrong:
        takes = f"; it takes {', '.join(named)}" if named else ""
        hint = did_you_mean(key, (*named, *keys), "{}")
        yield f"{path}.{key}", hint or f"{name} has no such argument{takes}"
    missing = [
        key
        for key in named
        if known[key].default is inspect.Parameter.empty and key not in recipe.arguments
    ]
    for key in missing:
        yield path, f"{name} needs {key}"
    if not wrong and not missing:
        try:
            inspect.signature(factory).bind(*recipe.positional, **recipe.arguments)
        except TypeError as error:
            yield path, f"{name} cannot be called with this: {error}"
