"""Applying: a plan becomes formatters, filters and handlers, and these the set-up of logging."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import weakref

from threadlog import lifecycle
from threadlog.config.listening import Listeners
from threadlog.config.making import Made, forget
from threadlog.errors import ConfigError
from threadlog.level import forget_levels, set_level
from threadlog.switches import turned_on
from threadlog.uncaught import LOGGER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from threadlog.config.plan import LoggerPlan, Plan, Switches


class _Applied:
    """What the last config has set up, besides what the loggers hold."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # one config after the other
        self.switches = contextlib.ExitStack()
        self.listeners = Listeners()
        self.filters: list[Any] = []  # on loggers
        self.made: Made | None = None  # handlers that no logger has live here
        lifecycle.renew_in_child(self)

    def after_fork(self) -> None:
        self.lock = threading.RLock()
        self.listeners.forget()


_applied = _Applied()


def apply(plan: Plan) -> None:
    """Set logging up as *plan* says.

    Everything is made first. If something cannot be, nothing is changed: ConfigError. Each logger
    gets its handlers in one step, so that no record of another thread finds none. What was there is
    ended last, and under no lock: it may wait for others.
    """
    with contextlib.ExitStack() as ending, _applied.lock:
        if plan.is_incremental:
            _apply_levels(plan)
            if plan.switches is not None:
                ending.enter_context(_applied.switches)
                _applied.switches = _turned_on(plan.switches)
        else:
            _apply_all(plan, ending)


def _apply_levels(plan: Plan) -> None:
    with logging._lock:  # type: ignore[attr-defined]
        for name, handler in plan.handlers.items():
            made = logging._handlers.get(name)  # type: ignore[attr-defined]
            if made is not None and handler.level is not None:
                made.setLevel(handler.level)
        for logger in plan.loggers.values():
            _set_level(logger)


def _apply_all(plan: Plan, ending: contextlib.ExitStack) -> None:
    made = Made(plan)
    try:
        switches = _turned_on(plan.switches)
    except BaseException:
        made.undo()
        raise
    before, _applied.made = _applied.made, made
    retiring = _applied.listeners.replace_by(made.listeners)
    with logging._lock:  # type: ignore[attr-defined]
        logging._handlers.clear()  # type: ignore[attr-defined]
        for name, handler in made.named.items():
            handler.name = name
        _applied.filters = _set_loggers(plan, made)
        # Those of the config before come first: a factory may have called dictConfig meanwhile.
        there = dict.fromkeys([*(before.handlers() if before is not None else ()), *made.old])
        closing = [handler for handler in there if not made.uses(handler)]
        forget(closing)
        forget_levels()
    ending.callback(_name, made)
    ending.callback(_close, closing)
    ending.callback(_applied.listeners.retire, retiring)
    ending.enter_context(_applied.switches)
    _applied.switches = switches


def _close(handlers: list[logging.Handler]) -> None:
    for handler in reversed(handlers):
        try:
            logging.shutdown([weakref.ref(handler)])
        except Exception:  # of one: the others have their turn
            sys.__excepthook__(*sys.exc_info())


def _name(made: Made) -> None:
    """Give the handlers their names again: those that were closed have taken off theirs."""
    with logging._lock:  # type: ignore[attr-defined]
        if _applied.made is made:
            logging._handlers.update(made.named)  # type: ignore[attr-defined]


def _set_loggers(plan: Plan, made: Made) -> list[Any]:
    """Give the loggers what is theirs. Return the filters that they got."""
    loggers = logging.root.manager.loggerDict
    existing = [name for name in sorted(loggers) if name not in plan.loggers]
    filters = [item for logger in plan.loggers.values() for item in _set_logger(logger, made)]
    above = tuple(f"{name}." for name in plan.loggers if name)
    for name in existing:
        logger = loggers[name]
        if not isinstance(logger, logging.Logger):
            continue
        if name.startswith(above):
            set_level(logger, logging.NOTSET)
            logger.handlers = []
            logger.propagate = True
        elif name != LOGGER:
            logger.disabled = plan.disables_existing
    return filters


def _set_logger(planned: LoggerPlan, made: Made) -> list[Any]:
    logger = logging.getLogger(planned.name)
    filters = [made.value(item) for item in planned.filters]
    kept = [item for item in logger.filters if not any(item is ours for ours in _applied.filters)]
    _set_level(planned)
    logger.filters = kept + filters
    # At once: a logger without handlers, even for a moment, would lose what others log.
    logger.handlers = [made.value(reference) for reference in dict.fromkeys(planned.handlers)]
    return filters


def _set_level(planned: LoggerPlan) -> None:
    logger = logging.getLogger(planned.name)
    if planned.level is not None:
        set_level(logger, planned.level)
    if planned.name:
        logger.disabled = False
        if planned.propagate is not None:
            logger.propagate = planned.propagate


def _turned_on(switches: Switches | None) -> contextlib.ExitStack:
    if switches is None:
        return contextlib.ExitStack()
    try:
        return turned_on(
            thread_info=switches.thread_info,
            children=switches.children,
            uncaught=switches.uncaught,
            fast=switches.fast,
        )
    except (OSError, RuntimeError) as error:  # children's records cannot be received here
        raise ConfigError([("threadlog.children", str(error))]) from error
