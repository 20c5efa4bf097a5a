"""Fields: what formats show, and whether anybody supplies it."""

from __future__ import annotations

import logging
import re
import string

from threadlog.config.plan import Reference
from threadlog.filters import ThreadInfoFilter, stamp
from threadlog.formatters import ThreadInfoFormatter
from threadlog.handlers import QueueHandler
from threadlog.nearest import did_you_mean
from threadlog.toggle import is_logging_with_thread_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from threadlog.config.plan import HandlerPlan, LoggerPlan, Plan, Recipe

    Problems = Iterator[tuple[str, str]]

_PLAIN = (logging.Formatter, ThreadInfoFormatter)  # others may supply fields themselves
_STAMPED = ("taskName", "native_id", "thread_number", "work_item", "log_context", "thread_info")
# A field, and no letter that says how to show it.
_BARE = re.compile(r"%\((\w+)\)(?![#0+ -]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[diouxXeEfFgGcrsa])")


def unfilled(plan: Plan) -> Problems:
    """Yield what is wrong in formats: letters, and fields that nobody supplies."""
    for recipe in plan.formatters.values():
        if recipe.factory in _PLAIN:
            yield from _letters(recipe)
    for handler in plan.all_handlers():
        formatter = plan.formatters.get(handler.formatter.name) if handler.formatter else None
        if formatter is None or formatter.factory not in _PLAIN:
            continue
        call = formatter.bound()
        supplied = _supplied(plan, handler)
        if supplied is None or call.get("wrapped") is not None:
            continue
        supplied |= set(call.get("defaults") or ())
        if formatter.factory is ThreadInfoFormatter:
            supplied |= set(_STAMPED)
        for name in _fields(call.get("fmt"), call.get("style")):
            if name not in supplied:
                what = f"nothing supplies {name!r} to {handler.recipe.path}"
                yield f"{formatter.path}.format", f"{what}; {_instead(name, supplied)}"


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
            for other in plan.all_handlers()
            if other not in found and any(plan.handler(sink) is known for sink in other.sinks)
        ]
    return found


def _loggers_before(plan: Plan, handlers: list[HandlerPlan]) -> Iterator[LoggerPlan]:
    """Yield the loggers whose own records come to one of *handlers*."""
    wanted = {id(handler) for handler in handlers}
    for logger in plan.loggers.values():
        for reaching in (logger, *plan.ancestors(logger)):
            if wanted & {id(plan.handler(reference)) for reference in reaching.handlers}:
                yield logger
                break


def _letters(recipe: Recipe) -> Problems:
    """Look for `%(name)` without a letter, and for letters that do not fit logging's fields."""
    call = recipe.bound()
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
