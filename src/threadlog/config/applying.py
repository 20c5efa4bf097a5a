"""Applying: a plan becomes formatters, filters and handlers, and these the set-up of logging."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import weakref

from threadlog import lifecycle
from threadlog.children import logging_from_children
from threadlog.config.making import forget, located
from threadlog.config.plan import HandlerPlan, Recipe, Reference
from threadlog.errors import ConfigError
from threadlog.toggle import logging_with_thread_info
from threadlog.uncaught import LOGGER, logging_uncaught

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from threadlog.config.plan import LoggerPlan, Plan, Switches


class _Applied:
    """What the last config has set up, besides what the loggers hold."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # one config after the other
        self.switches = contextlib.ExitStack()
        self.listeners: list[_Listening] = []
        self.retired: list[_Listening] = []
        self.filters: list[Any] = []  # on loggers
        self.handlers: dict[str, Any] = {}  # for logging.getHandlerByName, if no logger has them
        lifecycle.renew_in_child(self)

    def after_fork(self) -> None:
        self.lock = threading.RLock()


_applied = _Applied()


def apply(plan: Plan) -> None:
    """Set logging up as *plan* says.

    Everything is made first. If something cannot be, nothing is changed: ConfigError. Each logger
    gets its handlers in one step, so that no record of another thread finds none. The handlers that
    were there are closed last, and not under `logging`'s own lock: they may wait for others.
    """
    with _applied.lock:
        if plan.is_incremental:
            _apply_levels(plan)
            if plan.switches is not None:
                before, _applied.switches = _applied.switches, _turned_on(plan.switches)
                before.close()
        else:
            _apply_all(plan)


def _apply_levels(plan: Plan) -> None:
    with logging._lock:  # type: ignore[attr-defined]
        for name, handler in plan.handlers.items():
            made = logging._handlers.get(name)  # type: ignore[attr-defined]
            if made is not None and handler.level is not None:
                made.setLevel(handler.level)
        for logger in plan.loggers.values():
            _set_level(logger)


def _apply_all(plan: Plan) -> None:
    made = _Made(plan)
    queues = {id(listener.queue) for listener in made.listeners}
    for listener in _applied.listeners:
        if id(listener.queue) in queues:  # two that read one queue would end each other
            listener.stop()
    for listener in made.listeners:
        listener.start()
    with logging._lock:  # type: ignore[attr-defined]
        logging._handlers.clear()  # type: ignore[attr-defined]
        for name, handler in made.handlers.items():
            handler.name = name
        filters = _set_loggers(plan, made)
        closing = [handler for handler in made.old if not made.is_used(handler)]
        forget(closing)
        logging.root.manager._clear_cache()  # type: ignore[attr-defined]
    switches, _applied.switches = _applied.switches, made.switches
    listeners, _applied.listeners = _applied.listeners, made.listeners
    _applied.filters, _applied.handlers = filters, made.handlers
    switches.close()
    for listener in listeners:
        listener.stop()
    _retire(listeners)
    for handler in reversed(closing):
        try:
            logging.shutdown([weakref.ref(handler)])
        except Exception:  # of one that was there: the others have their turn
            sys.excepthook(*sys.exc_info())
    with logging._lock:  # type: ignore[attr-defined]
        # Those that were closed have taken off their names.
        logging._handlers.update(made.handlers)  # type: ignore[attr-defined]


def _retire(listeners: list[_Listening]) -> None:
    """Keep *listeners* for what threads that log at this moment are about to put in their queues.

    As long as the handler lives, that is; what it has got is delivered by the next config, or at
    the end of the process.
    """
    retired, _applied.retired = [*_applied.retired, *listeners], []
    read = {id(listener.queue) for listener in _applied.listeners}
    for listener in retired:
        if id(listener.queue) not in read and listener.deliver_late():
            _applied.retired.append(listener)
        else:
            lifecycle.is_drained(listener)


def _set_loggers(plan: Plan, made: _Made) -> list[Any]:
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
            logger.setLevel(logging.NOTSET)
            logger.handlers = []
            logger.propagate = True
        elif name != LOGGER:
            logger.disabled = plan.disables_existing
    return filters


def _set_logger(planned: LoggerPlan, made: _Made) -> list[Any]:
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
        logger.setLevel(planned.level)
    if planned.name:
        logger.disabled = False
        if planned.propagate is not None:
            logger.propagate = planned.propagate


class _Unmade(Exception):  # noqa: N818
    """Something cannot be made; it has been told why."""


