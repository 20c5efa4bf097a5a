"""rendering.render does what Formatter.format does, byte for byte."""

import contextlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threadlog import rendering

FORMATS = {
    "%": [
        "%(message)s",
        "%(asctime)s %(message)s",
        "%(asctime)s",
        "%(asctime)-30s|%(levelname)8s|%(name)s|%(message)s",
        "%(asctime)s %(asctime)s %(process)d %(threadName)s %(lineno)d",
        "no field but %%(asctime)s",
        "%(custom)s %(message)s",
        "%(asctime)d",
        "%(msecs)03d %(created)f %(relativeCreated)d",
    ],
    "{": ["{message}", "{asctime} {message}", "{asctime:>30}|{levelname}", "{custom} {message}"],
    "$": ["$message", "${asctime} $message", "$asctime $$ $name", "$custom $message"],
}
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "XYZ-05:30"]

styled = st.sampled_from([(style, fmt) for style in FORMATS for fmt in FORMATS[style]])
datefmts = st.sampled_from([None, "", "%H:%M", "%Y-%m-%dT%H:%M:%S%z", "%Z %a %j", "no date"])
# Few seconds, close together and in both halves of the year, so that moments come again.
moments = st.one_of(
    st.sampled_from([0.0, -1.0, -0.5, 1.0, 1700000000.0, 1700000000.9999, 1690000000.25]),
    st.floats(1700000000, 1700000003),
    st.integers(-3, 3).map(float),
)


@contextlib.contextmanager
def zone(name):
    """Another time zone, as time.tzset() sets it."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def render(formatter, record):
    """Return the text, by the standard formatter where that is left to it."""
    text = rendering.render(formatter, record)
    return formatter.format(record) if text is None else text


def make_record(msg="hello %s", args=("world",), created=None, **fields):
    record = logging.LogRecord("test.name", logging.INFO, "/a/path.py", 7, msg, args, None)
    if created is not None:
        record.created = created
        record.msecs = (created - created // 1) * 1000
    record.__dict__.update(fields)
    return record


def outcome(function, record):
    """Return what *function* makes of a copy of *record*: text or error, and the fields it sets."""
    copy = logging.makeLogRecord(record.__dict__)
    try:
        text = function(copy)
    except Exception as error:
        text = (type(error), str(error))
    fields = vars(copy)
    return text, [fields.get(name, "not set") for name in ("message", "asctime", "exc_text")]


def assert_same(formatter, record):
    expected = outcome(formatter.format, record)
    assert outcome(lambda copy: render(formatter, copy), record) == expected
    return expected[0]


def raised():
    try:
        raise ValueError("inside")
    except ValueError as error:
        return (ValueError, error, error.__traceback__)


@given(
    styled,
    datefmts,
    st.lists(
        st.tuples(
            moments,
            st.sampled_from([("hello %s", ("you",)), ("100%", ()), ("bad %d", ("x",)), (7, ())]),
            st.sampled_from(ZONES),
            st.sampled_from(
                [
                    {},
                    {"custom": "supplied"},
                    {"asctime": "stale", "message": "stale"},
                    {"exc_text": "a text of before"},
                    {"stack_info": "Stack (most recent call last): …"},
                    {"msecs": 5.0},
                ]
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_it_renders_as_the_formatter_does(style_and_format, datefmt, records, has_defaults):
    style, fmt = style_and_format
    defaults = {"custom": "a default"} if has_defaults else None
    formatter = logging.Formatter(fmt, datefmt, style, validate=False, defaults=defaults)
    for created, (message, args), name, fields in records:
        with zone(name):
            assert_same(formatter, make_record(message, args, created, **fields))


@given(st.lists(st.tuples(moments, datefmts), min_size=2, max_size=8))
@example([(1700000000.5, None), (1700000000.5, "%H:%M"), (1700000000.5, None)])
@example([(1700000000.5, "%H:%M"), (1700000000.25, "%H:%M"), (1700000000.25, "")])
def test_formatters_take_turns(turns):
    for created, datefmt in turns:
        assert_same(logging.Formatter("%(asctime)s", datefmt), make_record(created=created))


@pytest.mark.parametrize("fmt", ["%(message)s", "%(asctime)s %(message)s"])
@pytest.mark.parametrize("extra", [{}, {"stack_info": "Stack:\n  here"}, {"exc_text": "known\n"}])
def test_tracebacks_and_stacks(fmt, extra):
    formatter = logging.Formatter(fmt)
    text = assert_same(formatter, make_record(exc_info=raised(), **extra))
    assert "hello world\n" in text
    assert extra.get("exc_text", "ValueError: inside") in text
    # The text is kept in the record, as other handlers expect.
    record = make_record(exc_info=raised())
    render(formatter, record)
    assert record.exc_text.endswith("ValueError: inside")


def test_the_plain_formatter_of_handlers_without_one():
    record = make_record()
    assert render(logging.Formatter(), record) == "hello world"
    assert record.message == "hello world"
    assert not hasattr(record, "asctime")


def test_the_second_is_worked_out_once(monkeypatch):
    calls = []
    real = time.strftime
    monkeypatch.setattr(time, "strftime", lambda *args: calls.append(args) or real(*args))
    formatter = logging.Formatter("%(asctime)s %(message)s")
    for msecs in (1, 1, 2, 3):
        record = make_record(created=1600000000.0, msecs=float(msecs))
        assert render(formatter, record).startswith(record.asctime)
        assert record.asctime.endswith(f",00{msecs}")
    assert len(calls) == 1
    render(formatter, make_record(created=1600000001.0))
    assert len(calls) == 2


def test_a_time_zone_that_changes_within_a_second():
    formatter = logging.Formatter("%(asctime)s")
    record = make_record(created=1700000000.5)
    texts = set()
    for name in [*ZONES, *ZONES]:
        with zone(name):
            texts.add(assert_same(formatter, record))
    assert len(texts) == 4  # Kolkata's is that of XYZ


@pytest.mark.parametrize("style", ["%", "{", "$"])
def test_a_missing_field_is_the_same_error(style):
    fmt = {"%": "%(nobody)s", "{": "{nobody}", "$": "$nobody"}[style]
    formatter = logging.Formatter(fmt, style=style)
    with pytest.raises(ValueError, match="Formatting field not found in record: 'nobody'"):
        render(formatter, make_record())
    assert_same(formatter, make_record())


@pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e30])
def test_an_impossible_time_is_the_same_error(created):
    record = make_record()
    record.created = created
    text = assert_same(logging.Formatter("%(asctime)s"), record)
    assert isinstance(text, tuple)  # an error
    assert_same(logging.Formatter("%(message)s"), record)
    assert_same(logging.Formatter("%(asctime)s"), make_record(created=1.5))  # and no harm done


def shouting(self, record, datefmt=None):
    return f"OVERRIDDEN {record.created} {datefmt}"


def message_only(self, record):
    return f"OVERRIDDEN {record.message}"


OVERRIDES = {
    "converter": time.gmtime,
    "default_time_format": "OVERRIDDEN %H",
    "default_msec_format": "%s.%06d OVERRIDDEN",
    "formatTime": shouting,
    "formatMessage": message_only,
    "format": message_only,
}


def overriding_value(name):
    value = OVERRIDES[name]
    return staticmethod(value) if name == "converter" else value


@pytest.fixture
def record():
    return make_record(created=1700000000.5, msg="hello", args=(), levelname="OTHER")


@pytest.fixture
def before(record):
    """Have the record's moment rendered in the plain way, so that it would be at hand."""
    with zone("Asia/Kolkata"):
        yield render(logging.Formatter("%(asctime)s %(message)s"), record)


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("datefmt", [None, "%H:%M:%S"])
def test_what_a_subclass_overrides_counts(record, before, name, datefmt):
    kind = type("Own", (logging.Formatter,), {name: overriding_value(name)})
    text = assert_same(kind("%(asctime)s %(message)s", datefmt), record)
    if datefmt is None or name.startswith("format"):
        assert text != before


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("datefmt", [None, "%H:%M:%S"])
def test_what_an_instance_overrides_counts(record, before, name, datefmt):
    formatter = logging.Formatter("%(asctime)s %(message)s", datefmt)
    value = OVERRIDES[name]
    is_method = callable(value) and name != "converter"
    setattr(formatter, name, value.__get__(formatter) if is_method else value)
    text = assert_same(formatter, record)
    if datefmt is None or name.startswith("format"):
        assert text != before


