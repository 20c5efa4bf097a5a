"""A record as plain data, to be sent to another process: three lines of JSON.

The first tells where the call stands, the second who made it, the third what it says. The first
two are the same again and again, so both sides keep them: the sender as text, the receiver as
fields.
"""

from __future__ import annotations

import json
import logging
from operator import itemgetter

from threadlog.filters import stamp
from threadlog.guard import shown, substitute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 16 * 1024 * 1024  # bytes: a longer record is cut

_WHERE = (
    "name",
    "levelno",
    "levelname",
    "pathname",
    "filename",
    "module",
    "lineno",
    "funcName",
)
_WHO = (
    "process",
    "processName",
    "thread",
    "threadName",
    "taskName",
    "native_id",
    "thread_number",
    "work_item",
    "thread_info",
)
# Told apart from what a program has put on the record itself. Those that are sent in no line of
# their own follow from the others.
_NOT_EXTRA = frozenset(_WHERE + _WHO) | {
    "created",
    "msecs",
    "relativeCreated",
    "msg",
    "args",
    "message",
    "asctime",
    "exc_info",
    "exc_text",
    "stack_info",
    "log_context",
}
_PLAIN = frozenset((str, int, float, bool, type(None)))  # exactly these come out as they went in
_MOST_KEPT = 1024
_LONGEST_KEPT = 4096  # bytes

_where_of = itemgetter(*_WHERE)
_who_of = itemgetter(*_WHO)
_formatter = logging.Formatter()
_to_json = json.JSONEncoder(separators=(",", ":"), default=shown).encode
_quoted = json.encoder.encode_basestring_ascii
_digits = float.__repr__
_read_json = json.JSONDecoder().raw_decode
_where_lines: dict[tuple[Any, ...], str] = {}
_who_lines: dict[tuple[Any, ...], tuple[Any, str]] = {}
_fields_of_line: dict[str, dict[str, Any]] = {}

_LogRecord = logging.LogRecord
_new = object.__new__
_first = _LogRecord("", logging.NOTSET, "", 0, "", (), None)
_START = _first.created * 1000 - _first.relativeCreated  # milliseconds, when logging was imported
_BLANK = {**_first.__dict__, "args": ()}


def encode(record: logging.LogRecord) -> bytes:
    """Return *record*, stamped, as data of at most `LIMIT` bytes.

    Message and arguments go apart if the arguments are strings, numbers, booleans or None, else
    the message is rendered, here and now. An exception goes as the text of its traceback, with
    notes, groups and chain. Of what a program has put on the record, what JSON cannot carry goes
    as its `repr`. Raises nothing but what is no Exception. Thread-safe, holds no lock.
    """
    stamp(record)
    fields = record.__dict__
    try:
        lines = f"{_where_line(fields)}\n{_who_line(fields)}\n{_says_line(record)}"
    except Exception:  # a circle, a number of too many digits, a key that is no text
        lines = _with_texts(record, _says(record))
    if len(lines) > LIMIT:
        lines = _cut(record)
    return lines.encode("ascii")


def decode(data: bytes) -> logging.LogRecord:
    """Return the record that *data* was made of, made by this process's record factory.

    Raises an Exception for anything else. `relativeCreated` counts from the start of this process.
    """
    where, who, says = data.decode("ascii").split("\n")
    fields = _BLANK.copy()
    fields.update(_fields_of(where))
    fields.update(_fields_of(who))
    fields.update(_from_json(says))
    if type(fields["args"]) is list:
        fields["args"] = tuple(fields["args"])
    if "extra" in fields:
        fields.update(fields.pop("extra"))
    fields["relativeCreated"] = fields["created"] * 1000 - _START
    if type(fields["levelno"]) is not int or not isinstance(fields["name"], (str, type(None))):
        raise ValueError("a record needs a name and a level")
    if logging.getLogRecordFactory() is not _LogRecord:
        return logging.makeLogRecord(fields)
    record: logging.LogRecord = _new(_LogRecord)
    record.__dict__ = fields
    return record


def _says_line(record: logging.LogRecord) -> str:
    """Return `_says` as JSON, in its commonest form at half the cost."""
    fields = record.__dict__
    msg, args = fields["msg"], fields["args"]
    if (
        type(msg) is not str
        or type(args) is not tuple
        or not _NOT_EXTRA.issuperset(fields)
        or fields["exc_info"]
        or fields["exc_text"]
        or fields["stack_info"]
    ):
        return _to_json(_says(record))
    line = f'{{"created":{_digits(fields["created"])},"msecs":{_digits(fields["msecs"])}'
    if not args:
        return f'{line},"msg":{_quoted(msg)}}}'
    listed = []
    for value in args:
        kind = type(value)
        if kind is str:
            listed.append(_quoted(value))
        elif kind is int:
            listed.append(repr(value))
        elif kind in _PLAIN:
            listed.append(_to_json(value))
        else:
            return f'{line},"msg":{_quoted(_message(record))}}}'
    return f'{line},"msg":{_quoted(msg)},"args":[{",".join(listed)}]}}'