class _Made:
    """What a plan asks for, made; or ConfigError, and nothing is left of it."""

    def __init__(self, plan: Plan) -> None:
        references = list(logging._handlerList)  # type: ignore[attr-defined]
        self.old = [handler for reference in references if (handler := reference()) is not None]
        self.listeners: list[_Listening] = []
        self._plan = plan
        self._problems: list[tuple[str, str]] = []
        self._made: dict[int, Any] = {}  # by the identity of its plan
        for kind in ("formatters", "filters", "handlers"):
            for name in getattr(plan, kind):
                with contextlib.suppress(_Unmade):
                    self.value(Reference(kind, name))
        try:
            if self._problems:
                raise ConfigError(self._problems)
            self.switches = _turned_on(plan.switches)
        except ConfigError:
            self._undo()
            raise
        self.handlers = {name: self.value(handler) for name, handler in plan.handlers.items()}

    def is_used(self, handler: logging.Handler | None) -> bool:
        """Return whether *handler* is part of this, made by it or given."""
        planned = [plan for plan in self._plan.handlers.values() if plan.sinks]
        given = [sink for plan in planned for sink in plan.sinks]
        return any(handler is one for one in (*self._made.values(), *given))

    def value(self, planned: Any) -> Any:
        """Return what *planned* stands for, made once. Raises _Unmade."""
        if isinstance(planned, Reference):
            planned = getattr(self._plan, planned.kind)[planned.name]
        if isinstance(planned, (Recipe, HandlerPlan)):
            if id(planned) not in self._made:
                self._made[id(planned)] = _Unmade
                self._made[id(planned)] = self._make(planned)
            if self._made[id(planned)] is _Unmade:
                raise _Unmade
            return self._made[id(planned)]
        if type(planned) is dict:
            return {key: self.value(inner) for key, inner in planned.items()}
        if type(planned) in (list, tuple):
            return type(planned)(self.value(inner) for inner in planned)
        return planned

    def _make(self, planned: Recipe | HandlerPlan) -> Any:
        recipe = planned if isinstance(planned, Recipe) else planned.recipe
        positional, arguments = self.value(recipe.positional), self.value(recipe.arguments)
        try:
            made = recipe.factory(*positional, **arguments)
            if isinstance(planned, HandlerPlan):
                self._complete(planned, made, *positional)
            for name, value in self.value(recipe.attributes).items():
                setattr(made, name, value)
        except _Unmade:
            raise
        except Exception as error:
            self._problems.append(located(recipe, error))
            raise _Unmade from error
        return made

    def _complete(self, planned: HandlerPlan, handler: Any, queue: Any = None) -> None:
        self._made[id(planned)] = handler  # so that it is closed if the rest fails
        if planned.listener is not None:
            factory = self.value(planned.listener.factory)
            sinks = [self.value(sink) for sink in planned.sinks]
            respects = planned.listener.respects_level
            listener = factory(queue, *sinks, respect_handler_level=respects)
            handler.listener = listener
            self.listeners.append(_Listening(handler, queue, listener))
        if planned.formatter is not None:
            handler.setFormatter(self.value(planned.formatter))
        if planned.level is not None:
            handler.setLevel(planned.level)
        for item in planned.filters:
            handler.addFilter(self.value(item))

    def _undo(self) -> None:
        handlers = [
            made
            for made in self._made.values()
            if isinstance(made, logging.Handler) and not any(made is one for one in self.old)
        ]
        forget(handlers)
        for handler in reversed(handlers):
            with contextlib.suppress(Exception):  # the config's error says more
                handler.close()


class _Listening:
    """The listener beside a queue, until the next config or the end of the process."""

    def __init__(self, handler: logging.Handler, queue: Any, listener: Any) -> None:
        self.queue = queue
        self._handler = weakref.ref(handler)
        self._listener = listener
        self._start = listener.start
        # Programs that were written for logging's dictConfig start it themselves. Two threads of
        # the standard library's could not be stopped (gh-132106).
        listener.start = self.start

    def start(self) -> None:
        if not self._is_running():
            self._start()
            lifecycle.drain_at_exit(self)

    def finish(self) -> None: ...

    def stop(self) -> None:
        """End it. What the handler still gets goes to the sinks at once."""
        if self._is_running():
            self._listener.stop()
        handler: Any = self._handler()
        if handler is not None and handler.lock is not None:
            with handler.lock:  # logging's own handler puts records in the queue under it
                self.deliver_late()
                handler.enqueue = self._listener.handle
        self.deliver_late()

    def deliver_late(self) -> bool:
        """Deliver what has come after the end. Return whether more may come."""
        with contextlib.suppress(Exception):  # queue.Empty, or a queue that is closed
            while True:
                record = self.queue.get(False)
                if record is not None:
                    self._listener.handle(record)
        return self._handler() is not None

    def let_go(self) -> None: ...

    def _is_running(self) -> bool:
        return getattr(self._listener, "_thread", None) is not None


def _turned_on(switches: Switches | None) -> contextlib.ExitStack:
    """Turn on what *switches* ask for, until the stack is closed."""
    with contextlib.ExitStack() as stack:
        if switches is not None and switches.prefix is not None:
            stack.enter_context(logging_with_thread_info(prefix=switches.prefix))
        if switches is not None and switches.uncaught:
            stack.enter_context(logging_uncaught())
        if switches is not None and switches.children:
            try:
                stack.enter_context(logging_from_children())
            except (OSError, RuntimeError) as error:
                raise ConfigError([("threadlog.children", str(error))]) from error
        return stack.pop_all()
