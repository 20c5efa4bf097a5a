"""ThreadInfoFormatter: renders a record with who wrote it, alone or around another formatter."""

from __future__ import annotations

import logging

from threadlog.escape import escape_line
from threadlog.filters import stamp
from threadlog.rendering import fill, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any, Literal, TypeAlias

    ExcInfo: TypeAlias = (
        tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    )

DEFAULT_PREFIX = "[%(thread_info)s] "
_OWN_ATTRIBUTES = 7  # of an instance; more, a converter for example, is a way of its own

# style: class, default format, default prefix
_STYLES = {
    "%": (
        logging.PercentStyle,
        "%(asctime)s %(levelname)s %(name)s: %(message)s",
        DEFAULT_PREFIX,
    ),
    "{": (
        logging.StrFormatStyle,
        "{asctime} {levelname} {name}: {message}",
        "[{thread_info}] ",
    ),
    "$": (
        logging.StringTemplateStyle,
        "${asctime} ${levelname} ${name}: ${message}",
        "[${thread_info}] ",
    ),
}


class ThreadInfoFormatter(logging.Formatter):
    """Puts *prefix*, who wrote the record, before each rendered record.

    Alone it takes the arguments of `logging.Formatter`; the default *fmt* is
    `%(asctime)s %(levelname)s %(name)s: %(message)s` in the given *style*. Around another
    formatter (*wrapped*: anything with a `format` method) it renders what that one renders,
    its times, tracebacks and stacks included; *fmt*, *datefmt* and *defaults* are then refused.

    *prefix* is a format in the same *style* (always `%` style around another formatter);
    None means `[%(thread_info)s] `. A line that already shows the record's `thread_info` gets
    no prefix: nothing stands twice. A line that is a JSON object gets a member `thread_info`
    instead, so that it stays one.

    With *escape* one record is one line: control characters, line separators, bidirectional
    marks and lone surrogates are shown escaped, in tracebacks too (CWE-117).

    Raises ValueError for a bad format or for arguments that exclude each other. Thread-safe and
    fork-safe: it keeps no state between records.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
        *,
        defaults: Mapping[str, Any] | None = None,
        wrapped: logging.Formatter | None = None,
        prefix: str | None = None,
        escape: bool = False,
    ) -> None:
        if style not in _STYLES:
            raise ValueError(f"style must be one of {', '.join(_STYLES)}, not {style!r}")
        make_style, default_fmt, default_prefix = _STYLES[style]
        if wrapped is None:
            fmt = default_fmt if fmt is None else fmt
        elif fmt is not None or datefmt is not None or defaults is not None or style != "%":
            raise ValueError(
                "fmt, datefmt, style and defaults belong to a formatter of its own: "
                "give them to the wrapped formatter"
            )
        elif isinstance(wrapped, str) or not callable(getattr(wrapped, "format", None)):
            raise TypeError(
                f"wrapped must be a formatter with a format method, not {type(wrapped).__name__}; "
                "write wrapped=logging.Formatter(...)"
            )
        super().__init__(fmt, datefmt, style, validate, defaults=defaults)
        self._prefix = None
        if prefix != "":  # the style would take its default format instead
            self._prefix = make_style(prefix or default_prefix, defaults=defaults)
            if validate:
                self._prefix.validate()
        self._prefix_uses_time = self._prefix is not None and self._prefix.usesTime()
        self.wrapped = wrapped
        self.escape = escape
        if wrapped is not None:
            # Handlers look at these: rich's at datefmt, python-json-logger's users at _fmt.
            for name in ("_style", "_fmt", "datefmt"):
                if hasattr(wrapped, name):
                    setattr(self, name, getattr(wrapped, name))

    def format(self, record: logging.LogRecord) -> str:
        stamp(record)
        wrapped = self.wrapped
        if wrapped is not None:
            plain = render(wrapped, record)
            text = self._with_prefix(record, wrapped.format(record) if plain is None else plain)
        else:
            plain = render(self, record, ThreadInfoFormatter, _OWN_ATTRIBUTES)
            # The standard one calls formatMessage, for the prefix.
            text = super().format(record) if plain is None else self._with_prefix(record, plain)
        return escape_line(text) if self.escape else text

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Render prefix and message, without traceback. Handlers like rich's call it alone."""
        stamp(record)
        if self.wrapped is None:
            return self._with_prefix(record, super().formatMessage(record))
        return self._with_prefix(record, self.wrapped.formatMessage(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        if self.wrapped is None:
            return super().formatTime(record, datefmt)
        return self.wrapped.formatTime(record, datefmt)

    def formatException(self, ei: ExcInfo) -> str:
        if self.wrapped is None:
            return super().formatException(ei)
        return self.wrapped.formatException(ei)

    def formatStack(self, stack_info: str) -> str:
        if self.wrapped is None:
            return super().formatStack(stack_info)
        return self.wrapped.formatStack(stack_info)

    def usesTime(self) -> bool:
        if self.wrapped is not None:
            return self.wrapped.usesTime()
        return super().usesTime() or self._prefix_uses_time

    def _prefix_of(self, record: logging.LogRecord) -> str:
        if self._prefix is None:
            return ""
        if self._prefix_uses_time:  # the line may not
            record.asctime = self.formatTime(record, self.datefmt)
        return fill(self._prefix, record)

    def _with_prefix(self, record: logging.LogRecord, text: str) -> str:
        prefix = self._prefix_of(record)
        info = str(record.thread_info)  # type: ignore[attr-defined]
        if not prefix or info in text or text.startswith(prefix):
            return text
        if text[:1] == "{" and self.wrapped is not None and _is_json_object(self.wrapped, text):
            return _with_member(text, info)
        return prefix + text


def _is_json_object(formatter: logging.Formatter, text: str) -> bool:
    # A plain Formatter's message may look like one; another formatter's line hardly by chance.
    return (
        text[1:].lstrip()[:1] in ('"', "}")
        and text[-1:] == "}"
        and getattr(type(formatter), "format", None) is not logging.Formatter.format
    )


def _with_member(text: str, info: str) -> str:
    if '"thread_info":' in text:  # within a string of JSON the quote would be escaped
        return text
    import json  # costs as much as all of threadlog, and few need it

    rest = "}" if text[1:].lstrip() == "}" else f", {text[1:]}"
    return f'{{"thread_info": {json.dumps(info)}{rest}'
