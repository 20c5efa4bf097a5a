"""Judging: what cannot work in a plan whose every word is known."""

from __future__ import annotations

import inspect
import logging
import logging.handlers
import os
import re
import string

from threadlog.config.making import forget, located
from threadlog.config.plan import HandlerPlan, Recipe, Reference, unknown
from threadlog.filters import ThreadInfoFilter, stamp
from threadlog.formatters import ThreadInfoFormatter
from threadlog.handlers import (
    FileHandler,
    QueueHandler,
    RotatingFileHandler,
    TimedRotatingFileHandler,
)
from threadlog.nearest import did_you_mean
from threadlog.toggle import is_logging_with_thread_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from threadlog.config.plan import LoggerPlan, Plan

    Problems = Iterator[tuple[str, str]]

# What may be made to see whether it can be. Files are not opened.
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
# A field, and no letter that says how to show it.
_BARE = re.compile(r"%\((\w+)\)(?![#0+ -]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[diouxXeEfFgGcrsa])")
_NOWHERE = logging.NullHandler()
_ROTATING = (logging.handlers.RotatingFileHandler, logging.handlers.TimedRotatingFileHandler)
# What two handlers of one file must agree in, by name and by default.
_ROTATION = ("maxBytes", "backupCount", "when", "interval", "utc", "atTime", "compress")


def judge(plan: Plan) -> Problems:
    """Yield what is wrong."""
    yield from _that_cannot_be_made(plan)
    yield from _that_lead_to_themselves(plan)
    yield from _that_share_a_file(plan)
    yield from _that_are_reached_twice(plan)
    yield from _fields_that_nobody_supplies(plan)


def _all_handlers(plan: Plan) -> Iterator[HandlerPlan]:
    def inside(handler: HandlerPlan) -> Iterator[HandlerPlan]:
        yield handler
        for sink in handler.sinks:
            if not isinstance(sink, (Reference, logging.Handler)):
                yield from inside(sink)

    for handler in plan.handlers.values():
        yield from inside(handler)


# Wrong values


def _that_cannot_be_made(plan: Plan) -> Problems:
    for recipe in plan.formatters.values():
        if recipe.factory in _PLAIN:
            yield from _trial(recipe, recipe.factory, {})
            yield from _letters(recipe)
    for recipe in plan.filters.values():
        if recipe.factory in _PLAIN:
            yield from _trial(recipe, recipe.factory, {})
    for handler in _all_handlers(plan):
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


def _letters(recipe: Recipe) -> Problems:
    """Look for `%(name)` without a letter, and for letters that do not fit logging's fields."""
    call = _bound(recipe)
    fmt = call.get("fmt")
    if not isinstance(fmt, str) or call.get("style") != "%":
        return
    path, text = f"{recipe.path}.format", fmt.replace("%%", "")
    bare = _BARE.findall(text)
    for name in bare:
        yield path, f"write %({name})s: a letter must follow"
    record = logging.LogRecord("", logging.INFO, __file__, 1, "", (), None)
    stamp(record)
    fields = record.__dict__ | {"message": "", "asctime": ""}
    if not bare and fields.keys() >= set(_fields(fmt, "%")):
        try:
            fmt % fields
        except (TypeError, ValueError) as error:
            yield path, f"{fmt!r} cannot be filled: {error}"


# Handlers behind handlers


def _that_lead_to_themselves(plan: Plan) -> Problems:
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


def _that_are_reached_twice(plan: Plan) -> Problems:
    for handler in _all_handlers(plan):
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
            for ancestor in _ancestors(plan, logger)
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


def _ancestors(plan: Plan, logger: LoggerPlan) -> Iterator[LoggerPlan]:
    """Yield the planned loggers to which the records of *logger* propagate."""
    name = logger.name
    while name and _propagates(logger):
        name = name.rpartition(".")[0]
        above = plan.loggers.get(name)
        if above is not None:
            yield above
            logger = above


def _propagates(logger: LoggerPlan) -> bool:
    if logger.propagate is not None:
        return logger.propagate
    known = logging.root.manager.loggerDict.get(logger.name)  # whose own is left as it is
    return known.propagate if isinstance(known, logging.Logger) else True


def _remedy(logger: LoggerPlan, is_above: bool) -> str:
    if is_above:
        return f"write propagate: false in {logger.path}, or take it out of one place"
    return "take it out of one place"


# Files