@pytest.mark.parametrize("name", OVERRIDES)
def test_what_is_patched_on_the_class_counts(record, before, name, monkeypatch):
    formatter = logging.Formatter("%(asctime)s %(message)s")
    with monkeypatch.context() as patched:
        patched.setattr(logging.Formatter, name, overriding_value(name))
        assert assert_same(formatter, record) != before
    assert assert_same(formatter, record) == before


def test_a_milliseconds_format_of_none_counts(record, before, monkeypatch):
    formatter = logging.Formatter("%(asctime)s %(message)s")
    monkeypatch.setattr(logging.Formatter, "default_msec_format", None)
    assert "," not in assert_same(formatter, record)


def test_a_style_of_ones_own_counts(record):
    class Style(logging.PercentStyle):
        def _format(self, record):
            return "my own way"

    formatter = logging.Formatter("%(message)s")
    formatter._style = Style("%(message)s")
    assert assert_same(formatter, record) == "my own way"


def test_a_record_with_a_message_of_its_own_counts():
    class Record(logging.LogRecord):
        def getMessage(self):
            return "my own way"

    record = Record("test", 20, "", 1, "hello", (), None)
    assert render(logging.Formatter("%(message)s"), record) == "my own way"


def test_threads_see_one_moment_whole():
    def work(number):
        formatter = logging.Formatter("%(asctime)s", [None, "%H:%M"][number % 2])
        for turn in range(300):
            assert_same(formatter, make_record(created=1700000000 + number + turn % 3 / 7))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_the_fast_way_is_taken():
    # Else all of the above would compare Formatter.format with itself.
    record = make_record(created=1600000123.5)
    render(logging.Formatter("%(asctime)s"), record)
    assert rendering._moment[:2] == (1600000123.0, 500.0)
