"""Making: a plan becomes formatters, filters and handlers, or nothing."""

from __future__ import annotations

import contextlib
import logging
import re

from threadlog.config.listening import Listening
from threadlog.config.plan import HandlerPlan, Recipe, Reference
from threadlog.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from threadlog.config.plan import Plan


class _Unmade(Exception):  # noqa: N818
    """Something cannot be made; it has been told why."""


class Made:
    """What a plan asks for, made. Raises ConfigError, which tells of all that cannot be.

    `old` are the handlers that there were before.
    """

    def __init__(self, plan: Plan) -> None:
        references = list(logging._handlerList)  # type: ignore[attr-defined]
        self.old = [handler for reference in references if (handler := reference()) is not None]
        self.listeners: list[Listening] = []
        self._plan = plan
        self._problems: list[tuple[str, str]] = []
        self._made: dict[int, Any] = {}  # by the identity of its plan
        self._incomplete: list[tuple[Recipe | HandlerPlan, Any]] = []
        try:
            for kind in ("formatters", "filters", "handlers"):
                for name in getattr(plan, kind):
                    with contextlib.suppress(_Unmade):
                        self.value(Reference(kind, name))
            if not self._problems:
                for planned, made in self._incomplete:
                    self._complete(planned, made)
            if self._problems:
                raise ConfigError(self._problems)
        except BaseException:
            self.undo()
            raise
        self.named = {name: self.value(handler) for name, handler in plan.handlers.items()}

    def handlers(self) -> list[Any]:
        """Return all that it has made."""
        return [made for made in self._made.values() if isinstance(made, logging.Handler)]

    def uses(self, handler: object) -> bool:
        """Return whether *handler* was made or, as a sink, given."""
        given = [sink for planned in self._plan.handlers.values() for sink in planned.sinks]
        return any(handler is one for one in (*self._made.values(), *given))

    def value(self, planned: Any) -> Any:
        """Return what *planned* stands for, made once. Raises _Unmade."""
        if isinstance(planned, Reference):
            planned = getattr(self._plan, planned.kind)[planned.name]
        if isinstance(planned, (Recipe, HandlerPlan)):
            if id(planned) not in self._made:
                self._made[id(planned)] = _Unmade
                self._made[id(planned)] = self._make(planned)
            if self._made[id(planned)] is _Unmade:
                raise _Unmade
            return self._made[id(planned)]
        if type(planned) is dict:
            return {key: self.value(inner) for key, inner in planned.items()}
        if type(planned) in (list, tuple):
            return type(planned)(self.value(inner) for inner in planned)
        return planned

    def undo(self) -> None:
        for listener in self.listeners:
            listener.stop()
        new = [one for one in self.handlers() if not any(one is known for known in self.old)]
        forget(new)
        for handler in reversed(new):
            with contextlib.suppress(Exception):  # the config's error says more
                handler.close()

    def _make(self, planned: Recipe | HandlerPlan) -> Any:
        recipe = planned if isinstance(planned, Recipe) else planned.recipe
        positional, arguments = self.value(recipe.positional), self.value(recipe.arguments)
        try:
            made = _called(recipe, positional, arguments)
            if recipe.method and not _has(made, recipe.method):
                message = f"{made!r} has been made, which has no method {recipe.method}"
                self._problems.append((recipe.path, message))
                raise _Unmade
            if isinstance(planned, HandlerPlan) and planned.listener is not None:
                self._listen(planned, made, *positional)
        except _Unmade:
            raise
        except Exception as error:
            self._problems.append(located(recipe, error))
            raise _Unmade from error
        self._incomplete.append((planned, made))
        return made

    def _listen(self, planned: HandlerPlan, handler: Any, queue: Any) -> None:
        assert planned.listener is not None
        factory = self.value(planned.listener.factory)
        sinks = [self.value(sink) for sink in planned.sinks]
        respects_level = planned.listener.respects_level
        handler.listener = factory(queue, *sinks, respect_handler_level=respects_level)
        self.listeners.append(Listening(handler, queue, handler.listener))

    def _complete(self, planned: Recipe | HandlerPlan, made: Any) -> None:
        """Set what is set on an object once it is there; it may have been there before."""
        recipe = planned if isinstance(planned, Recipe) else planned.recipe
        try:
            if isinstance(planned, HandlerPlan):
                if planned.formatter is not None:
                    made.setFormatter(self.value(planned.formatter))
                if planned.level is not None:
                    made.setLevel(planned.level)
                for item in planned.filters:
                    made.addFilter(self.value(item))
            for name, value in self.value(recipe.attributes).items():
                setattr(made, name, value)
        except Exception as error:
            self._problems.append(located(recipe, error))


def _called(recipe: Recipe, positional: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
    try:
        return recipe.factory(*positional, **arguments)
    except TypeError as error:
        if recipe.method != "format" or "format" not in arguments or "'format'" not in str(error):
            raise
        fmt = arguments.pop("format")  # as logging does: its own formatters call it fmt
        return recipe.factory(*positional, fmt=fmt, **arguments)


def _has(made: Any, method: str) -> bool:
    is_function = method == "filter" and callable(made)
    return is_function or callable(getattr(made, method, None))


def located(recipe: Recipe, error: Exception) -> tuple[str, str]:
    """Return the problem that *error* tells of: of the argument that it begins with, if any."""
    text = str(error)
    if not isinstance(error, (TypeError, ValueError)) or not text:
        text = f"{type(error).__name__}: {text}"
    named = re.match(r"(\w+)[ =]", text)
    word = named[1] if named else ""
    if word in recipe.arguments:
        return f"{recipe.path}.{word}", text[len(word) + 1 :]
    if recipe.makes(logging.Formatter) and recipe.positional:
        return f"{recipe.path}.{'style' if word == 'Style' else 'format'}", text
    return recipe.path, text


def forget(handlers: Sequence[logging.Handler]) -> None:
    """Take *handlers* off the list of those that `logging` closes at the end of the process."""
    with logging._lock:  # type: ignore[attr-defined]
        known = logging._handlerList  # type: ignore[attr-defined]
        known[:] = [one for one in known if not any(one() is handler for handler in handlers)]
