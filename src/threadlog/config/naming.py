"""Naming: the object that a dotted name means, or why there is none."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import types

from threadlog.nearest import with_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_FIRST = re.compile(r"\s*(\w+)\s*")
_STEP = re.compile(r"\s*(?:\.\s*(\w+)|\[([^\[\]]*)\])\s*")


def resolve(name: str) -> Any:
    """Return the object of a dotted *name*, importing what is needed.

    Raises ValueError, which says the real cause, and where the last word of *name* is found.
    """
    try:
        return _resolved(name)
    except _Nothing as error:
        elsewhere = _elsewhere(name)
        if elsewhere is not None:
            raise ValueError(f"{error.what}; did you mean {elsewhere!r}?") from None
        raise ValueError(with_hint(error.what, error.word, error.words)) from None


class _Nothing(Exception):  # noqa: N818
    """There is nothing of that name; *words* are those that might be meant."""

    def __init__(self, what: str, word: str, words: Iterable[str]) -> None:
        self.what, self.word, self.words = what, word, words


def _resolved(name: str) -> Any:
    used, *rest = name.split(".")
    found = _imported(used, {*sys.stdlib_module_names, *_top_level()})
    for part in rest:
        before, above, used = found, used, f"{used}.{part}"
        try:
            found = getattr(before, part)
        except AttributeError:
            if not isinstance(before, types.ModuleType):
                raise _Nothing(f"{above} has no {part!r}", part, dir(before)) from None
            known = {*dir(before), *_submodules(before)}
            _imported(used, {f"{above}.{word}" for word in known})
            found = getattr(before, part)
    return found


def steps(path: str) -> list[str]:
    """Return the keys and indexes of a path such as `handlers.mail.toaddrs[0]`.

    Raises ValueError for anything else.
    """
    match = _FIRST.match(path)
    keys = []
    while match:
        keys.append(next(group for group in match.groups() if group is not None))
        if match.end() == len(path):
            return keys
        match = _STEP.match(path, match.end())
    raise ValueError(f"{path!r} is no path such as handlers.mail.toaddrs[0]")


def _imported(name: str, words: set[str]) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise ValueError(f"importing {name} failed: {_shown(error)}") from error
        what = f"there is no {name!r}" if "." in name else f"there is no module {name!r}"
        raise _Nothing(what, name, words) from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"importing {name} failed: {_shown(error)}") from error


def _elsewhere(name: str) -> str | None:
    """Return the full name of a class of logging or this package that is called so."""
    last = name.rpartition(".")[2]
    modules = ["logging", "logging.handlers", "threadlog", "threadlog.handlers"]
    if name.startswith("threadlog"):
        modules.reverse()
    for module in modules:
        if isinstance(getattr(sys.modules.get(module), last, None), type):
            return f"{module}.{last}"
    return None


def _top_level() -> set[str]:
    return {name.partition(".")[0] for name in list(sys.modules)}


def _submodules(module: types.ModuleType) -> set[str]:
    return {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))}


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
