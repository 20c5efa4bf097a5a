"""Rotation by time: names, periods, numbers, and what a clock that is set does."""

import contextlib
import datetime
import gzip
import inspect
import logging
import logging.handlers
import os
import re
import sys
import time
import types

import pytest

from support import files, log, record
from threadlog.handlers import FileHandler, TimedRotatingFileHandler, rotation

DAY = 86400
BEGIN = 1710504000.0  # Friday 2024-03-15 12:00:00 UTC


def utc(text):
    return datetime.datetime.fromisoformat(text + "+00:00").timestamp()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.log"


@pytest.fixture(autouse=True)
def errors():
    """What was told by handleError. A test that expects something takes it out."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            logging.Handler, "handleError", lambda self, record: found.append(sys.exc_info()[1])
        )
        yield found
    assert found == []


class Clock:
    def __init__(self):
        self.now = BEGIN

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """A clock that is told what it shows, for handlers and for the files they write.

    The kernel dates files by its own clock: such a date means "now".
    """
    clock, real = Clock(), time.time() - 60
    fstat = os.fstat

    def dated(descriptor):
        status = fstat(descriptor)
        if status.st_mtime < real:  # set by os.utime
            return status
        return os.stat_result(tuple(status), {"st_mtime": clock.now})

    ours = types.SimpleNamespace(**vars(time))
    ours.time = clock.time
    monkeypatch.setattr(rotation, "time", ours)
    monkeypatch.setattr(os, "fstat", dated)
    return clock


@pytest.fixture
def make(path, clock):
    with contextlib.ExitStack() as at_end:

        def make(when="H", interval=1, backupCount=0, *, cls=TimedRotatingFileHandler, **options):
            options = {"utc": True, **options}
            handler = cls(path, when, interval, backupCount, **options)
            at_end.callback(handler.close)
            return handler

        yield make


@pytest.fixture
def zone(monkeypatch):
    def set_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


def days(handler, clock, *texts):
    """Log one text, and go on to the next day."""
    for text in texts:
        log(handler, text)
        clock.now += DAY


# As the standard one.


def test_it_is_a_standard_timed_handler_and_our_file_handler(make):
    handler = make()
    assert isinstance(handler, logging.handlers.TimedRotatingFileHandler)
    assert isinstance(handler, FileHandler)


def test_its_arguments_begin_as_the_standard_ones():
    ours = inspect.signature(TimedRotatingFileHandler).parameters
    standard = inspect.signature(logging.handlers.TimedRotatingFileHandler).parameters
    assert list(ours)[: len(standard)] == list(standard)
    assert {name: ours[name].default for name in standard} == {
        name: standard[name].default for name in standard
    }
    more = list(ours.values())[len(standard) :]
    assert {one.kind for one in more} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("when", ["S", "m", "H", "D", "midnight", "W3"])
def test_its_attributes_are_the_standard_ones(path, when):
    arguments = (path, when, 2, 3, "utf-8", True, True, datetime.time(3, 4), "replace")
    standard = logging.handlers.TimedRotatingFileHandler(*arguments)
    handler = TimedRotatingFileHandler(*arguments)
    standard.close()
    handler.close()
    shown = vars(standard).keys() - {"lock", "rolloverAt"}
    assert {name: getattr(handler, name) for name in shown} == {
        name: getattr(standard, name) for name in shown
    }


@pytest.mark.parametrize(
    ("when", "length", "ending"),
    [
        ("S", 1, ".2024-03-15_12-00-00"),
        ("M", 60, ".2024-03-15_12-00"),
        ("h", 3600, ".2024-03-15_12"),
        ("D", DAY, ".2024-03-15"),
    ],
)
def test_a_period_begins_with_the_file(path, make, clock, when, length, ending):
    handler = make(when)
    log(handler, "first")
    clock.now += length - 0.5
    log(handler, "second")
    clock.now += 1
    log(handler, "third")
    assert files(path) == {"": "third\n", ending: "first\nsecond\n"}


def test_an_interval_is_so_many_periods(path, make, clock):
    handler = make("H", 3)
    for hour in range(5):
        log(handler, str(hour))
        clock.now += 3600
    assert files(path) == {"": "3\n4\n", ".2024-03-15_12": "0\n1\n2\n"}


def test_midnight_is_the_clocks(path, make, clock):
    handler = make("midnight")
    log(handler, "friday")
    clock.now = utc("2024-03-15T23:59:59")
    log(handler, "late")
    clock.now = utc("2024-03-16T00:00:00")
    log(handler, "saturday")
    assert files(path) == {"": "saturday\n", ".2024-03-15": "friday\nlate\n"}


def test_a_day_ends_at_the_time_given(path, make, clock):
    handler = make("midnight", atTime=datetime.time(18, 30))
    clock.now = utc("2024-03-15T18:29:59")
    log(handler, "before")
    clock.now = utc("2024-03-15T18:30:00")
    log(handler, "after")
    assert files(path) == {"": "after\n", ".2024-03-14": "before\n"}


def test_a_week_ends_with_its_day(path, make, clock):
    handler = make("W6")  # Sunday
    log(handler, "friday")
    clock.now = utc("2024-03-17T23:59:59")
    log(handler, "sunday")
    clock.now = utc("2024-03-18T00:00:00")
    log(handler, "monday")
    assert files(path) == {"": "monday\n", ".2024-03-11": "friday\nsunday\n"}


@pytest.mark.parametrize("at", [None, datetime.time(0, 0), datetime.time(12, 0), datetime.time(20)])
@pytest.mark.parametrize("when", ["midnight", *(f"W{day}" for day in range(7))])
def test_periods_end_as_the_standard_handlers(path, when, at):
    arguments = {"when": when, "utc": True, "atTime": at, "delay": True}
    standard = logging.handlers.TimedRotatingFileHandler(path, **arguments)
    handler = TimedRotatingFileHandler(path, **arguments)
    for hour in range(0, 24 * 9, 5):
        now = int(BEGIN + hour * 3600) + 1  # not the moment itself: the standard one takes it twice
        assert handler.computeRollover(now) == standard.computeRollover(now), now
    standard.close()
    handler.close()


def local_periods(handler, moment, count):
    """Return when the next periods end, as local time."""
    seconds = datetime.datetime.fromisoformat(moment).timestamp()
    ends = []
    for _ in range(count):
        seconds = handler.computeRollover(int(seconds))
        ends.append(datetime.datetime.fromtimestamp(seconds).isoformat(" ", "minutes"))
    return ends


@pytest.mark.parametrize(
    ("begin", "when", "at", "ends"),
    [
        # In Berlin clocks go forth from 2 to 3 o'clock on 31 March, and back from 3 to 2 on
        # 27 October 2024.
        ("2024-03-29 12:00", "midnight", None, ["03-30 00:00", "03-31 00:00", "04-01 00:00"]),
        ("2024-10-25 12:00", "midnight", None, ["10-26 00:00", "10-27 00:00", "10-28 00:00"]),
        ("2024-03-30 12:00", "midnight", 6, ["03-31 06:00", "04-01 06:00", "04-02 06:00"]),
        ("2024-10-26 12:00", "midnight", 6, ["10-27 06:00", "10-28 06:00", "10-29 06:00"]),
        ("2024-03-26 12:00", "W6", None, ["04-01 00:00", "04-08 00:00"]),
        ("2024-10-22 12:00", "W6", None, ["10-28 00:00", "11-04 00:00"]),
        ("2024-10-22 12:00", "W6", 2, ["10-27 02:00", "11-03 02:00"]),
    ],
)
def test_periods_end_by_the_local_clock_on_the_days_it_is_set(path, zone, begin, when, at, ends):
    zone("Europe/Berlin" if os.path.exists("/usr/share/zoneinfo/Europe/Berlin") else BERLIN)
    at = None if at is None else datetime.time(at)
    handler = TimedRotatingFileHandler(path, when, atTime=at, delay=True)
    assert local_periods(handler, begin, len(ends)) == [f"2024-{end}" for end in ends]
    handler.close()


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


def test_a_day_of_23_hours_has_its_own_name(path, make, clock, zone):
    zone(BERLIN)
    handler = make("midnight", utc=False)
    handler.close()
    path.unlink()
    clock.now = datetime.datetime(2024, 3, 30, 12).timestamp()
    handler = make("midnight", utc=False)
    for day in (30, 31, 1, 2):
        clock.now = datetime.datetime(2024, 4 - (day > 9), day, 12).timestamp()
        log(handler, str(day))
    assert files(path) == {
        "": "2\n",
        ".2024-03-30": "30\n",
        ".2024-03-31": "31\n",
        ".2024-04-01": "1\n",
    }


def test_with_utc_a_day_ends_at_midnight_in_greenwich(path, make, clock, zone):
    zone(BERLIN)
    handler = make("midnight")
    log(handler, "friday")
    clock.now = utc("2024-03-15T23:59:59")  # Saturday in Berlin
    log(handler, "late")
    clock.now = utc("2024-03-16T00:00:00")
    log(handler, "saturday")
    assert files(path) == {"": "saturday\n", ".2024-03-15": "friday\nlate\n"}


def test_an_interval_of_days_spans_a_day_of_25_hours(path, make, clock, zone):
    zone(BERLIN)
    handler = make("midnight", 3, utc=False, delay=True)
    now = datetime.datetime(2024, 10, 26, 12).timestamp()
    end = handler.computeRollover(int(now))
    assert datetime.datetime.fromtimestamp(end) == datetime.datetime(2024, 10, 29)


def test_a_file_of_yesterday_is_rolled_over_at_the_first_record(path, make, clock):
    path.write_text("yesterday\n")
    os.utime(path, (clock.now - DAY,) * 2)
    handler = make("midnight")
    assert files(path) == {"": "yesterday\n"}
    log(handler, "today")
    assert files(path) == {"": "today\n", ".2024-03-14": "yesterday\n"}


def test_a_files_age_is_counted_from_its_last_record(path, make, clock):
    path.write_text("half an hour ago\n")
    os.utime(path, (clock.now - 1800,) * 2)
    handler = make("H")
    assert handler.rolloverAt == clock.now + 1800
    log(handler, "now")
    assert files(path) == {"": "half an hour ago\nnow\n"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"when": "Y"}, "'midnight' or 'W0' to 'W6', not 'Y'"),
        ({"when": "W7"}, "'midnight' or 'W0' to 'W6', not 'W7'"),
        ({"when": "W"}, "'midnight' or 'W0' to 'W6', not 'W'"),
        ({"when": None}, "'midnight' or 'W0' to 'W6', not None"),
        ({"interval": 0}, "interval must be a number above 0, not 0"),
        ({"interval": -1}, "interval must be a number above 0, not -1"),
        ({"interval": 10**12}, "interval must be a number above 0"),
        ({"interval": "1"}, "interval must be a number above 0, not '1'"),
        ({"when": "W0", "interval": 1.5}, "a whole number of days or weeks, not 1.5"),
        (
            {"atTime": "03:00"},
            "atTime must be like datetime.time(3, 0), in TOML 03:00:00, not '03:00'",
        ),
        ({"follow_symlinks": "false"}, "follow_symlinks must be True or False, not 'false'"),
        ({"maxBytes": 1.5}, "maxBytes must be a whole number, not 1.5"),
        ({"backupCount": "3"}, "backupCount must be a whole number, not '3'"),
        ({"compress": "zip"}, "compress must be 'gzip' or None"),
    ],
)
def test_bad_arguments_are_told_before_a_file_is_made(path, options, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        TimedRotatingFileHandler(path, **options)
    assert not path.exists()


# Names and numbers.


def test_the_second_file_of_a_period_has_a_number(path, make):
    handler = make("D")
    for text in "abc":
        log(handler, text)
        handler.doRollover()
    log(handler, "d")
    assert files(path) == {
        ".2024-03-15": "a\n",
        ".2024-03-15.1": "b\n",
        ".2024-03-15.2": "c\n",
        "": "d\n",
    }


def test_a_number_is_not_used_again_after_the_first_file_was_deleted(path, make):
    handler = make("midnight")
    for text in "ab":
        log(handler, text)
        handler.doRollover()
    path.with_name("app.log.2024-03-15").unlink()
    log(handler, "c")
    handler.doRollover()
    assert files(path) == {".2024-03-15.1": "b\n", ".2024-03-15.2": "c\n", "": ""}


def test_no_backup_is_written_over_where_the_program_sets_a_suffix_of_its_own(path, make):
    handler = make("midnight", backupCount=2)
    handler.suffix = "%Y%m%d"
    for text in "abcd":
        log(handler, text)
        handler.doRollover()
    assert files(path) == {".20240315.2": "c\n", ".20240315.3": "d\n", "": ""}


def test_no_backup_is_written_over_where_a_namer_hides_the_date(path, make):
    handler = make("midnight")
    handler.namer = lambda name: os.path.join(
        os.path.dirname(name), "app.log." + name.rsplit(".log.", 1)[1].replace("2024", "last-year")
    )
    for text in "abc":
        log(handler, text)
        handler.doRollover()
    assert sorted(files(path).values()) == ["", "a\n", "b\n", "c\n"]


def test_size_together_with_time(path, make, clock):
    handler = make("midnight", maxBytes=30)
    log(handler, *["12345678901234567890"] * 3)
    clock.now += DAY
    log(handler, "next day")
    assert files(path) == {
        ".2024-03-15": "12345678901234567890\n",
        ".2024-03-15.1": "12345678901234567890\n",
        ".2024-03-15.2": "12345678901234567890\n",
        "": "next day\n",
    }


def test_without_max_bytes_a_file_may_have_any_size(path, make):
    log(make("midnight"), *["x" * 100] * 100)
    assert list(files(path)) == [""]


def test_a_record_larger_than_max_bytes_has_a_file_of_its_own(path, make):
    log(make("midnight", maxBytes=30), "x" * 50, "after")
    assert files(path) == {".2024-03-15": "x" * 50 + "\n", "": "after\n"}


@pytest.mark.parametrize("backupCount", [0, -1])
def test_backup_count_0_keeps_all(path, make, clock, backupCount):
    days(make("midnight", backupCount=backupCount), clock, *"abcdefgh")
    assert len(files(path)) == 8


def test_backup_count_counts_files_and_the_oldest_go(path, make, clock):
    days(make("midnight", backupCount=2), clock, *"abcdef")
    assert files(path) == {".2024-03-18": "d\n", ".2024-03-19": "e\n", "": "f\n"}


def test_numbers_above_9_are_newer_than_9(path, make):
    handler = make("midnight", backupCount=3)
    for number in range(13):
        log(handler, str(number))
        handler.doRollover()
    assert files(path) == {
        ".2024-03-15.10": "10\n",
        ".2024-03-15.11": "11\n",
        ".2024-03-15.12": "12\n",
        "": "",
    }


def test_compressed_and_plain_backups_are_of_one_row(path, make):
    for ending in (".2024-03-13.gz", ".2024-03-14", ".2024-03-14.1.gz", ".2024-03-14.2"):
        path.with_name(f"app.log{ending}").write_bytes(b"")
    handler = make("midnight", backupCount=3)
    assert [os.path.basename(one) for one in handler.getFilesToDelete()] == [
        "app.log.2024-03-13.gz"
    ]
    log(handler, "today")
    handler.doRollover()
    assert sorted(files(path)) == ["", ".2024-03-14.1.gz", ".2024-03-14.2", ".2024-03-15"]


def test_a_compressed_backups_number_is_not_used_again(path, make):
    path.with_name("app.log.2024-03-15.gz").write_bytes(b"")
    handler = make("midnight")
    log(handler, "today")
    handler.doRollover()
    assert sorted(files(path)) == ["", ".2024-03-15.1", ".2024-03-15.gz"]


def test_files_of_others_are_no_backups(path, make, clock):
    others = ["app.log.bak", "app.log.2024", "app.log.2024-03-01.txt", "other.log.2024-03-01"]
    others += ["app.log.2024-03-01_10", "app.log.12024-03-01", "my.app.log.2024-03-01"]
    for name in others:
        path.with_name(name).write_text("precious")
    days(make("midnight", backupCount=1), clock, *"abc")
    names = {file.name for file in path.parent.iterdir()}
    assert names == {*others, "app.log", "app.log.2024-03-16"}


def named(name):
    head, date = name.split(".log.")
    return f"{head}-{date}.log"


def test_a_namer_names_every_backup_and_its_files_are_counted(path, make, clock):
    handler = make("midnight", backupCount=2)
    handler.namer = named
    days(handler, clock, *"abcd")
    log(handler, "e")
    handler.doRollover()
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {
        "app-2024-03-18.log": "d\n",
        "app-2024-03-19.log": "e\n",
        "app.log": "",
    }


def test_a_rotator_moves_the_file(path, make, clock):
    handler = make("midnight")

    def rotator(source, destination):
        with open(source, "r+") as old, open(destination, "w") as new:
            new.write(old.read().upper())
            old.truncate(0)

    handler.rotator = rotator
    days(handler, clock, *"abc")
    assert files(path) == {".2024-03-15": "A\n", ".2024-03-16": "B\n", "": "c\n"}


def test_get_files_to_delete_tells_what_is_more_than_backup_count(path, make):
    for day in (10, 11, 12, 13):
        path.with_name(f"app.log.2024-03-{day}").write_text("")
    handler = make("midnight", backupCount=2)
    assert handler.getFilesToDelete() == [f"{path}.2024-03-10", f"{path}.2024-03-11"]


def test_a_subclass_deletes_what_it_wants(path, make, clock):
    class Own(TimedRotatingFileHandler):
        def getFilesToDelete(self):
            return [self.baseFilename + ".unwanted"]

    unwanted = path.with_name("app.log.unwanted")
    unwanted.write_text("")
    days(make("midnight", backupCount=5, cls=Own), clock, *"abc")
    assert not unwanted.exists()
    assert len(files(path)) == 3


def test_a_subclass_keeps_what_it_wants(path, make, clock):
    class Archive(TimedRotatingFileHandler):
        def getFilesToDelete(self):
            return []

    days(make("midnight", backupCount=1, cls=Archive), clock, *"abcd")
    assert len(files(path)) == 4


def test_should_rollover_tells_whether_it_is_time(make, clock):
    handler = make("H")
    assert not handler.shouldRollover(record("now"))
    clock.now += 3600
    assert handler.shouldRollover(record("now"))


def test_a_fifo_is_never_rolled_over(path, make, clock):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        handler = make("S")
        clock.now += DAY
        log(handler, "text")
        assert not handler.shouldRollover(record("text"))
        assert os.read(reader, 100) == b"text\n"
        assert [file.name for file in path.parent.iterdir()] == ["app.log"]
    finally:
        os.close(reader)


def test_permissions_are_kept(path, make, clock):
    handler = make("midnight", backupCount=2)
    path.chmod(0o640)
    umask = os.umask(0o077)
    try:
        days(handler, clock, *"abcd")
    finally:
        os.umask(umask)
    assert [file.stat().st_mode & 0o777 for file in path.parent.iterdir()] == [0o640] * 3


# Several at once, and a clock that is set.


def test_several_roll_over_once_per_period(path, make, clock):
    # Each has an opening and a lock of its own, as a process has.
    handlers = [make("midnight") for _ in range(4)]
    for day in range(4):
        for number, handler in enumerate(handlers):
            log(handler, f"{day} {number}")
            clock.now += 10
        clock.now += DAY
    expected = {day: "".join(f"{day} {number}\n" for number in range(4)) for day in range(4)}
    assert files(path) == {
        ".2024-03-15": expected[0],
        ".2024-03-16": expected[1],
        ".2024-03-17": expected[2],
        "": expected[3],
    }


def test_one_that_is_started_later_agrees_on_the_period(path, make, clock):
    log(make("midnight"), "early")
    clock.now += 3600
    os.utime(path, (clock.now,) * 2)
    late = make("midnight")
    log(late, "late")
    os.utime(path, (clock.now,) * 2)
    clock.now += DAY
    log(make("midnight", delay=True), "next day")
    log(late, "next day, too")
    assert files(path).keys() == {"", ".2024-03-15"}
    assert files(path)[""] == "next day\nnext day, too\n"


@pytest.mark.parametrize("step", [-3600, 3600])
@pytest.mark.parametrize("when", ["H", "D", "midnight"])
@pytest.mark.parametrize("opened_again", [False, True])
def test_a_clock_that_is_set_causes_one_more_rollover_at_most(
    path, make, clock, when, step, opened_again
):
    def rollovers(setting):
        clock.now = BEGIN
        handler = make(when)
        for minute in range(0, 48 * 60, 20):
            log(handler, str(minute))
            os.utime(path, (clock.now,) * 2)
            clock.now += 1200
            if minute == 13 * 60:  # an hour past midnight
                clock.now += setting
                if opened_again:
                    handler.close()
                    handler = make(when)
        handler.close()
        text = "".join(files(path).values())
        assert sorted(text.split(), key=int) == [str(n) for n in range(0, 48 * 60, 20)]
        count = len(files(path))
        for file in path.parent.iterdir():
            file.unlink()
        return count

    assert abs(rollovers(step) - rollovers(0)) <= 1


def test_an_hour_that_comes_twice_does_not_write_over_the_first(path, make, clock, zone):
    zone(BERLIN)
    clock.now = datetime.datetime(2024, 10, 27, 1, 30).timestamp()
    handler = make("H", utc=False)
    for hour in range(4):
        log(handler, str(hour))
        clock.now += 3600
    assert files(path) == {
        ".2024-10-27_01": "0\n",
        ".2024-10-27_02": "1\n",
        ".2024-10-27_02.1": "2\n",
        "": "3\n",
    }


def test_a_clock_set_back_over_midnight_keeps_both_files_of_the_day(path, make, clock):
    handler = make("midnight")
    days(handler, clock, "friday")
    log(handler, "saturday")
    handler.close()
    clock.now = utc("2024-03-15T23:30:00")
    os.utime(path, (clock.now,) * 2)
    handler = make("midnight")
    log(handler, "friday again")
    clock.now += 3600
    log(handler, "saturday again")
    assert files(path) == {
        ".2024-03-15": "friday\n",
        ".2024-03-15.1": "saturday\nfriday again\n",
        "": "saturday again\n",
    }


def test_backup_count_counts_compressed_files_too(path, make, clock, monkeypatch):
    from threadlog.handlers import compress

    monkeypatch.setattr(compress, "_REST", 0)
    monkeypatch.setattr(compress, "_LOOK_AGAIN", 0)
    threads = types.SimpleNamespace(start_new_thread=lambda function, given: function(*given))
    monkeypatch.setattr(rotation, "_thread", threads)
    handler = make("midnight", backupCount=2, compress="gzip")
    days(handler, clock, *"abcd")
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "app.log",
        "app.log.2024-03-16.gz",
        "app.log.2024-03-17.gz",
    ]
    assert gzip.decompress(path.with_name("app.log.2024-03-17.gz").read_bytes()) == b"c\n"


def test_half_an_hour_is_an_interval(path, make, clock):
    assert make("H", 0.5).rolloverAt == clock.now + 1800


def test_a_namer_may_read_the_date(path, make, clock):
    handler = make("midnight", backupCount=1)
    handler.namer = lambda name: f"{path}.of-{re.search(r'[0-9]{4}-[0-9][0-9].*', name)[0]}"
    for text in ("1\n", "2\n", "3\n"):
        log(handler, text.strip())
        handler.doRollover()
    assert len(files(path)) == 2


def test_a_namer_that_forgets_the_number_is_told_and_loses_nothing(path, make, clock):
    handler = make("midnight")
    handler.namer = lambda name: re.sub(r"\.\d+$", "", name)
    log(handler, "first")
    handler.doRollover()
    log(handler, "second")
    with pytest.raises(ValueError, match=r"namer gives .* once more"):
        handler.doRollover()
    log(handler, "third")
    assert files(path)[""] == "second\nthird\n"
