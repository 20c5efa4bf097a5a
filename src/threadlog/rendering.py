"""Renders a record as `logging.Formatter` does, to the byte, at a fraction of the cost.

A format is taken apart once, into a template and the names of its fields. A second's date is worked
out once.
"""

from __future__ import annotations

import logging
import operator
import os
import re
import string
import time

from threadlog import fastrecord
from threadlog.standard import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Formatter = logging.Formatter
_LogRecord = logging.LogRecord
_FastRecord = fastrecord.LogRecord
_Percent = logging.PercentStyle
_Brace = logging.StrFormatStyle
_Dollar = logging.StringTemplateStyle

# Libraries and programs replace these on the class; then their way is taken.
_format = own(_Formatter, "format")
_format_message = own(_Formatter, "formatMessage")
_format_time = own(_Formatter, "formatTime")
_uses_time = own(_Formatter, "usesTime")
_style_format = own(_Percent, "format")
_percent_format = own(_Percent, "_format")
_brace_format = own(_Brace, "_format")
_dollar_format = own(_Dollar, "_format")
_localtime = time.localtime
_time_format: Any = _Formatter.default_time_format
_msec_format: Any = _Formatter.default_msec_format
if (_time_format, _msec_format) != ("%Y-%m-%d %H:%M:%S", "%s,%03d"):
    _time_format, _msec_format = object(), object()  # nothing that is there

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
        self.has_braces = type(style) is _Brace
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
    an instance with other than so many *attributes*, a patch of the class, a style or a record;
    because there is an exception to render, or one was raised. `record.message` and
    `record.asctime` are set as `format` sets them. Thread-safe and fork-safe.
    """
    if (
        type(formatter) is not cls
        or len(formatter.__dict__) != attributes
        or (type(record) is not _FastRecord and type(record) is not _LogRecord)
        # One by one: an attrgetter of all costs three times as much, at each record.
        or _Formatter.format is not _format
        or _Formatter.formatMessage is not _format_message
        or _Formatter.formatTime is not _format_time
        or _Formatter.usesTime is not _uses_time
        or cls.converter is not _localtime
        or cls.default_time_format is not _time_format
        or cls.default_msec_format is not _msec_format
    ):
        return None
    try:
        layout = _layout_of(formatter._style)
        if layout is None or record.exc_info or record.exc_text or record.stack_info:
            return None
    except Exception:  # the standard one says so in its own way
        return None
    record.message = record.getMessage()  # as the first thing that the standard one does
    try:
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
        if layout.has_braces:
            return layout.template.format(*layout.fetch(record))
        return layout.template % layout.fetch(record)
    except RecursionError:  # to begin again at each level would take for ever
        raise
    except Exception:
        return None


def fill(style: logging.PercentStyle, record: logging.LogRecord) -> str:
    """Return `style.format(record)`, sooner."""
    layout = _layout_of(style)
    if layout is not None and (type(record) is _FastRecord or type(record) is _LogRecord):
        try:
            if layout.has_braces:
                return layout.template.format(*layout.fetch(record))
            return layout.template % layout.fetch(record)
        except AttributeError:
            pass
    return style.format(record)


def _asctime(record: logging.LogRecord, datefmt: str | None) -> str:
    global _moment
    second = record.created // 1
    known_second, _, known_datefmt, zone, date, _ = _moment
    if second != known_second or datefmt != known_datefmt or time.tzname is not zone:
        zone = time.tzname
        date = time.strftime(datefmt or _time_format, _localtime(record.created))
    text = date if datefmt else "%s,%03d" % (date, record.msecs)  # noqa: UP031  as logging does
    _moment = (second, record.msecs, datefmt, zone, date, text)
    return text


def _layout_of(style: logging.PercentStyle) -> _Layout | None:
    """Return the format of *style*, taken apart, or None if that is left to `style.format`."""
    cls = type(style)
    # By name, and one for each style: a free-threaded build reads such a dictionary without a lock,
    # which a fork beside other threads may strand.
    if cls is _Percent and _Percent._format is _percent_format:  # type: ignore[attr-defined]
        layouts = _percent_layouts
    elif cls is _Brace and _Brace._format is _brace_format:  # type: ignore[attr-defined]
        layouts = _brace_layouts
    elif cls is _Dollar and _Dollar._format is _dollar_format:  # type: ignore[attr-defined]
        layouts = _dollar_layouts
    else:
        return None
    if cls.format is not _style_format or style._defaults:  # type: ignore[attr-defined]
        return None
    try:
        return layouts[style._fmt]
    except KeyError:
        layout = _take_apart(style)
        if len(layouts) >= _MOST_LAYOUTS:
            layouts.clear()
        layouts[style._fmt] = layout
        return layout


def _take_apart(style: logging.PercentStyle) -> _Layout | None:
    parts = _PARTS[type(style)](style._fmt)
    if parts is None:
        return None
    template, names = parts
    if not names or any(hasattr(_LogRecord, name) for name in names):  # a method is no field
        return None
    return _Layout(style, template, names)


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
    _Percent: _percent_parts,
    _Brace: _brace_parts,
    _Dollar: _dollar_parts,
}


def _forget() -> None:
    global _percent_layouts, _brace_layouts, _dollar_layouts
    _percent_layouts, _brace_layouts, _dollar_layouts = {}, {}, {}


_percent_layouts: dict[str, _Layout | None]
_brace_layouts: dict[str, _Layout | None]
_dollar_layouts: dict[str, _Layout | None]
_forget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
