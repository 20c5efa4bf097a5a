"""A record as plain data: what goes in comes out, whatever it is. P1, P10."""

import json
import logging
import math
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadlog
from threadlog import records
from threadlog.filters import stamp


def there_and_back(record):
    return records.decode(records.encode(record))


def record(msg="hello", args=(), **fields):
    given = logging.LogRecord("app", logging.INFO, "/a/b.py", 7, msg, args, None, "work")
    given.__dict__.update(fields)
    return given


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.text(), st.lists(PLAIN))
def test_message_and_arguments_come_out_as_they_went_in(msg, args):
    got = there_and_back(record(msg, tuple(args)))
    assert (got.msg, got.args) == (msg, tuple(args))
    assert [type(value) for value in got.args] == [type(value) for value in args]


@given(st.dictionaries(st.text(min_size=1), PLAIN, min_size=1))
def test_named_arguments_come_out_as_they_went_in(args):
    given = record("text", (args,))
    got = there_and_back(given)
    assert got.args == given.args


class Odd:
    def __str__(self):
        return "odd"

    def __repr__(self):
        return "<odd>"


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "changed"


class Bad:
    def __repr__(self):
        raise OSError("no")


circle: list = []
circle.append(circle)
deep: list = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("msg", "args", "shown"),
    [
        ("%s", (Odd(),), "odd"),
        ("%s", (Text("text"),), "changed"),
        ("%s", ([1, Odd()],), "[1, <odd>]"),
        ("%(a)s", ({"a": Odd()},), "odd"),
        ("%s", ({1: 2},), "{1: 2}"),
        (Odd(), (), "odd"),
        (7, (), "7"),
        ("%d of %d", (1, Odd(), 3), "'%d of %d' (1, <odd>, 3) (not formatted: TypeError("),
        ("%s", (Bad(),), "'%s' <tuple whose repr raised OSError>"),
    ],
)
def test_what_is_no_plain_argument_is_rendered_at_once(msg, args, shown):
    got = there_and_back(record(msg, args))
    assert got.getMessage().startswith(shown)
    assert not got.args


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (Odd(), "<odd>"),
        ([Odd(), {"a": (1, 2)}], ["<odd>", {"a": [1, 2]}]),
        (Bad(), "<Bad whose repr raised OSError>"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (circle, "[[...]]"),
        (math.inf, math.inf),
        ("\ud800", "\ud800"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_a_field_that_json_cannot_carry_comes_out_as_its_repr(value, carried):
    got = there_and_back(record(field=value, other=1))
    assert (got.field, got.other) == (carried, 1)


def test_two_surrogates_stay_two():
    assert there_and_back(record("\ud83d\ude00")).msg == "\ud83d\ude00"


def test_a_number_of_too_many_digits_and_a_nest_too_deep_lose_nothing_else():
    got = there_and_back(record("%d", (10**5000,), other=1, deep=deep))
    assert got.getMessage().startswith("'%d' <tuple whose repr raised ValueError> (not formatted")
    assert got.deep.startswith("<list whose repr raised RecursionError")
    assert got.other == 1


def test_everything_on_a_record_comes_out():
    with threadlog.logging_context(request="abc", number=7):
        given = record(field=1)
        given.stack_info = "Stack"
        stamp(given)
    got = there_and_back(given)
    assert vars(got) | {"relativeCreated": 0} == vars(given) | {"relativeCreated": 0}
    assert abs(got.relativeCreated - given.relativeCreated) < 1


def test_what_a_program_has_changed_on_a_record_comes_out():
    changes = {"levelname": "NOTICE", "threadName": "x", "created": 7, "module": Odd()}
    got = there_and_back(record(**changes))
    assert vars(got).items() >= {**changes, "module": "<odd>"}.items()


def test_the_two_first_lines_are_kept_and_forgotten_and_still_right():
    for number in range(3000):
        with threadlog.logging_context(number=number % 3):
            got = there_and_back(record(lineno=number, funcName=f"f{number % 2000}"))
        assert (got.lineno, got.funcName) == (number, f"f{number % 2000}")
        assert got.log_context == {"number": number % 3}
    assert len(records._where_lines) <= 1024


def test_the_same_text_of_another_context_is_told_apart():
    for value in (1, "1", True, "True"):
        with threadlog.logging_context(field=value):
            got = there_and_back(record())
        assert repr(got.log_context) == repr({"field": value})


def test_the_programs_record_factory_is_honoured():
    class Mine(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Mine)
    try:
        got = there_and_back(record("hello %s", ("you",)))
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert type(got) is Mine
    assert got.getMessage() == "hello you"


def test_a_factory_that_looks_at_what_it_is_given_gets_it():
    seen = []

    def factory(name, level, path, line, msg, args, exc_info, func=None, sinfo=None, **more):
        seen.append((name.upper(), level, path, line, msg, args, exc_info, func, sinfo))
        return logging.LogRecord(name, level, path, line, msg, args, exc_info, func, sinfo)

    logging.setLogRecordFactory(factory)
    try:
        got = there_and_back(record("%(a)s", ({"a": 1},)))
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert seen == [("APP", 20, "/a/b.py", 7, "%(a)s", ({"a": 1},), None, "work", None)]
    assert got.getMessage() == "1"


def test_a_factory_that_raises_costs_no_record(capsys):
    def factory(*args, **kwargs):
        raise OSError("no factory")

    logging.setLogRecordFactory(factory)
    try:
        data = records.encode(record("hello %s", ("you",)))
        got = records.decode(data)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert got.getMessage() == "hello you"
    assert "no factory" in capsys.readouterr().err


def test_a_number_that_only_the_child_may_read_arrives():
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        data = records.encode(record("%d", (10**5000,)))
    finally:
        sys.set_int_max_str_digits(limit)
    assert records.decode(data).getMessage() == "1" + "0" * 5000


# An exception


def test_an_exception_whose_traceback_cannot_be_made():
    class ChainedError(Exception):
        pass

    error = ChainedError("top")
    for _ in range(20_000):
        error, error.__cause__ = ChainedError("link"), error
    got = there_and_back(record(exc_info=(type(error), error, None)))
    assert "link" in got.exc_text
    assert got.exc_info is None


# Size


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_a_long_record_is_cut_and_says_so(character):
    length = 17 * 1024 * 1024
    text = character * length
    data = records.encode(record("%s", (text,), short="short", long=text[: length // 20]))
    assert records.LIMIT - 2000 < len(data) <= records.LIMIT
    got = records.decode(data)
    assert got.long == text[: length // 20]
    assert got.getMessage().startswith(character * 1000)
    assert got.getMessage().endswith(f"… [cut: {length:,} characters]")
    assert got.short == "short"


def test_a_record_of_many_long_fields_is_cut():
    fields = {f"field{number}": "x" * 1_000_000 for number in range(40)}
    got = there_and_back(record(**fields, exc_text="y" * 20_000_000, listed=["z" * 20_000_000]))
    assert got.msg == "hello"
    assert got.exc_text.endswith("… [cut: 20,000,000 characters]")
    assert "[cut: " in got.listed
    assert got.field39.startswith("xxx")


@pytest.mark.parametrize("character", ["x", "漢"])
def test_what_fits_is_not_cut(character):
    text = character * ((records.LIMIT - 2000) // len(character.encode()))
    assert there_and_back(record(text)).msg == text


def test_whatever_is_too_long_on_a_record_is_cut():
    long = "y" * 20_000_000
    with threadlog.logging_context(body=long):
        given = record("hello", funcName=long)
        data = records.encode(given)
    assert len(data) <= records.LIMIT
    got = records.decode(data)
    assert (got.msg, got.name, got.lineno) == ("hello", "app", 7)
    for cut in (got.funcName, got.thread_info, got.log_context):
        assert "… [cut: 20,000," in cut


def test_more_fields_than_anyone_reads_are_cut_as_one():
    got = there_and_back(record(**{f"field{number}": "x" * 20 for number in range(600_000)}))
    assert got.msg == "hello… [cut: 600,000 fields]"
    assert not hasattr(got, "field7")


# Not from us


@given(st.binary())
def test_garbage_is_refused_and_nothing_else(data):
    with pytest.raises(Exception):  # noqa: B017, PT011
        records.decode(data)


LINES = records.encode(record()).decode().split("\n")


@pytest.mark.parametrize(
    "lines",
    [
        LINES[:2],
        [*LINES, "{}"],
        [LINES[0], LINES[1], "[]"],
        [LINES[0], LINES[1], "{} {}"],
        [LINES[0], LINES[1], "{"],
        [LINES[0].replace('"app"', "[]"), LINES[1], LINES[2]],
        [LINES[0].replace(str(logging.INFO), "null"), LINES[1], LINES[2]],
        [LINES[0], LINES[1], '{"msg":"x","created":null}'],
        [LINES[0], LINES[1], "[" * 100_000],
        [LINES[0], LINES[1], '{"msg":"x","created":1.0,"extra":7}'],
    ],
)
def test_what_is_no_record_is_refused(lines):
    with pytest.raises(Exception):  # noqa: B017, PT011
        records.decode("\n".join(lines).encode())


def test_the_wire_is_json_without_anything_to_evaluate():
    data = records.encode(record())
    where, who, says = map(json.loads, data.decode("ascii").split("\n"))
    assert (where["name"], who["process"], says["msg"]) == ("app", os.getpid(), "hello")


def test_a_record_without_a_name_is_none_the_less_one():
    assert there_and_back(record(name=None)).name is None


def test_a_long_record_may_have_fields_whose_names_are_no_texts():
    given = record("x" * 20_000_000)
    given.__dict__[7] = "seven"
    given.__dict__[(1, 2)] = "pair"
    got = vars(there_and_back(given))
    assert (got["7"], got["(1, 2)"]) == ("seven", "pair")


def test_a_dict_as_the_message_stays_one():
    def over(message):
        made = logging.LogRecord("app", logging.INFO, __file__, 1, message, (), None)
        return records.decode(records.encode(made))

    fields = {"event": "hello", "words": ["a", None], "odd": object}
    assert over(fields).msg == {"event": "hello", "words": ["a", None], "odd": repr(object)}
    circle = {}
    circle["self"] = circle
    assert over(circle).msg == repr(circle)
