"""Files: a config as a dict, out of TOML, JSON, YAML, or the standard library's ini files."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import logging
import logging.handlers
import operator
import os
import tomllib

from threadlog.config import naming
from threadlog.errors import ConfigError
from threadlog.nearest import did_you_mean, with_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_INI = (".ini", ".cfg", ".conf")


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the config that is in the file *path*; `dictConfig` then takes it.

    The ending tells the format: `.toml`, `.json`, `.yaml` or `.yml` (needs the extra `yaml`), and
    `.ini`, `.cfg` or `.conf` for the form of `logging.config.fileConfig`. Text is utf-8. Nothing in
    a file is evaluated. Raises OSError, and ConfigError for a file that is none of these, that
    cannot be parsed, or has a key twice. Thread-safe; changes nothing.
    """
    name = os.fspath(path)
    ending = os.path.splitext(name)[1].lower()
    if ending in _INI:
        parser = configparser.ConfigParser()
        _parse(name, lambda text: parser.read_string(text, name))
        config: dict[str, Any] = _parsed(name, lambda: from_ini(parser))
        return config
    parse = _PARSERS.get(ending)
    if parse is None:
        known = ", ".join((*_PARSERS, *_INI))
        raise ConfigError([(name, f"the ending of its name must be one of {known}")])
    config = _parse(name, parse)
    if config is None:
        raise ConfigError([(name, "is empty")])
    if not isinstance(config, dict):
        raise ConfigError([(name, f"must hold a dict, not a {type(config).__name__}")])
    return config


def read_ini(
    fname: Any, defaults: Mapping[str, str] | None = None, encoding: str | None = None
) -> Any:
    """Return the config that `logging.config.fileConfig` would find in *fname*."""
    if isinstance(fname, configparser.RawConfigParser):
        return from_ini(fname)
    parser = configparser.ConfigParser(defaults)
    name = os.fspath(fname) if not hasattr(fname, "readline") else getattr(fname, "name", "")
    if hasattr(fname, "readline"):
        _parsed(str(name), lambda: parser.read_file(fname))
    else:
        _parse(name, lambda text: parser.read_string(text, name), encoding)
    return _parsed(str(name), lambda: from_ini(parser))


def _parse(name: str, parse: Callable[[str], Any], encoding: str | None = None) -> Any:
    with open(name, encoding=encoding or "utf-8-sig") as file:  # some editors leave a mark
        return _parsed(name, lambda: parse(file.read()))


