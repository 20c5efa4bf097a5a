"""Reading: a config becomes a plan, and each word of it that cannot be meant a problem."""

from __future__ import annotations

import logging
import logging.handlers

from threadlog.config import naming
from threadlog.config.calls import parameters, problems_of_call
from threadlog.config.plan import (
    HandlerPlan,
    ListenerPlan,
    LoggerPlan,
    Plan,
    Recipe,
    Reference,
    Switches,
    unknown,
)
from threadlog.handlers import QueueHandler, QueueListener
from threadlog.level import level_number
from threadlog.nearest import did_you_mean, with_hint
from threadlog.toggle import check_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_OWN = "threadlog"
_SWITCHES = ("thread_info", "children", "uncaught", "fast")
_KINDS = {"formatters": "formatter", "filters": "filter", "handlers": "handler"}
_TOP = (*_KINDS, "version", "loggers", "root", "incremental", "disable_existing_loggers", _OWN)
_OBJECT = ("()", "class", ".")
_FORMATTER = ("format", "datefmt", "style", "validate", "defaults")
_HANDLER = ("level", "formatter", "filters")
_LOGGER = ("level", "propagate", "handlers", "filters")
# Arguments that a config file without tuples can only give as a list.
_TUPLES = (
    (logging.handlers.SMTPHandler, "mailhost"),
    (logging.handlers.SysLogHandler, "address"),
)


def read(config: Any) -> tuple[Plan, list[tuple[str, str]]]:
    """Return what *config* asks for, as far as it can be understood, and what is wrong in it."""
    reader = _Reader(config)
    reader.read()
    return reader.plan, reader.problems