def _says(record: logging.LogRecord) -> dict[str, Any]:
    """Return what *record* says: the third line."""
    fields = record.__dict__
    says = {"created": fields["created"], "msecs": fields["msecs"]}
    msg, args = fields["msg"], fields["args"]
    if type(msg) is not str or (args and not _is_plain(args)):
        msg, args = _message(record), None
    says["msg"] = msg
    if args:
        says["args"] = args
    if fields["exc_info"] or fields["exc_text"]:
        says["exc_text"] = fields["exc_text"] or _traceback(fields["exc_info"])
    if fields["stack_info"]:
        says["stack_info"] = fields["stack_info"]
    extra = {name: fields[name] for name in fields if name not in _NOT_EXTRA}
    if extra:
        says["extra"] = extra
    return says


def _is_plain(args: Any) -> bool:
    if type(args) is tuple:
        return all(type(value) in _PLAIN for value in args)
    return type(args) is dict and all(
        type(key) is str and type(value) in _PLAIN for key, value in args.items()
    )


def _message(record: logging.LogRecord) -> str:
    try:
        return str(record.getMessage())
    except Exception:
        return substitute(record)


def _traceback(exc_info: Any) -> str:
    try:
        return _formatter.formatException(exc_info)
    except Exception as error:  # of a __str__, or a chain that is too long
        return f"{shown(exc_info[1])} (no traceback: {shown(error)})"


def _where_line(fields: dict[str, Any]) -> str:
    key = _where_of(fields)
    line = _where_lines.get(key)
    if line is None:
        line = _to_json(dict(zip(_WHERE, key, strict=True)))
        _keep(_where_lines, key, line)
    return line


def _who_line(fields: dict[str, Any]) -> str:
    key = _who_of(fields)
    context, line = _who_lines.get(key, (None, ""))
    if context is not fields["log_context"]:
        context = fields["log_context"]
        line = _to_json(dict(zip(_WHO, key, strict=True)) | {"log_context": context})
        _keep(_who_lines, key, (context, line))
    return line


def _fields_of(line: str) -> dict[str, Any]:
    fields = _fields_of_line.get(line)
    if fields is None:
        fields = _from_json(line)
        if len(line) <= _LONGEST_KEPT:
            _keep(_fields_of_line, line, fields)
    return fields


def _from_json(line: str) -> dict[str, Any]:
    fields, end = _read_json(line)
    if end != len(line) or type(fields) is not dict:
        raise ValueError("not one JSON object in a line")
    return fields


def _keep(lines: dict[Any, Any], key: object, line: object) -> None:
    if len(lines) >= _MOST_KEPT:
        lines.clear()
    lines[key] = line


def _with_texts(record: logging.LogRecord, says: dict[str, Any]) -> str:
    """Return the lines with a text for everything that JSON refuses."""
    fields = record.__dict__
    where = {name: _carried(fields.get(name)) for name in _WHERE}
    who = {name: _carried(fields.get(name)) for name in (*_WHO, "log_context")}
    if "args" in says:
        says["msg"] = _message(record)
        del says["args"]
    extra = {str(name): _carried(value) for name, value in says.pop("extra", {}).items()}
    says = {name: _carried(value) for name, value in says.items()} | {"extra": extra}
    return "\n".join(map(_to_json, (where, who, says)))


def _carried(value: Any) -> Any:
    try:
        _to_json(value)
    except Exception:
        return shown(value)
    return value


def _cut(record: logging.LogRecord) -> str:
    """Return the lines with all that is long shortened until they are short enough."""
    says = _says(record)
    if "args" in says:
        says["msg"] = _message(record)
        del says["args"]
    extra = says.pop("extra", {})
    keep = LIMIT
    while True:
        keep //= 2
        short = {name: _shortened(value, keep) for name, value in says.items()}
        short["extra"] = {str(name): _shortened(value, keep) for name, value in extra.items()}
        lines = _with_texts(record, short)
        if len(lines) <= LIMIT or keep < 64:
            return lines


def _shortened(value: Any, keep: int) -> Any:
    text = value if isinstance(value, str) else _to_json(_carried(value))
    if len(text) <= keep:
        return value
    return f"{text[:keep]}… [cut: {len(text):,} characters]"
