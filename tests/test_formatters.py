"""ThreadInfoFormatter: alone, around others, and one record one line."""

import json
import logging
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import in_thread
from threadlog import ThreadInfoFormatter
from threadlog.filters import stamp

INFO = r"pid \d+ tid \d+ \S+"


def make_record(msg="hello %s", args=("world",), **fields):
    record = logging.LogRecord("app", logging.INFO, "/app.py", 7, msg, args, None)
    record.__dict__.update(fields)
    return record


def failing_record():
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        return make_record(exc_info=sys.exc_info())


def test_alone_with_its_own_format():
    line = ThreadInfoFormatter().format(make_record())
    assert re.fullmatch(rf"\[{INFO}\] \d{{4}}-\S+ \S+ INFO app: hello world", line)


@pytest.mark.parametrize(
    ("style", "fmt"),
    [("%", "%(name)s %(message)s"), ("{", "{name} {message}"), ("$", "${name} $message")],
)
def test_in_every_style(style, fmt):
    assert re.fullmatch(
        rf"\[{INFO}\] app hello world", ThreadInfoFormatter(fmt, style=style).format(make_record())
    )
    assert re.fullmatch(
        rf"\[{INFO}\] \S+ \S+ INFO app: hello world",
        ThreadInfoFormatter(style=style).format(make_record()),
    )


@pytest.mark.parametrize(
    ("style", "prefix"),
    [("%", "%(native_id)d> "), ("{", "{native_id}> "), ("$", "$native_id> ")],
)
def test_a_prefix_in_every_style(style, prefix):
    fmt = {"%": "%(message)s", "{": "{message}", "$": "$message"}[style]
    line = ThreadInfoFormatter(fmt, style=style, prefix=prefix).format(make_record())
    assert re.fullmatch(r"\d+> hello world", line)


@pytest.mark.parametrize(("style", "fmt"), [("%", "%(a)s"), ("{", "{a}"), ("$", "$a")])
def test_defaults(style, fmt):
    formatter = ThreadInfoFormatter(fmt, style=style, defaults={"a": "-"}, prefix="")
    assert formatter.format(make_record()) == "-"
    assert formatter.format(make_record(a="set")) == "set"


def test_defaults_for_the_prefix():
    formatter = ThreadInfoFormatter("%(message)s", defaults={"a": "-"}, prefix="%(a)s ")
    assert formatter.format(make_record()) == "- hello world"


def test_a_format_that_shows_it_gets_no_prefix():
    line = ThreadInfoFormatter("%(message)s (%(thread_info)s)").format(make_record())
    assert re.fullmatch(rf"hello world \({INFO}\)", line)


def test_a_prefix_with_the_time_around_a_formatter_without():
    formatter = ThreadInfoFormatter(wrapped=logging.Formatter(), prefix="%(asctime)s ")
    assert re.fullmatch(r"\d{4}-\S+ \S+ hello world", formatter.format(make_record()))
    alone = ThreadInfoFormatter("%(message)s", prefix="%(asctime)s ")
    assert re.fullmatch(r"\d{4}-\S+ \S+ hello world", alone.format(make_record()))


@given(
    fmt=st.sampled_from([None, "%(message)s", "%(asctime)s %(levelname)s:%(message)s"]),
    datefmt=st.sampled_from([None, "%H:%M", "%c"]),
    message=st.text(),
    trouble=st.booleans(),
    stack=st.sampled_from([None, "Stack (most recent call last):\n  here"]),
)
def test_around_a_formatter_it_renders_what_that_one_renders(fmt, datefmt, message, trouble, stack):
    plain = logging.Formatter(fmt, datefmt)
    record = failing_record() if trouble else make_record()
    record.msg, record.args, record.stack_info = message, (), stack
    expected = plain.format(make_record(**{**record.__dict__, "exc_text": None}))
    line = ThreadInfoFormatter(wrapped=plain).format(record)
    prefix, rest = line[: -len(expected) or None], line[len(line) - len(expected) :]
    assert rest == expected
    assert re.fullmatch(rf"\[{INFO}\] ", prefix)


def test_the_wrapped_formatters_own_methods_are_used():
    class Mine(logging.Formatter):
        converter = staticmethod(lambda seconds: (1999, 1, 2, 3, 4, 5, 0, 1, 0))

        def formatException(self, ei):
            return f"<{ei[0].__name__}>"

        def formatStack(self, stack_info):
            return "<stack>"

    mine = Mine("%(asctime)s %(message)s")
    outer = ThreadInfoFormatter(wrapped=mine)
    record = failing_record()
    record.stack_info = "where"
    head, *rest = outer.format(record).split("\n")
    assert "] 1999-01-02 03:04:05," in head
    assert rest == ["<ValueError>", "<stack>"]
    assert outer.formatTime(record).startswith("1999")
    assert outer.formatException(record.exc_info) == "<ValueError>"
    assert outer.formatStack("where") == "<stack>"
    assert outer.usesTime()
    assert (outer.datefmt, outer._fmt) == (mine.datefmt, mine._fmt)


