"""What `logging.config` does, checked before anything is changed.

`dictConfig` and `fileConfig` take what those of the standard library take; `load` reads a file.
What is wrong in a config is told all at once, each thing with its place and what to write there.
"""

from __future__ import annotations

from threadlog.config.applying import apply
from threadlog.config.files import load, read_ini
from threadlog.config.judging import judge
from threadlog.config.reading import read
from threadlog.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import configparser
    import os
    from collections.abc import Mapping
    from typing import IO, Any

    from threadlog.config.plan import Plan

__all__ = ["ConfigError", "check", "dictConfig", "fileConfig", "load"]


def dictConfig(config: dict[str, Any]) -> None:
    """Set logging up as *config* says, by the schema of `logging.config.dictConfig`.

    The schema is that of Python 3.15 on every Python, with these differences. A queue handler's
    `handlers` may be named in any order, or written as dicts in place; its listener is started, and
    stopped by the next config and at the end of the process. Filters may be given by `class`, as
    formatters and handlers. A formatter by `class` gets its own arguments, too. The key `threadlog`
    turns on `thread_info` (true, or a dict with a `prefix`), `children`, `uncaught` and `fast`,
    until the next config. A logger's filters from the config before are taken away.

    Raises ConfigError, which lists all that is wrong. Nothing has been changed then: every object
    is made before the first logger is touched. (Files that handlers open may have been created.)
    Each logger gets its new handlers in one step, so that no record of another thread is lost. Then
    the handlers that were there are closed, without `logging`'s own lock: those with a queue write
    what they have, for which they are waited for. *config* is not changed. Thread-safe, fork-safe;
    calls from several threads come one after the other.
    """
    apply(_plan(config))


def check(config: dict[str, Any]) -> None:
    """Raise the ConfigError that `dictConfig` would, as far as it can be known without making all.

    Formatters, filters, file and queue handlers of `logging` and this package are made, to see
    whether they take their arguments, but no file is opened and nothing is set up. The modules that
    the config names are imported. Thread-safe.
    """
    _plan(config)


def fileConfig(
    fname: str | os.PathLike[str] | IO[str] | configparser.RawConfigParser,
    defaults: Mapping[str, str] | None = None,
    disable_existing_loggers: bool = True,
    encoding: str | None = None,
) -> None:
    """Set logging up by an ini file, in the form of `logging.config.fileConfig`.

    It is checked and applied as by `dictConfig`. `args` and `kwargs` may hold texts, numbers,
    tuples, lists, dicts, sums and the names of the module `logging`, such as `sys.stdout` and
    `handlers.SysLogHandler.LOG_USER`. Nothing is called or evaluated, unlike there. The file is
    utf-8 by default. Raises OSError and ConfigError; what is wrong in the ini form itself has the
    path of its section, such as `handler_file.args`, and is told before all else. Thread-safe and
    fork-safe, as `dictConfig`.
    """
    config = read_ini(fname, defaults, encoding)
    dictConfig({**config, "disable_existing_loggers": disable_existing_loggers})


def _plan(config: Any) -> Plan:
    plan, problems = read(config)
    problems += judge(plan)
    if problems:
        raise ConfigError(problems)
    return plan