def _parsed(name: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ConfigError:
        raise
    except (ValueError, RecursionError, configparser.Error, _YAMLError) as error:
        raise ConfigError([(name, " ".join(str(error).split()))]) from error


class _YAMLError(Exception):
    pass


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]], place: str = "") -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {twice!r} twice in one dict{place}")
    return found


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise _YAMLError("YAML needs PyYAML: pip install 'threadlog[yaml]'") from error

    try:
        _refuse_twins(yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise _YAMLError(f"{error.problem}{_place(error.problem_mark)}") from error
    except yaml.YAMLError as error:
        raise _YAMLError(error) from error


def _place(mark: Any) -> str:
    return f" (at line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


def _refuse_twins(root: Any) -> None:
    """Look for keys that stand twice in a mapping. PyYAML takes the last."""
    parts, seen = [root], set()
    for part in parts:  # which grows
        if isinstance(part, tuple):
            parts += part
        elif part is not None and not isinstance(part.value, str) and id(part) not in seen:
            seen.add(id(part))  # an alias may lead back to it
            keys = [pair[0].value for pair in part.value if isinstance(pair, tuple)]
            _distinct(
                [(key, None) for key in keys if isinstance(key, str)], _place(part.start_mark)
            )
            parts += part.value


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": _parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}


# The standard library's ini files


def from_ini(parser: configparser.RawConfigParser) -> dict[str, Any]:
    """Return what `logging.config.fileConfig` would do, as a dict for `dictConfig`."""
    return _Ini(parser).config()


_KEYS = {
    "formatters": ("keys",),
    "handlers": ("keys",),
    "loggers": ("keys",),
    "formatter": ("format", "datefmt", "style", "class", "defaults", "validate"),
    "handler": ("class", "level", "formatter", "args", "kwargs", "target"),
    "logger": ("level", "handlers", "propagate", "qualname"),
}


class _Ini:
    def __init__(self, parser: configparser.RawConfigParser) -> None:
        self.parser = parser
        self.problems: list[tuple[str, str]] = []

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"version": 1}
        for kind, read in (("formatter", self._formatter), ("handler", self._handler)):
            names = self._names(f"{kind}s")
            config[f"{kind}s"] = {name: read(f"{kind}_{name}") for name in names}
        config["loggers"] = {}
        for name in self._names("loggers"):
            section = f"logger_{name}"
            if name == "root":
                config["root"] = self._logger(section)
            else:
                qualname = self._get(section, "qualname") or name
                config["loggers"][qualname] = self._logger(section)
        if "root" not in config and self._get("loggers", "keys") is not None:
            self.problems.append(("loggers.keys", "must name root, too"))
        for section in self.parser.sections():
            known = _KEYS.get(section.partition("_")[0])
            if known is not None:
                self._refuse_misspelt(section, known)
        if self.problems:
            raise ConfigError(self.problems)
        return config

    def _get(self, section: str, key: str, *, raw: bool = False) -> str | None:
        return self.parser.get(section, key, raw=raw, fallback=None)

    def _split(self, text: str | None) -> list[str]:
        return [part.strip() for part in (text or "").split(",") if part.strip()]

    def _names(self, section: str) -> list[str]:
        if self._get(section, "keys") is None:
            self._miss(section, "needs the key keys, a list of names", section)
        names = self._split(self._get(section, "keys"))
        for name in names:
            wanted = f"{section[:-1]}_{name}"
            if not self.parser.has_section(wanted):
                self._miss(f"{section}.keys", f"there is no section [{wanted}]", wanted)
        return names

    def _miss(self, path: str, what: str, section: str) -> None:
        kind = section.partition("_")[0]
        others = [other for other in self.parser.sections() if other.startswith((kind, kind[:4]))]
        others = [other for other in others if ("_" in other) == ("_" in section)]
        self.problems.append((path, with_hint(what, section, others, "[{}]")))

    def _refuse_misspelt(self, section: str, known: tuple[str, ...]) -> None:
        """Refuse keys that are near a right one. Programs have others there, which mean nothing."""
        for key in self.parser[section]:
            if key not in known and key not in self.parser.defaults():
                hint = did_you_mean(key, known, "{}")
                if hint:
                    self.problems.append((f"{section}.{key}", hint))

    def _formatter(self, section: str) -> dict[str, Any]:
        found = {
            key: self._get(section, key, raw=True)
            for key in ("format", "datefmt", "style", "class")
        }
        defaults = self._evaluated(section, "defaults")
        entry: dict[str, Any] = {key: value for key, value in found.items() if value is not None}
        return entry if defaults is None else {**entry, "defaults": defaults}

    def _handler(self, section: str) -> dict[str, Any]:
        entry: dict[str, Any] = {}
        for key in ("level", "formatter", "target"):
            if self._get(section, key):
                entry[key] = self._get(section, key)
        name = self._get(section, "class")
        if name is None:
            if self.parser.has_section(section):
                self.problems.append((f"{section}.class", "is missing"))
            return entry
        entry["class"] = _class_name(name)
        args = self._evaluated(section, "args") or ()
        kwargs = self._evaluated(section, "kwargs") or {}
        if not isinstance(args, (tuple, list)):
            message = f"must be a tuple such as ({args!r},), not {args!r}"
            self.problems.append((f"{section}.args", message))
            return entry
        if not isinstance(kwargs, dict):
            message = f"must be a dict such as {{'mode': 'a'}}, not {kwargs!r}"
            self.problems.append((f"{section}.kwargs", message))
            return entry
        if args:
            entry |= self._by_name(section, entry["class"], args)
        return entry | kwargs

    def _by_name(self, section: str, cls: str, args: Sequence[Any]) -> dict[str, Any]:
        try:
            found = naming.resolve(cls)
        except ValueError as error:
            self.problems.append((f"{section}.class", str(error)))
            return {}
        try:
            return dict(_signature(found).bind_partial(*args).arguments)
        except (TypeError, ValueError) as error:
            self.problems.append((f"{section}.args", str(error)))
            return {}

    def _logger(self, section: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"handlers": self._split(self._get(section, "handlers"))}
        if self._get(section, "level"):
            entry["level"] = self._get(section, "level")
        if section != "logger_root":
            propagate = self._get(section, "propagate") or "1"
            try:
                entry["propagate"] = bool(int(propagate))
            except ValueError:
                self.problems.append((f"{section}.propagate", f"must be 0 or 1, not {propagate!r}"))
        return entry

    def _evaluated(self, section: str, key: str) -> Any:
        text = self._get(section, key, raw=key == "defaults")
        if text is None:
            return None
        try:
            return _plain_value(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, AttributeError, TypeError) as error:
            self.problems.append((f"{section}.{key}", str(error)))
            return None


def _signature(factory: Any) -> inspect.Signature:
    """Return that of *factory*, or of the base class to which it hands any arguments on."""
    bases = factory.__mro__ if isinstance(factory, type) else ()
    signatures = (inspect.signature(one) for one in (factory, *bases) if one is not object)
    for signature in signatures:
        if all(p.kind is not p.VAR_POSITIONAL for p in signature.parameters.values()):
            return signature
    return inspect.signature(factory)


def _class_name(name: str) -> str:
    """Return the full name of what `fileConfig` would look for in `logging` first."""
    try:
        operator.attrgetter(name)(logging)
    except AttributeError:
        return name
    return f"logging.{name}"


_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.BitOr: operator.or_,
}


def _plain_value(node: ast.expr) -> Any:
    """Return what *node* stands for, without calling anything.

    `fileConfig` evaluates whatever stands in the file, with the names of the module `logging`.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple():
            return tuple(map(_plain_value, node.elts))
        case ast.List():
            return list(map(_plain_value, node.elts))
        case ast.Dict(keys=keys) if None not in keys:
            pairs = zip(filter(None, keys), node.values, strict=True)
            return {_plain_value(key): _plain_value(value) for key, value in pairs}
        case ast.UnaryOp(op=ast.USub()):
            return -_plain_value(node.operand)
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            operation = _OPERATIONS[type(node.op)]
            return operation(_plain_value(node.left), _plain_value(node.right))
        case ast.Call(func=ast.Name(id="tuple" | "list" | "dict" as name), args=[], keywords=[]):
            return {"tuple": (), "list": [], "dict": {}}[name]
        case ast.Name() if hasattr(logging, node.id) and not node.id.startswith("_"):
            return getattr(logging, node.id)
        case ast.Attribute() if not node.attr.startswith("_"):
            return getattr(_plain_value(node.value), node.attr)
    raise ValueError(
        f"{ast.unparse(node)} is no plain value: nothing in a file is called or evaluated"
    )
