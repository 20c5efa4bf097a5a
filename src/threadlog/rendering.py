"""Renders a record as `logging.Formatter` does, to the byte, at a fraction of the cost.

A format is taken apart once, into a template and the names of its fields. A second's date is worked
out once.
"""

from __future__ import annotations

import logging
import operator
import re
import string
import time

from threadlog import fastrecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Formatter = logging.Formatter
_LogRecord = logging.LogRecord
_FastRecord = fastrecord.LogRecord

# Libraries and programs replace these on the class; then their way is taken.
_format = _Formatter.format
_format_message = _Formatter.formatMessage
_format_time = _Formatter.formatTime
_converter = _Formatter.converter
_time_format = _Formatter.default_time_format
_msec_format = _Formatter.default_msec_format
_get_message = _LogRecord.getMessage

_PLAIN_ATTRIBUTES = 3  # of a plain formatter: _style, _fmt and datefmt
_PLAIN_ATTRIBUTES = 3  # of a plain formatter: _style, _fmt and datefmt
_MOST_LAYOUTS = 256  # of each style
_FIELD = re.compile(
    r"%(?:%|\((?P<name>\w+)\)(?P<rest>[#0+ -]*\d*(?:\.\d+)?[hlL]?[diouxXeEfFgGcrsa])|(?P<other>))",
    re.ASCII,
)

# The last moment that was rendered: second, milliseconds, date format, time zone names, the text of
# the second and the whole. Replaced as one: a thread sees an old one or a new one.
_moment: tuple[float, float, str | None, Any, str, str] = (-1.0, 0.0, None, None, "", "")


class _Layout:
    """A format, taken apart: its text with nameless fields, and what fetches them of a record."""

    __slots__ = ("fetch", "has_braces", "template", "uses_time")

    def __init__(self, style: logging.PercentStyle, template: str, names: list[str]) -> None:
        self.template = template
        self.has_braces = type(style) is logging.StrFormatStyle
        self.uses_time = style.usesTime()
        fetch: Callable[[object], Any] = operator.attrgetter(*names)
        self.fetch = fetch if len(names) > 1 else lambda record: (fetch(record),)


def render(
    formatter: logging.Formatter,
    record: logging.LogRecord,
    cls: type[logging.Formatter] = _Formatter,
    attributes: int = _PLAIN_ATTRIBUTES,
) -> str | None:
    """Return what `format` of *formatter* does, if that is a plain `logging.Formatter`.

    None: that is left to `format`, because something is done in its own way by a subclass of *cls*,
    an instance with other than so many *attributes*, a patch of the class, or a style, or because
    there is an exception to render. `record.message` and `record.asctime` are set as `format` sets
    them. Thread-safe and fork-safe.
    """
    if (
        type(formatter) is not cls
        or len(formatter.__dict__) != attributes
        or record.exc_info
        or record.exc_text
        or record.stack_info
        or (type(record) is not _FastRecord and type(record) is not _LogRecord)
        # One by one: an attrgetter of all costs three times as much, at each record.
        or _Formatter.format is not _format
        or _Formatter.formatMessage is not _format_message
        or _Formatter.formatTime is not _format_time
        or _Formatter.converter is not _converter
        or _Formatter.default_time_format is not _time_format
        or _Formatter.default_msec_format is not _msec_format
    ):
        return None
    style = formatter._style
    try:
        layout = _layouts[type(style)][style._fmt]
    except KeyError:
        layout = _take_apart(style)
    if layout is None:
        return None
    msg, args = record.msg, record.args
    if type(msg) is str and _LogRecord.getMessage is _get_message:
        record.message = msg % args if args else msg
    else:
        record.message = record.getMessage()
    if layout.uses_time:
        second, msecs, datefmt, zone, _, text = _moment
        if (
            record.msecs != msecs
            or record.created // 1 != second
            or formatter.datefmt != datefmt
            or time.tzname is not zone  # time.tzset() makes another tuple
        ):
            text = _asctime(record, formatter.datefmt)
        record.asctime = text
    try:
        if layout.has_braces:
            return layout.template.format(*layout.fetch(record))
        return layout.template % layout.fetch(record)
    except Exception:
        return style.format(record)  # has a default for it, or says what is wrong in its own way


def fill(style: logging.PercentStyle, record: logging.LogRecord) -> str:
    """Return `style.format(record)`, sooner."""
    try:
        layout = _layouts[type(style)][style._fmt]
    except KeyError:
        layout = _take_apart(style)
    if layout is not None and (type(record) is _FastRecord or type(record) is _LogRecord):
        try:
            if layout.has_braces:
                return layout.template.format(*layout.fetch(record))
            return layout.template % layout.fetch(record)
        except Exception:
            pass
    return style.format(record)


def _asctime(record: logging.LogRecord, datefmt: str | None) -> str:
    global _moment
    second = record.created // 1
    known_second, _, known_datefmt, zone, date, _ = _moment
    if second != known_second or datefmt != known_datefmt or time.tzname is not zone:
        zone = time.tzname
        date = time.strftime(
            datefmt or logging.Formatter.default_time_format, time.localtime(record.created)
        )
    text = date if datefmt else "%s,%03d" % (date, record.msecs)  # noqa: UP031  as logging does
    _moment = (second, record.msecs, datefmt, zone, date, text)
    return text


def _take_apart(style: logging.PercentStyle) -> _Layout | None:
    """Return the format of *style*, taken apart, or None if that is left to `style.format`."""
    layouts = _layouts.get(type(style))
    if layouts is None:
        return None
    parts = _PARTS[type(style)](style._fmt)
    layout = None
    if parts is not None:
        template, names = parts
        # A method is no field.
        if names and not any(hasattr(_LogRecord, name) for name in names):
            layout = _Layout(style, template, names)
    if len(layouts) >= _MOST_LAYOUTS:
        layouts.clear()
    layouts[style._fmt] = layout
    return layout


def _percent_parts(fmt: str) -> tuple[str, list[str]] | None:
    names: list[str] = []

    def nameless(field: re.Match[str]) -> str:
        if field["name"]:
            names.append(field["name"])
            return f"%{field['rest']}"
        return field[0]

    if any(field["other"] is not None for field in _FIELD.finditer(fmt)):
        return None
    return _FIELD.sub(nameless, fmt), names


def _brace_parts(fmt: str) -> tuple[str, list[str]] | None:
    template, names = "", []
    try:
        for text, name, spec, conversion in string.Formatter().parse(fmt):
            template += text.replace("{", "{{").replace("}", "}}")
            if name is None:
                continue
            if not name.isidentifier() or "{" in (spec or ""):
                return None
            names.append(name)
            template += f"{{{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
    except ValueError:
        return None
    return template, names


def _dollar_parts(fmt: str) -> tuple[str, list[str]] | None:
    template, names, end = "", [], 0
    for field in string.Template.pattern.finditer(fmt):
        name = field["named"] or field["braced"]
        if name is None and field["escaped"] is None:
            return None
        template += fmt[end : field.start()].replace("%", "%%") + ("%s" if name else "$")
        names += [name] if name else []
        end = field.end()
    return template + fmt[end:].replace("%", "%%"), names


_PARTS: dict[type, Callable[[str], tuple[str, list[str]] | None]] = {
    logging.PercentStyle: _percent_parts,
    logging.StrFormatStyle: _brace_parts,
    logging.StringTemplateStyle: _dollar_parts,
}
_layouts: dict[type, dict[str, _Layout | None]] = {cls: {} for cls in _PARTS}
