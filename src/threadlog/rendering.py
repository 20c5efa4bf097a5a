"""Renders a record as `logging.Formatter` does, but works out a second's date only once."""

from __future__ import annotations

import logging
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_Formatter = logging.Formatter
_PercentStyle = logging.PercentStyle

# Libraries and programs replace these on the class; then their way is taken.
_format = _Formatter.format
_format_message = _Formatter.formatMessage
_format_time = _Formatter.formatTime
_converter = _Formatter.converter
_time_format = _Formatter.default_time_format
_msec_format = _Formatter.default_msec_format

# The last moment that was rendered: second, milliseconds, date format, time zone names, the text of
# the second and the whole. Replaced as one: a thread sees an old one or a new one.
_moment: tuple[float, float, str | None, Any, str, str] = (-1.0, 0.0, None, None, "", "")


def render(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return `formatter.format(record)`, sooner where *formatter* is a plain `logging.Formatter`.

    `record.message` and `record.asctime` are set as it sets them. Whatever a subclass, an instance
    or a patch of the class does in its own way is left to `format`. Thread-safe and fork-safe.
    """
    if (
        type(formatter) is not _Formatter
        or len(formatter.__dict__) != 3  # _style, _fmt and datefmt; more is an instance's own way
        or record.exc_info
        or record.exc_text
        or record.stack_info
        # One by one: an attrgetter of all costs three times as much, at each record.
        or _Formatter.format is not _format
        or _Formatter.formatMessage is not _format_message
        or _Formatter.formatTime is not _format_time
        or _Formatter.converter is not _converter
        or _Formatter.default_time_format is not _time_format
        or _Formatter.default_msec_format is not _msec_format
    ):
        return formatter.format(record)
    style = formatter._style
    if type(style) is not _PercentStyle or style._defaults:  # type: ignore[attr-defined]
        return formatter.format(record)
    fmt = style._fmt
    record.message = record.getMessage()
    if "%(asctime)" in fmt:
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
        return fmt % record.__dict__
    except KeyError:
        return style.format(record)  # says so in its own way


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
