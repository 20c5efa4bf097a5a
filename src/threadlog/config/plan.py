"""Plan: what a config asks for, read, and not yet made."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def unknown(*_: Any, **__: Any) -> None:
    """Stand for what a name means that could not be found."""


@dataclass(frozen=True)
class Reference:
    """What is made of the entry *name* in the section *kind*: "formatters", "filters", …"""

    kind: str
    name: str


@dataclass(eq=False)
class Recipe:
    """How an object is made: by a call, after which attributes are set."""

    path: str
    factory: Callable[..., Any]
    positional: tuple[Any, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    method: str | None = None  # that the object must have: "format", "filter", "handle"

    def makes(self, *classes: type) -> bool:
        """Return whether the object will be one of *classes*, as far as can be known."""
        return isinstance(self.factory, type) and issubclass(self.factory, classes)

    def bound(self) -> dict[str, Any]:
        """Return the arguments of the call by name, those that are not given included."""
        try:
            call = inspect.signature(self.factory).bind(*self.positional, **self.arguments)
        except (TypeError, ValueError):
            return dict(self.arguments)
        call.apply_defaults()
        return dict(call.arguments)


@dataclass(eq=False)
class HandlerPlan:
    """A handler. One that is written inside of another has no *name*."""

    recipe: Recipe
    name: str | None = None
    level: int | None = None
    formatter: Reference | None = None
    filters: list[Any] = field(default_factory=list)
    # Those to which a queue or memory handler hands its records on.
    sinks: list[Reference | HandlerPlan | logging.Handler] = field(default_factory=list)
    listener: ListenerPlan | None = None


@dataclass(eq=False)
class ListenerPlan:
    """The listener of a queue that is not the handler's own."""

    factory: Any  # called with queue and sinks; or the recipe of what is
    respects_level: bool


@dataclass(eq=False)
class LoggerPlan:
    """A logger; the root's *name* is ""."""

    path: str
    name: str
    level: int | None = None
    propagate: bool | None = None
    handlers: list[Reference] = field(default_factory=list)
    filters: list[Any] = field(default_factory=list)

    def propagates(self) -> bool:
        if self.propagate is not None:
            return self.propagate
        known = logging.root.manager.loggerDict.get(self.name)  # whose own is left as it is
        return known.propagate if isinstance(known, logging.Logger) else True


@dataclass(eq=False)
class Plan:
    formatters: dict[str, Recipe] = field(default_factory=dict)
    filters: dict[str, Recipe] = field(default_factory=dict)
    handlers: dict[str, HandlerPlan] = field(default_factory=dict)
    loggers: dict[str, LoggerPlan] = field(default_factory=dict)
    is_incremental: bool = False
    disables_existing: bool = True
    switches: Switches | None = None  # None: nothing is said of them

    def handler(self, sink: Any) -> HandlerPlan | None:
        """Return the plan of one of `HandlerPlan.sinks`; None if it is a handler already."""
        if isinstance(sink, Reference):
            return self.handlers.get(sink.name)
        return sink if isinstance(sink, HandlerPlan) else None

    def all_handlers(self) -> list[HandlerPlan]:
        """Return all handlers that are planned, those written inside of others included."""
        found = list(self.handlers.values())
        for handler in found:  # which grows
            found += [sink for sink in handler.sinks if isinstance(sink, HandlerPlan)]
        return found

    def ancestors(self, logger: LoggerPlan) -> Iterator[LoggerPlan]:
        """Yield the planned loggers to which the records of *logger* propagate."""
        name = logger.name
        while name and logger.propagates():
            name = name.rpartition(".")[0]
            above = self.loggers.get(name)
            if above is not None:
                yield above
                logger = above


@dataclass(frozen=True)
class Switches:
    """What is turned on beside handlers and loggers."""

    thread_info: bool | str = False  # or its prefix
    children: bool = False
    uncaught: bool = False
    fast: bool = False
