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
    from typing import Any

_FIRST = re.compile(r"\s*(\w+)\s*")
_STEP = re.compile(r"\s*(?:\.\s*(\w+)|\[([^\[\]]*)\])\s*")


def resolve(name: str) -> Any:
    """Return the object of a dotted *name*, importing what is needed.

    Raises ValueError, which says the real cause.
    """
    used, *rest = name.split(".")
    found = _imported(used, {*sys.stdlib_module_names, *_top_level()})
    for part in rest:
        before, above, used = found, used, f"{used}.{part}"
        try:
            found = getattr(before, part)
        except AttributeError:
            if not isinstance(before, types.ModuleType):
                what = f"{above} has no {part!r}"
                raise ValueError(with_hint(what, part, dir(before))) from None
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
        raise ValueError(with_hint(what, name, words)) from None
    except Exception as error:
        raise ValueError(f"importing {name} failed: {_shown(error)}") from error


def _top_level() -> set[str]:
    return {name.partition(".")[0] for name in list(sys.modules)}


def _submodules(module: types.ModuleType) -> set[str]:
    return {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))}


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