def test_around_pythonjsonlogger():
    from pythonjsonlogger.json import JsonFormatter

    record = make_record()
    line = json.loads(ThreadInfoFormatter(wrapped=JsonFormatter("%(message)s")).format(record))
    assert line["message"] == "hello world"
    assert line["thread_info"] == record.thread_info
    assert line["native_id"] == record.native_id


def test_around_a_json_formatter_that_leaves_it_out():
    class Json(logging.Formatter):
        def format(self, record):
            return json.dumps({"message": record.getMessage()} if record.msg else {})

    formatter = ThreadInfoFormatter(wrapped=Json())
    for msg in ("hello", ""):
        record = make_record(msg, (), threadName='a "quoted" name')
        line = json.loads(formatter.format(record))
        assert line["thread_info"] == record.thread_info
        assert line.get("message", "") == msg


def test_a_plain_message_that_looks_like_json_is_no_json():
    line = ThreadInfoFormatter(wrapped=logging.Formatter()).format(make_record('{"a": 1}', ()))
    assert re.fullmatch(rf'\[{INFO}\] {{"a": 1}}', line)


@pytest.mark.parametrize("tracebacks", [False, True])
def test_around_richs(tracebacks):
    import io

    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(file=io.StringIO(), width=250)
    handler = RichHandler(console=console, rich_tracebacks=tracebacks)
    handler.setFormatter(ThreadInfoFormatter(wrapped=logging.Formatter("%(message)s")))
    handler.handle(failing_record())
    text = console.file.getvalue()
    assert len(re.findall(rf"\[{INFO}\] hello world", text)) == 1
    assert "ValueError" in text


def test_a_record_of_another_thread_says_so():
    record = in_thread(make_record, name="writer")
    assert " tid ? writer] " in ThreadInfoFormatter().format(record)
    stamped = in_thread(lambda: [stamp(r := make_record()), r][1], name="writer")
    assert re.search(r" tid \d+ writer\] ", ThreadInfoFormatter().format(stamped))


def test_from_dictconfig_by_factory_and_by_class():
    import logging.config

    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "one": {"()": "threadlog.ThreadInfoFormatter", "fmt": "%(message)s", "escape": True},
            "two": {"class": "threadlog.ThreadInfoFormatter", "format": "%(message)s"},
        },
        "filters": {"who": {"()": "threadlog.ThreadInfoFilter"}},
        "handlers": {
            name: {"class": "logging.StreamHandler", "formatter": name, "filters": ["who"]}
            for name in ("one", "two")
        },
        "loggers": {"test_formatters": {"handlers": ["one", "two"], "propagate": False}},
    }
    logging.config.dictConfig(config)
    logger = logging.getLogger("test_formatters")
    try:
        one, two = (handler.formatter for handler in logger.handlers)
        assert one.escape
        assert not two.escape
        assert re.fullmatch(rf"\[{INFO}\] hello world", two.format(make_record()))
    finally:
        logger.handlers.clear()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"style": "?"}, ValueError, "style must be one of %, {, $, not '?'"),
        ({"fmt": "no field"}, ValueError, "no field"),
        ({"prefix": "no field"}, ValueError, "no field"),
        ({"wrapped": logging.Formatter(), "fmt": "%(message)s"}, ValueError, "give them to the"),
        ({"wrapped": logging.Formatter(), "style": "{"}, ValueError, "give them to the"),
        ({"wrapped": "%(message)s"}, TypeError, "wrapped=logging.Formatter"),
    ],
)
def test_wrong_arguments(arguments, error, text):
    with pytest.raises(error, match=re.escape(text)):
        ThreadInfoFormatter(**arguments)


HOSTILE = "\x00\x07\t\n\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202e\u2066\u2069\ud800"


@given(st.text(st.characters() | st.sampled_from(HOSTILE)))
def test_escape_makes_one_line_that_any_encoding_takes(message):
    formatter = ThreadInfoFormatter("%(message)s", prefix="", escape=True)
    line = formatter.format(make_record(message, ()))
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in line)
    assert not any(
        unicodedata.bidirectional(char) in ("LRE", "RLE", "PDF", "LRO", "RLO")
        or unicodedata.bidirectional(char) in ("LRI", "RLI", "FSI", "PDI")
        for char in line
    )
    line.encode("utf-8")
    kept = "".join(char for char in message if char not in line)
    assert not kept.isascii() or not kept.isprintable() or not kept


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf"))))
def test_escape_leaves_ordinary_text_alone(message):
    formatter = ThreadInfoFormatter("%(message)s", prefix="", escape=True)
    assert formatter.format(make_record(message, ())) == message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x85", r"\x85"),
        ("\u2028", r"\u2028"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_escape_shows_what_it_hides(text, shown):
    formatter = ThreadInfoFormatter(wrapped=logging.Formatter(), prefix="", escape=True)
    assert formatter.format(make_record(text, ())) == shown


def test_escape_in_names_tracebacks_and_stacks():
    record = failing_record()
    record.stack_info = "Stack:\n  here"
    record.threadName = "bad\nname"
    line = ThreadInfoFormatter(escape=True).format(record)
    assert "\n" not in line
    assert r"\nTraceback (most recent call last):\n" in line
    assert r"ValueError: bad\nvalue\nStack:\n  here" in line
    assert r"bad\nname" in line
