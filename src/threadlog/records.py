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
from threadlog.guard import report_error, shown, substitute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 16 * 1024 * 1024  # bytes: a longer record is cut
UNJUDGED = b"\n?"  # may follow, if the sender does not know whether the receiver wants it

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
_LARGE = 10**1000  # a number of more digits than sys.set_int_max_str_digits allows is not read
_MOST_FIELDS = 10_000  # that are worth to be cut singly
_MARKS = 8  # bytes around a field, at most
_MOST_KEPT = 1024
_LONGEST_KEPT = 4096  # characters

_where_of = itemgetter(*_WHERE)
_who_of = itemgetter(*_WHO)
_formatter = logging.Formatter()
_reporter = logging.Handler()  # its handleError tells of a record factory that raises
_to_json = json.JSONEncoder(separators=(",", ":"), default=shown, ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring
_digits = float.__repr__
_read_json = json.JSONDecoder().raw_decode
_where_lines: dict[tuple[Any, ...], str] = {}
_who_lines: dict[tuple[Any, ...], tuple[Any, str]] = {}
_fields_of_line: dict[str, dict[str, Any]] = {}
_fields_of_head: dict[str, dict[str, Any]] = {}  # of the first two lines

_LogRecord = logging.LogRecord
_new = object.__new__
_first = _LogRecord("", logging.NOTSET, "", 0, "", (), None)
_START = _first.created * 1000 - _first.relativeCreated  # milliseconds, when logging was imported
_BLANK = {**_first.__dict__, "args": ()}


def encode(record: logging.LogRecord) -> bytes:
    """Return *record*, stamped, as data of at most `LIMIT` bytes.

    Message and arguments go apart if the arguments are strings, numbers, booleans or None, else
    the message is rendered, here and now. A dict as the message stays one. An exception goes as the
    text of its traceback, with notes, groups and chain. Of what a program has put on the record,
    what JSON cannot carry goes as its `repr`. Raises nothing but what is no Exception. Thread-safe,
    holds no lock.
    """
    stamp(record)
    fields = record.__dict__
    try:
        lines = f"{_where_line(fields)}\n{_who_line(fields)}\n{_says_line(record)}"
    except Exception:  # a circle, a number of too many digits, a key that is no text
        lines = _with_texts(record)
    data = lines.encode("utf-8", "surrogatepass")
    return data if len(data) <= LIMIT else _cut(record)


def decode(data: bytes) -> logging.LogRecord:
    """Return the record that *data* was made of, made by this process's record factory.

    Raises an Exception for anything else. `relativeCreated` counts from the start of this process.
    """
    head, _, says = data.decode("utf-8", "surrogatepass").rpartition("\n")
    fields = (_fields_of_head.get(head) or _read_head(head)).copy()
    fields.update(_from_json(says))
    if type(fields["args"]) is list:
        fields["args"] = tuple(fields["args"])
    if "extra" in fields:
        fields.update(fields.pop("extra"))
    fields["relativeCreated"] = fields["created"] * 1000 - _START
    if not (isinstance(fields["levelno"], int) and isinstance(fields["name"], (str, type(None)))):
        raise ValueError("a record needs a name and a level")
    factory = logging.getLogRecordFactory()
    if factory is _LogRecord:
        return _plain(fields)
    record = _made(factory, fields)
    record.__dict__.update(fields)
    return record


def _plain(fields: dict[str, Any]) -> logging.LogRecord:
    record: logging.LogRecord = _new(_LogRecord)
    record.__dict__ = fields
    return record


def _made(factory: Any, fields: dict[str, Any]) -> logging.LogRecord:
    """Return a record as a call here would have it, from a *factory* of the program's."""
    names = ("name", "levelno", "pathname", "lineno", "msg")
    first = [fields[name] for name in names]
    args = (fields["args"],) if type(fields["args"]) is dict else fields["args"]
    try:
        made: logging.LogRecord = factory(
            *first, args, None, fields["funcName"], fields["stack_info"]
        )
    except Exception:  # the record matters more than what the program makes of it
        made = _plain(fields)
        report_error(_reporter, made)
    return made


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
        elif not _comes_out(value):
            return f'{line},"msg":{_quoted(_message(record))}}}'
        else:
            listed.append(repr(value) if kind is int else _to_json(value))
    return f'{line},"msg":{_quoted(msg)},"args":[{",".join(listed)}]}}'


def _says(record: logging.LogRecord) -> dict[str, Any]:
    """Return what *record* says: the third line."""
    fields = record.__dict__
    says = {"created": fields["created"], "msecs": fields["msecs"]}
    msg, args = fields["msg"], fields["args"]
    is_fields = type(msg) is dict and not args  # for a formatter that knows what to do with them
    if not is_fields and (type(msg) is not str or (args and not _is_plain(args))):
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
        return all(map(_comes_out, args))
    return type(args) is dict and all(
        type(key) is str and _comes_out(value) for key, value in args.items()
    )


def _comes_out(value: Any) -> bool:
    return type(value) in _PLAIN and (type(value) is not int or -_LARGE < value < _LARGE)


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


def _read_head(head: str) -> dict[str, Any]:
    where, who = head.split("\n")
    fields = _BLANK | _read_line(where) | _read_line(who)
    if len(head) <= _LONGEST_KEPT:
        _keep(_fields_of_head, head, fields)
    return fields


def _read_line(line: str) -> dict[str, Any]:
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


def _with_texts(record: logging.LogRecord) -> str:
    """Return the lines with a text for everything that JSON refuses."""
    where, who, says, extra = (
        {name: _carried(value) for name, value in part.items()} for part in _parts(record)
    )
    return "\n".join(map(_to_json, (where, who, says | {"extra": extra})))


def _parts(record: logging.LogRecord) -> tuple[dict[str, Any], ...]:
    """Return what the lines say, with the message rendered, and the extra fields apart."""
    fields = record.__dict__
    where = {name: fields.get(name) for name in _WHERE}
    who = {name: fields.get(name) for name in (*_WHO, "log_context")}
    says = _says(record)
    if says.pop("args", None):
        says["msg"] = _message(record)
    extra = {str(name): value for name, value in says.pop("extra", {}).items()}
    return where, who, says, extra


def _carried(value: Any) -> Any:
    try:
        _to_json(value)
    except Exception:
        return shown(value)
    return value


def _cut(record: logging.LogRecord) -> bytes:
    """Return *record*, as `encode` does, with its longest texts cut.

    Each of them keeps as many bytes, so that those that are shorter stay as they are.
    """
    where, who, says, extra = _parts(record)
    if len(extra) > _MOST_FIELDS:
        says["msg"] = f"{says['msg']}… [cut: {len(extra):,} fields]"
        extra = {}
    parts = (where, who, says, extra)
    sizes = [
        [_size(name), _size(_carried(value))] for part in parts for name, value in part.items()
    ]
    room = LIMIT - _MARKS * len(sizes) - sum(name for name, _ in sizes)
    keep = _level(sorted(size for _, size in sizes), room)
    where, who, says, extra = (
        {name: _shortened(value, keep) for name, value in part.items()} for part in parts
    )
    lines = map(_to_json, (where, who, says | {"extra": extra}))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _level(sizes: list[int], room: int) -> int:
    """Return the largest size to which all of *sizes*, ascending, can be cut to have *room*."""
    for index, size in enumerate(sizes):
        share = room // (len(sizes) - index)
        if size > share:
            return share
        room -= size
    return LIMIT


def _shortened(value: Any, keep: int) -> Any:
    value = _carried(value)
    if _size(value) <= keep:
        return value
    text = value if isinstance(value, str) else _to_json(value)
    mark = f"… [cut: {len(text):,} characters]"
    kept = max(0, keep - 2 * len(mark))  # bytes
    length = min(len(text), kept)
    while _size(text[:length]) > kept:
        length = length * kept // _size(text[:length])
    return text[:length] + mark


def _size(value: Any) -> int:
    return len(_to_json(value).encode("utf-8", "surrogatepass"))
