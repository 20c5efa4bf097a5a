"""Ways: which handlers a record reaches, from a logger and behind other handlers."""

from __future__ import annotations

import logging

from threadlog.config.plan import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from threadlog.config.plan import HandlerPlan, LoggerPlan, Plan

    Problems = Iterator[tuple[str, str]]


def circles(plan: Plan) -> Problems:
    """Yield the handlers whose records lead back to them."""

    def leads_to(handler: HandlerPlan, goal: str, seen: set[int]) -> bool:
        if id(handler) in seen:
            return False
        seen.add(id(handler))
        for sink in handler.sinks:
            behind = plan.handler(sink)
            if isinstance(sink, Reference) and sink.name == goal:
                return True
            if behind is not None and leads_to(behind, goal, seen):
                return True
        return False

    for name, handler in plan.handlers.items():
        if leads_to(handler, name, set()):
            yield handler.recipe.path, "its records lead back to itself"


def doubles(plan: Plan) -> Problems:
    """Yield where a record reaches a handler twice."""
    for handler in plan.all_handlers():
        path = handler.recipe.path
        ways = [_Way(plan, sink, path) for sink in handler.sinks]
        for place, way in enumerate(ways):
            for other in ways[:place]:
                for twice in way.common(other):
                    yield path, f"a record reaches {twice} twice; take it out of one place"
    for logger in plan.loggers.values():
        handlers = dict.fromkeys(logger.handlers)  # a logger takes each once
        ways = [_Way(plan, handler, f"{logger.path}.handlers") for handler in handlers]
        above = [
            _Way(plan, handler, f"{ancestor.path}.handlers")
            for ancestor in plan.ancestors(logger)
            for handler in ancestor.handlers
        ]
        for place, way in enumerate(ways):
            for other in ways[:place] + above:
                for twice in way.common(other):
                    yield (
                        way.origin,
                        f"a record reaches {twice} twice, by {way} and by {other};"
                        f" {_remedy(logger, other in above)}",
                    )


class _Way:
    """What a record reaches for certain that is given to one handler."""

    def __init__(self, plan: Plan, handler: Any, origin: str) -> None:
        self.origin = origin
        self.reached: dict[int, str] = {}
        self._first = ""
        self._follow(plan, handler)

    def __str__(self) -> str:
        return f"{self.origin} behind {self._first}" if len(self.reached) > 1 else self.origin

    def common(self, other: _Way) -> list[str]:
        return [path for key, path in self.reached.items() if key in other.reached]

    def _follow(self, plan: Plan, handler: Any) -> None:
        planned = plan.handler(handler)
        if planned is not None and planned.recipe.makes(logging.NullHandler):
            return
        key = id(planned or handler)
        if key in self.reached or (planned is None and isinstance(handler, Reference)):
            return
        self.reached[key] = planned.recipe.path if planned else repr(handler)
        self._first = self._first or self.reached[key]
        if planned is not None and not planned.filters:  # which may divide the records
            for sink in planned.sinks:
                self._follow(plan, sink)


def _remedy(logger: LoggerPlan, is_above: bool) -> str:
    if is_above:
        return f"write propagate: false in {logger.path}, or take it out of one place"
    return "take it out of one place"