class _Reader:
    def __init__(self, config: Any) -> None:
        self.config = config
        self.plan = Plan()
        self.problems: list[tuple[str, str]] = []
        self._looked_at: set[str] = set()  # top-level keys that some cfg:// leads to
        self._open: list[str] = []  # the cfg:// that are being followed
        self._inside: list[Any] = []  # the dicts and lists that are being read

    def say(self, path: str, message: str) -> None:
        if (path, message) not in self.problems:
            self.problems.append((path, message))

    def read(self) -> None:
        config, plan = self.config, self.plan
        if not isinstance(config, dict):
            self.say("", f"a logging config must be a dict, not {_shown(config)}")
            return
        if isinstance(config.get("version"), bool) or config.get("version") != 1:
            given = f", not {_shown(config['version'])}" if "version" in config else ""
            self.say("version", f"write 1, the version of logging's schema{given}")
        plan.is_incremental = self._flag(config, "", "incremental", default=False)
        plan.disables_existing = self._flag(config, "", "disable_existing_loggers", default=True)
        if plan.is_incremental:
            for name, entry in self._section("handlers"):
                self._read_handler_level(f"handlers.{name}", name, entry)
        else:
            for name, entry in self._section("formatters"):
                plan.formatters[name] = self._formatter(f"formatters.{name}", entry)
            for name, entry in self._section("filters"):
                plan.filters[name] = self._filter(f"filters.{name}", entry)
            for name, entry in self._section("handlers"):
                plan.handlers[name] = self._handler(f"handlers.{name}", entry, name)
        for name, entry in self._section("loggers"):
            self._read_logger(f"loggers.{name}", name, entry)
        root = self._elsewhere("root", config.get("root"))
        if root:  # as in logging: an empty one changes nothing
            self._read_logger("root", "", root)
        elif root is not None:
            self._is_dict("root", root)
        if config.get(_OWN) is not None:
            plan.switches = self._switches(config[_OWN])
        extensions = [key for key in config if str(key).startswith("x-")]  # YAML's anchors
        self._refuse_unknown("", config, (*_TOP, *self._looked_at), extensions)

    # Formatters, filters, handlers

    def _formatter(self, path: str, entry: Any) -> Recipe:
        if not self._is_dict(path, entry):
            return Recipe(path, unknown)
        if "()" in entry:
            recipe = self._custom(path, entry)
            # As in logging: its own formatters have `fmt`.
            takes = parameters(recipe.factory) or {}
            if "format" in recipe.arguments and "fmt" in takes and "format" not in takes:
                recipe.arguments["fmt"] = recipe.arguments.pop("format")
        else:
            recipe = self._by_class(path, entry, _FORMATTER, logging.Formatter)
            recipe.positional = (
                self._text(path, entry, "format", None),
                self._text(path, entry, "datefmt", None),
                self._text(path, entry, "style", "%"),
            )
            if "validate" in entry:
                recipe.positional += (self._flag(entry, path, "validate", default=True),)
            if entry.get("defaults") is not None:
                defaults = self._value(f"{path}.defaults", entry["defaults"])
                if self._is_dict(f"{path}.defaults", defaults):
                    recipe.arguments["defaults"] = defaults
        self._check(recipe, _FORMATTER, "format")
        return recipe

    def _filter(self, path: str, entry: Any) -> Recipe:
        if not self._is_dict(path, entry):
            return Recipe(path, unknown)
        recipe = (
            self._custom(path, entry)
            if "()" in entry
            else self._by_class(path, entry, (), logging.Filter)
        )
        self._check(recipe, (), "filter")
        return recipe

    def _handler(self, path: str, entry: Any, name: str | None = None) -> HandlerPlan:
        if not self._is_dict(path, entry):
            return HandlerPlan(Recipe(path, unknown), name)
        recipe = (
            self._custom(path, entry, _HANDLER)
            if "()" in entry
            else self._by_class(path, entry, _HANDLER, None)
        )
        plan = HandlerPlan(
            recipe,
            name,
            self._level(f"{path}.level", entry.get("level")),
            self._reference(f"{path}.formatter", "formatters", entry["formatter"])
            if entry.get("formatter")
            else None,
            self._filters(f"{path}.filters", entry.get("filters")),
        )
        self._read_special(plan, is_by_class="()" not in entry)
        self._check(recipe, _HANDLER, "handle")
        return plan

    def _read_handler_level(self, path: str, name: str, entry: Any) -> None:
        known: Mapping[str, logging.Handler] = logging._handlers  # type: ignore[attr-defined]
        if name not in known:
            self.say(path, _no("handler", name, list(known)))
        if self._is_dict(path, entry):
            level = self._level(f"{path}.level", entry.get("level"))
            self.plan.handlers[name] = HandlerPlan(Recipe(path, unknown), name, level)

    def _by_class(
        self, path: str, entry: dict[Any, Any], keys: Iterable[str], plain: Any
    ) -> Recipe:
        """Read an entry with the key `class`; without one, *plain* is meant."""
        if entry.get("class") is None:
            if plain is None:
                self.say(path, "needs the key class, or (), with the name of what makes it")
            factory = plain or unknown
        else:
            factory = self._callable(f"{path}.class", entry["class"])
        return self._recipe(path, factory, entry, keys)

    def _custom(self, path: str, entry: dict[Any, Any], keys: Iterable[str] = ()) -> Recipe:
        """Read an entry with the key `()`."""
        if "class" in entry:
            self.say(f"{path}.class", "write either class or (), not both")
        return self._recipe(path, self._callable(f"{path}.()", entry["()"]), entry, keys)

    def _recipe(
        self, path: str, factory: Callable[..., Any], entry: dict[Any, Any], keys: Iterable[str]
    ) -> Recipe:
        arguments = {
            key: self._value(f"{path}.{key}", value)
            for key, value in entry.items()
            if key not in (*_OBJECT, *keys)
        }
        attributes = entry.get(".") or {}
        if self._is_dict(f"{path}..", attributes):
            attributes = self._value(f"{path}..", attributes)
        return Recipe(path, factory, (), arguments, attributes)

    # Arguments that do not mean what they are: as in logging, and in any order

    def _read_special(self, plan: HandlerPlan, *, is_by_class: bool) -> None:
        recipe = plan.recipe
        path, arguments = recipe.path, recipe.arguments
        if recipe.makes(QueueHandler) or (
            is_by_class and recipe.makes(logging.handlers.QueueHandler)
        ):
            self._read_queue(plan)
        elif recipe.makes(logging.handlers.MemoryHandler):
            if "flushLevel" in arguments:
                level = self._level(f"{path}.flushLevel", arguments["flushLevel"])
                arguments["flushLevel"] = logging.ERROR if level is None else level
            if arguments.get("target") is not None:
                plan.sinks = self._sinks(f"{path}.target", [arguments["target"]], "")
                arguments["target"] = plan.sinks[0] if plan.sinks else None
        for cls, name in _TUPLES:
            if recipe.makes(cls) and isinstance(arguments.get(name), list):
                arguments[name] = tuple(arguments[name])

    def _read_queue(self, plan: HandlerPlan) -> None:
        path, arguments = plan.recipe.path, plan.recipe.arguments
        handlers = arguments.get("handlers")
        plan.sinks = self._sinks(
            f"{path}.handlers", self._list(f"{path}.handlers", handlers), "[{}]"
        )
        if plan.recipe.makes(QueueHandler) and not {"queue", "listener"} & set(arguments):
            arguments["handlers"] = plan.sinks
            if not handlers:
                self.say(path, "needs handlers, a list of those behind the queue")
            return
        arguments.pop("handlers", None)
        queue = self._queue(f"{path}.queue", arguments.pop("queue", "queue.Queue"))
        plan.recipe.positional = (queue,)
        listener = self._listener(f"{path}.listener", arguments.pop("listener", QueueListener))
        respects_level = self._flag(arguments, path, "respect_handler_level", default=False)
        arguments.pop("respect_handler_level", None)
        if handlers is not None:
            plan.listener = ListenerPlan(listener, respects_level)

    def _sinks(self, path: str, sinks: list[Any], place: str) -> list[Any]:
        found: list[Any] = []
        for at, sink in enumerate(sinks):
            here = path + place.format(at)
            if isinstance(sink, dict):
                found.append(self._handler(here, sink))
            elif isinstance(sink, (str, Reference)):
                found.append(self._reference(here, "handlers", sink))
            elif callable(getattr(sink, "handle", None)):
                found.append(sink)
            else:
                self.say(here, f"must be the name of a handler, not {_shown(sink)}")
        return [sink for sink in found if sink is not None]

    def _queue(self, path: str, queue: Any) -> Any:
        if isinstance(queue, dict):
            return self._inner(path, queue)
        if isinstance(queue, str):
            return Recipe(path, self._callable(path, queue))
        methods = [getattr(queue, name, None) for name in ("put_nowait", "get")]
        if isinstance(queue, type) or not all(map(callable, methods)):
            self.say(path, f"must be a queue, or the name of what makes one, not {_shown(queue)}")
        return queue

    def _listener(self, path: str, listener: Any) -> Any:
        if isinstance(listener, dict):
            return self._inner(path, listener)
        found = self._callable(path, listener)
        if isinstance(found, type) and not issubclass(found, logging.handlers.QueueListener):
            self.say(path, f"must be a QueueListener, not {_shown(listener)}")
        return found

    def _inner(self, path: str, entry: dict[str, Any]) -> Recipe:
        if "()" not in entry:
            self.say(path, "needs the key (), with the name of what makes it")
            return Recipe(path, unknown)
        recipe = self._custom(path, entry)
        self._check(recipe, (), None)
        return recipe

    # Loggers and switches

    def _read_logger(self, path: str, name: str, entry: Any) -> None:
        if not self._is_dict(path, entry):
            return
        # An ini file's key; some write it in a dict, too, where it means nothing.
        others = ("qualname",) if entry.get("qualname") == name else ()
        self._refuse_unknown(path, entry, _LOGGER, others)
        name = "" if name == "root" else name
        logger = LoggerPlan(path, name, self._level(f"{path}.level", entry.get("level")))
        if entry.get("propagate") is not None:
            logger.propagate = self._flag(entry, path, "propagate", default=True)
        if not self.plan.is_incremental:
            logger.filters = self._filters(f"{path}.filters", entry.get("filters"))
            for at, handler in enumerate(self._list(f"{path}.handlers", entry.get("handlers"))):
                found = self._reference(f"{path}.handlers[{at}]", "handlers", handler)
                if found is not None:
                    logger.handlers.append(found)
        if name in self.plan.loggers:
            self.say(path, f"is the same logger as {self.plan.loggers[name].path}")
        self.plan.loggers[name] = logger

    def _switches(self, entry: Any) -> Switches | None:
        if not self._is_dict(_OWN, entry):
            return None
        self._refuse_unknown(_OWN, entry, _SWITCHES)
        path, info = f"{_OWN}.thread_info", entry.get("thread_info", False)
        if isinstance(info, dict):
            self._refuse_unknown(path, info, ("prefix",))
            path, info = f"{path}.prefix", info.get("prefix", True)
        if isinstance(info, str):
            try:
                check_prefix(info)
            except ValueError as error:
                self.say(path, str(error))
        elif type(info) is not bool:
            self.say(path, f"must be true, false or a prefix, not {_shown(info)}")
        return Switches(
            info,
            self._flag(entry, _OWN, "children", default=False),
            self._flag(entry, _OWN, "uncaught", default=False),
            self._flag(entry, _OWN, "fast", default=False),
        )

    def _check(self, recipe: Recipe, keys: Iterable[str], method: str | None) -> None:
        recipe.method = method
        for path, message in problems_of_call(recipe, keys):
            self.say(path, message)

    # Values

    def _section(self, name: str) -> list[tuple[str, Any]]:
        entries = self._elsewhere(name, self.config.get(name))
        if entries is None or not self._is_dict(name, entries):
            return []
        for key in entries:
            if not isinstance(key, str):
                self.say(name, f"a name here must be text, not {_shown(key)}")
        return [
            (key, self._elsewhere(f"{name}.{key}", entry))
            for key, entry in entries.items()
            if isinstance(key, str)
        ]

    def _elsewhere(self, path: str, entry: Any) -> Any:
        """Return *entry*, or what a cfg:// in its place leads to."""
        return self._value(path, entry) if isinstance(entry, str) else entry

    def _is_dict(self, path: str, value: Any) -> bool:
        if not isinstance(value, dict):
            self.say(path, f"must be a dict, not {_shown(value)}")
        return isinstance(value, dict)

    def _list(self, path: str, value: Any) -> list[Any]:
        value = self._value(path, value)
        if value is None:
            return []
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
            self.say(path, f"must be a list, not {_shown(value)}")
            return []
        return list(value)

    def _flag(self, entry: Mapping[str, Any], path: str, key: str, *, default: bool) -> bool:
        path = f"{path}.{key}".lstrip(".")
        value = self._value(path, entry.get(key, default))
        if isinstance(value, str) and value.lower() == "true":
            return True
        if value not in (True, False):  # logging takes any text for true, "false" as well
            self.say(path, f"must be true or false, not {_shown(value)}")
        return value is True or value == 1

    def _text(self, path: str, entry: dict[Any, Any], key: str, default: str | None) -> Any:
        value = self._value(f"{path}.{key}", entry.get(key, default))
        if not isinstance(value, (str, type(default))):
            self.say(f"{path}.{key}", f"must be text, not {_shown(value)}")
            return default
        return value

    def _level(self, path: str, value: Any) -> int | None:
        level = self._value(path, value)
        if level is None:
            return None
        try:
            return level_number(level)
        except ValueError as error:
            self.say(path, str(error))
            return None

    def _reference(self, path: str, kind: str, value: Any) -> Reference | None:
        """Read the name of something in the section *kind*."""
        found = self._value(path, value)
        if isinstance(found, Reference) and found.kind == kind:
            return found
        names = self._elsewhere(kind, self.config.get(kind))
        if not isinstance(found, str):
            self.say(path, f"must be the name of a {_KINDS[kind]}, not {_shown(found)}")
        elif isinstance(names, dict) and found in names:
            return Reference(kind, found)
        else:
            self.say(path, _no(_KINDS[kind], found, names if isinstance(names, dict) else ()))
        return None

    def _filters(self, path: str, value: Any) -> list[Any]:
        found = []
        for at, item in enumerate(self._list(path, value)):
            if callable(item) or callable(getattr(item, "filter", None)):
                found.append(item)
            else:
                found.append(self._reference(f"{path}[{at}]", "filters", item))
        return [item for item in found if item is not None]

    def _value(self, path: str, value: Any) -> Any:
        """Return *value* with what its `ext://` and `cfg://` stand for."""
        if isinstance(value, str):
            if value.startswith("ext://"):
                return self._resolved(path, value.removeprefix("ext://"))
            if value.startswith("cfg://"):
                return self._followed(path, value.removeprefix("cfg://"))
        elif isinstance(value, (dict, list)) or type(value) is tuple:
            if any(value is outer for outer in self._inside):
                self.say(path, "contains itself")
                return None
            self._inside.append(value)
            try:
                if isinstance(value, dict):
                    return {key: self._value(f"{path}.{key}", part) for key, part in value.items()}
                parts = [self._value(f"{path}[{at}]", part) for at, part in enumerate(value)]
                return parts if isinstance(value, list) else tuple(parts)
            finally:
                self._inside.pop()
        return value

    def _resolved(self, path: str, name: str) -> Any:
        try:
            return naming.resolve(name)
        except ValueError as error:
            self.say(path, str(error))
            return unknown

    def _callable(self, path: str, value: Any) -> Any:
        found = self._value(path, value)
        if isinstance(found, str):
            found = self._resolved(path, found)
        if not callable(found):
            self.say(path, f"must be the name of a class or function, not {_shown(value)}")
            return unknown
        return found

    def _followed(self, path: str, rest: str) -> Any:
        """Return what stands at the place *rest* of the config, or is made of it."""
        try:
            keys = naming.steps(rest)
        except ValueError as error:
            self.say(path, str(error))
            return None
        self._looked_at.add(keys[0])
        if rest in self._open:
            self.say(path, f"cfg://{rest} leads to itself")
            return None
        found, walked = self.config, "the config"
        for key in keys:
            index = int(key) if key.isdigit() else key
            try:
                found = found[key] if isinstance(found, dict) and key in found else found[index]
            except (LookupError, TypeError):
                words = map(str, found) if isinstance(found, dict) else ()
                self.say(path, with_hint(f"{walked} has no {key!r}", key, words))
                return None
            walked = key if walked == "the config" else f"{walked}.{key}"
        if len(keys) == 2 and keys[0] in _KINDS:
            return Reference(keys[0], keys[1])
        self._open.append(rest)
        try:
            return self._value(path, found)
        finally:
            self._open.pop()

    # What is left over

    def _refuse_unknown(
        self, path: str, entry: dict[Any, Any], known: Iterable[str], others: Iterable[Any] = ()
    ) -> None:
        known = list(known)
        for key in entry:
            if key not in (*known, *others):
                hint = did_you_mean(key, known, "{}")
                message = hint or f"there is no such key; the keys here are {', '.join(known)}"
                self.say(f"{path}.{key}".lstrip("."), message)


def _no(noun: str, name: str, names: Iterable[str]) -> str:
    names = list(names)
    hint = did_you_mean(name, names) or (
        f"there are {', '.join(map(repr, names))}" if names else f"no {noun} is defined"
    )
    return f"there is no {noun} {name!r}; {hint}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
