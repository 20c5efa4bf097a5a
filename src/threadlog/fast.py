"""Fast logging: `logging.Logger._log`, which makes a record and passes it on, in half the time.

What makes it cheap: the caller is looked up once and its place in the program is kept, who is
running is known already, and the record is filled at once where `logging` works it out anew.
Nothing else changes: a record says the same, in the same order, and whatever a program or a library
does in its own way is done that way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping

from threadlog import identity, toggle
from threadlog.fastrecord import LogRecord
from threadlog.filters import stamp
from threadlog.standard import SOURCE, own, standing_in_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType
    from typing import Any, TypeAlias

    # Path, its file's name, that without its ending, line, function, and the code, which must live
    # as long as its id stands for it.
    Place: TypeAlias = tuple[str, str, str, int | None, str, CodeType]

_Logger = logging.Logger
_RootLogger = logging.RootLogger
_LogRecord = logging.LogRecord
_new = object.__new__
_getframe = sys._getframe

# Libraries and programs replace these, on the class, on one logger or in the module; then their way
# is taken.
_find_caller = own(_Logger, "findCaller")
_make_record = own(_Logger, "makeRecord")
_init_record = own(_LogRecord, "__init__")
_get_level_name = own(logging, "getLevelName")
_source: object = os.path.normcase(SOURCE)
if logging._srcfile == _source:
    _source = logging._srcfile  # the same object, to be compared as such

_FIELDS = frozenset(vars(_LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}
_KNOWS_TASKS = hasattr(logging, "logAsyncioTasks")  # 3.12
_COUNTS_NANOSECONDS = sys.version_info >= (3, 13)
_MOST_PLACES = 4096  # of a thread

_claims: frozenset[object] = frozenset()  # changes under logging's own lock
_started = object()  # the claim of start_… and stop_…
_lock = logging._lock  # type: ignore[attr-defined]
_before: Any = None  # what stood in its place


@standing_in_for(own(_Logger, "_log"))
def _log(  # pragma: no cover  its lines count as logging's
    self: _Logger,
    level: int,
    msg: object,
    args: Any,
    exc_info: Any = None,
    extra: Mapping[str, object] | None = None,
    stack_info: bool = False,
    stacklevel: int = 1,
) -> None:
    try:
        is_fast = (
            bool(_claims)
            and (type(self) is _Logger or type(self) is _RootLogger)
            and self.findCaller.__func__ is _find_caller  # type: ignore[attr-defined]
            and self.makeRecord.__func__ is _make_record  # type: ignore[attr-defined]
            and not stack_info
            and stacklevel == 1
            and logging._logRecordFactory is _LogRecord  # type: ignore[attr-defined]
            and _LogRecord.__init__ is _init_record
            and logging._srcfile is _source
            and logging.logThreads
            and logging.logProcesses
            and logging.logMultiprocessing
            and (not _KNOWS_TASKS or logging.logAsyncioTasks)  # type: ignore[attr-defined]
            and (extra is None or _FIELDS.isdisjoint(extra))
        )
    except AttributeError:  # a plain function in the place of a method of this logger
        is_fast = False
    if exc_info:
        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
    if not is_fast:
        # As logging does it, here: whoever counts frames finds as many.
        path, line, name, stack = "(unknown file)", 0, "(unknown function)", None
        if logging._srcfile:
            with contextlib.suppress(ValueError):
                path, line, name, stack = self.findCaller(stack_info, stacklevel)
        self.handle(
            self.makeRecord(self.name, level, path, line, msg, args, exc_info, name, extra, stack)
        )
        return
    try:
        frame: Any = _getframe(1)
    except ValueError:  # nobody has called us
        frame = _getframe(0)
    code = frame.f_code
    if code.co_filename == SOURCE:  # info(), most likely
        outer = frame.f_back
        if outer is not None:
            frame, code = outer, outer.f_code
    who = identity.current()
    pathname, filename, module, lineno, function, _ = who.places.get(
        (id(code), frame.f_lasti)
    ) or _place(frame, who.places)
    record: Any = _new(LogRecord)
    # In logging's order, for whoever goes through them.
    record.name = self.name
    record.msg = msg
    if args and len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        record.args = args[0]
    else:
        record.args = args
    if logging.getLevelName is _get_level_name:  # which looks in the same dictionary first
        record.levelname = logging._levelToName.get(level) or _get_level_name(level)
    else:
        record.levelname = logging.getLevelName(level)
    record.levelno = level
    record.pathname = pathname
    record.filename = filename
    record.module = module
    record.exc_info = exc_info
    record.exc_text = None
    record.stack_info = None
    record.lineno = lineno
    record.funcName = function
    clock, start = logging.time, logging._startTime  # type: ignore[attr-defined]
    if _COUNTS_NANOSECONDS:
        now = clock.time_ns()
        record.created = now / 1e9
        record.msecs = msecs = now // 1_000_000 % 1000 + 0.0
        if msecs == 999.0 and int(record.created) != now // 1_000_000_000:
            record.msecs = 0.0  # created was rounded up to the next second
        record.relativeCreated = (now - start) / 1e6
    else:
        created = record.created = clock.time()
        if created >= 0:
            record.msecs = created % 1.0 * 1000.0 // 1.0
        else:
            record.msecs = int((created - int(created)) * 1000) + 0.0
        record.relativeCreated = (created - start) * 1000.0
    record.thread = who.thread
    record.threadName = who.threadName
    record.processName = who.given_name
    record.process = who.process
    if _KNOWS_TASKS:
        record.taskName = who.taskName
    if extra is not None:
        for key in extra:
            record.__dict__[key] = extra[key]
        if toggle.claims:
            stamp(record)
    elif toggle.claims:
        record.processName = who.processName
        record.native_id = who.native_id
        record.thread_number = who.thread_number
        record.taskName = who.taskName
        record.work_item = who.work_item
        record.log_context = who.log_context
        record.thread_info = who.thread_info
    self.handle(record)


def _place(frame: FrameType, places: dict[tuple[int, int], Place]) -> Place:
    while logging._is_internal_frame(frame) and frame.f_back is not None:  # type: ignore[attr-defined]
        frame = frame.f_back  # an adapter's, or of an import
    code = frame.f_code
    key = (id(code), frame.f_lasti)
    place = places.get(key)
    if place is None:
        path = code.co_filename
        filename = os.path.basename(path)
        module = os.path.splitext(filename)[0]
        place = (path, filename, module, frame.f_lineno, code.co_name, code)
        if logging._is_internal_frame(frame):  # type: ignore[attr-defined]
            return place  # at the bottom of this stack; another may have a caller
        if len(places) >= _MOST_PLACES:
            places.clear()
        places[key] = place
    return place


def start_fast_logging() -> None:
    """Have the loggers of this process log faster, until `stop_fast_logging`.

    Those that are there, those that come later, and the root: `logging.Logger._log`, which all
    calls go through, makes their records in half the time. Handlers and formatters are not touched,
    and nothing else changes. Loggers of a class of the program's own are left alone. Where a record
    factory is set (`logging.setLogRecordFactory`), or `makeRecord`, `findCaller` or `_log` are
    replaced, on a logger or on the class, these are called as ever. A call with *stacklevel* or
    *stack_info* costs what it did.

    Idempotent: after two starts one stop is enough. Thread-safe, may be called while others log.
    Takes logging's own lock, as `Logger.setLevel` does. A forked child keeps what was on.
    """
    _claim(_started)


def stop_fast_logging() -> None:
    """Take back `start_fast_logging`. Without one it does nothing.

    When no context manager holds a claim of its own, `logging.Logger` is as it was. Thread-safe,
    fork-safe.
    """
    _release(_started)


@contextlib.contextmanager
def fast_logging() -> Iterator[None]:
    """Have loggers log faster as long as the block lasts; nests in any order, from any thread.

    Holds its own claim: neither `stop_fast_logging` nor another block ends it. Works as a decorator
    of ordinary functions, too (`contextlib.contextmanager`).
    """
    claim = object()
    _claim(claim)
    try:
        yield
    finally:
        _release(claim)


def _claim(claim: object) -> None:
    global _claims, _before
    with _lock:
        _claims |= {claim}
        # Else it is ours already, or another's, who may call ours.
        if _Logger._log is not _log and _Logger._log is own(_Logger, "_log"):
            _before = _Logger._log
            _Logger._log = _log  # type: ignore[method-assign]


def _release(claim: object) -> None:
    global _claims
    with _lock:
        _claims -= {claim}
        if not _claims and _Logger._log is _log:
            _Logger._log = _before  # type: ignore[method-assign]