def _that_share_a_file(plan: Plan) -> Problems:
    users: dict[str, Recipe] = {}
    for handler in _all_handlers(plan):
        recipe = handler.recipe
        if not recipe.makes(logging.FileHandler):
            continue
        filename = _bound(recipe).get("filename")
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
    first, second = _bound(one), _bound(other)
    if any(mode in ("w", "x") for mode in (first.get("mode"), second.get("mode"))):
        return "with mode 'w' or 'x' a file cannot be shared"
    if one.makes(*_ROTATING) or other.makes(*_ROTATING):
        if one.factory is not other.factory:
            return "what rotates a file can only share it with another of the same class"
        for key in _ROTATION:
            if first.get(key) != second.get(key):
                return f"the two must agree on {key}"
    return None


def _bound(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of the call by name, those that are not given included."""
    try:
        call = inspect.signature(recipe.factory).bind(*recipe.positional, **recipe.arguments)
    except (TypeError, ValueError):
        return dict(recipe.arguments)
    call.apply_defaults()
    return dict(call.arguments)


# Fields

_STAMPED = ("taskName", "native_id", "thread_number", "work_item", "log_context", "thread_info")


def _fields_that_nobody_supplies(plan: Plan) -> Problems:
    for handler in _all_handlers(plan):
        recipe = plan.formatters.get(handler.formatter.name) if handler.formatter else None
        if recipe is None or recipe.factory not in _PLAIN:
            continue  # a formatter of somebody else's may supply fields itself
        call = _bound(recipe)
        supplied = _supplied(plan, handler)
        if supplied is None or call.get("wrapped") is not None:
            continue
        supplied |= set(call.get("defaults") or ())
        if recipe.factory is ThreadInfoFormatter:
            supplied |= set(_STAMPED)
        for name in _fields(call.get("fmt"), call.get("style")):
            if name not in supplied:
                what = f"nothing supplies {name!r} to {handler.recipe.path}"
                yield f"{recipe.path}.format", f"{what}; {_instead(name, supplied)}"


def _instead(name: str, supplied: set[str]) -> str:
    if name in _STAMPED:
        return "threadlog.ThreadInfoFilter does, in its filters"
    return (
        did_you_mean(name, {*supplied, *_STAMPED})
        or "give the formatter defaults for it, or the handler a filter that sets it"
    )


def _fields(fmt: Any, style: Any) -> list[str]:
    if not isinstance(fmt, str):
        return []
    try:
        if style == "{":
            names = [
                re.match(r"\w*", field or "") for _, field, _, _ in string.Formatter().parse(fmt)
            ]
            found = [match[0] for match in names if match]
        elif style == "$":
            found = string.Template(fmt).get_identifiers()
        else:
            found = re.findall(r"%\((.*?)\)", fmt.replace("%%", ""))
    except ValueError:
        return []  # the trial has told of it
    return list(dict.fromkeys(filter(None, found)))


def _supplied(plan: Plan, handler: HandlerPlan) -> set[str] | None:
    """Return the fields that a record has for certain when *handler* renders it.

    None: there is a filter or a handler of somebody else's, which may set any.
    """
    try:
        record = logging.getLogRecordFactory()("", logging.INFO, __file__, 1, "", (), None)
    except Exception:
        return None
    supplied = {*record.__dict__, "message", "asctime"}
    shows = plan.switches is not None and plan.switches.thread_info is not False
    is_stamped = shows or is_logging_with_thread_info()
    before = _before(plan, handler)
    if not all(_is_known(one.recipe.factory) for one in before):
        return None
    is_stamped = is_stamped or any(one.recipe.makes(QueueHandler) for one in before)
    filters = [item for one in before for item in one.filters]
    filters += [item for one in _loggers_before(plan, before) for item in one.filters]
    for item in filters:
        cls = plan.filters[item.name].factory if isinstance(item, Reference) else type(item)
        if cls is ThreadInfoFilter:
            is_stamped = True
        elif cls is not logging.Filter:
            return None
    if is_stamped:
        stamp(record)
    return supplied | set(record.__dict__)


def _is_known(factory: Any) -> bool:
    module = getattr(factory, "__module__", None) or ""
    return module.partition(".")[0] in ("logging", "threadlog")


def _before(plan: Plan, handler: HandlerPlan) -> list[HandlerPlan]:
    """Return *handler*, and those that hand records on to it."""
    found = [handler]
    for known in found:  # which grows
        found += [
            other
            for other in _all_handlers(plan)
            if other not in found and any(plan.handler(sink) is known for sink in other.sinks)
        ]
    return found


def _loggers_before(plan: Plan, handlers: list[HandlerPlan]) -> Iterator[LoggerPlan]:
    """Yield the loggers whose own records come to one of *handlers*."""
    wanted = {id(handler) for handler in handlers}
    for logger in plan.loggers.values():
        for reaching in (logger, *_ancestors(plan, logger)):
            if wanted & {id(plan.handler(reference)) for reference in reaching.handlers}:
                yield logger
                break
