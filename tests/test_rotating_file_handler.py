"""Rotation by size: across threads and processes, and through crashes at every step."""

import contextlib
import errno
import gzip
import inspect
import json
import logging
import logging.config
import logging.handlers
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from support import files, log, record
from threadlog.handlers import FileHandler, RotatingFileHandler, capabilities

HEADER = "# header\n"


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def said(process):
    return process.stdout.readline().strip()


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


@pytest.fixture
def make(path):
    with contextlib.ExitStack() as at_end:

        def make(maxBytes=30, backupCount=5, *, cls=RotatingFileHandler, **options):
            handler = cls(path, maxBytes=maxBytes, backupCount=backupCount, **options)
            at_end.callback(handler.close)
            return handler

        yield make


@pytest.fixture
def start():
    """Run code in an interpreter of its own that one talks to by lines. None outlives the test."""
    with contextlib.ExitStack() as at_end:

        def start(code, *arguments):
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            at_end.enter_context(process)
            at_end.callback(process.kill)
            return process

        yield start


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, which stands still until it is told how late it is."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


# As the standard one.


def test_it_is_a_standard_rotating_file_handler_and_our_file_handler(make):
    handler = make()
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    assert isinstance(handler, logging.FileHandler)
    assert isinstance(handler, FileHandler)


def test_its_arguments_begin_as_the_standard_ones():
    ours = inspect.signature(RotatingFileHandler).parameters
    standard = inspect.signature(logging.handlers.RotatingFileHandler).parameters
    assert list(ours)[: len(standard)] == list(standard)
    assert {name: ours[name].default for name in standard} == {
        name: standard[name].default for name in standard
    }
    more = list(ours.values())[len(standard) :]
    assert {one.kind for one in more} == {inspect.Parameter.KEYWORD_ONLY}


def test_its_attributes_are_the_standard_ones(tmp_path):
    arguments = (tmp_path / "app.log", "a", 1000, 3, "utf-8", True, "replace")
    standard = logging.handlers.RotatingFileHandler(*arguments)
    handler = RotatingFileHandler(*arguments)
    standard.close()
    handler.close()
    shown = {name: value for name, value in vars(standard).items() if name != "lock"}
    assert {name: getattr(handler, name) for name in shown} == shown
    assert (handler.namer, handler.rotator, handler.maxBytes) == (None, None, 1000)


def test_mode_w_does_not_empty_a_file_that_rotates(path, make):
    path.write_text("before\n")
    handler = make(mode="w")
    log(handler, "after")
    assert handler.mode == "a"
    assert files(path) == {"": "before\nafter\n"}


def test_mode_w_empties_a_file_that_does_not_rotate(path, make):
    path.write_text("before\n")
    log(make(0, mode="w"), "after")
    assert files(path) == {"": "after\n"}


def test_a_dict_config_names_the_class_by_its_path(path):
    name = "test_rotating_file_handler.configured"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "file": {
                    "class": "threadlog.handlers.RotatingFileHandler",
                    "filename": str(path),
                    "maxBytes": 30,
                    "backupCount": 2,
                    "permissions": "0640",
                    "compress": None,
                }
            },
            "loggers": {name: {"handlers": ["file"], "propagate": False}},
        }
    )
    logger = logging.getLogger(name)
    (handler,) = logger.handlers
    try:
        for _ in range(3):
            logger.warning("123456789")
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert type(handler) is RotatingFileHandler
    assert files(path) == {"": "123456789\n", ".1": "123456789\n" * 2}
    assert path.stat().st_mode & 0o777 == 0o640


# When it rolls over.


def test_it_rolls_over_when_the_record_would_make_it_as_large_as_max_bytes(path, make):
    handler = make(30)
    log(handler, "123456789", "123456789")  # 20 bytes with the newlines
    log(handler, "123456789")
    assert files(path) == {"": "123456789\n", ".1": "123456789\n" * 2}


def test_a_record_that_leaves_one_byte_free_does_not_roll_over(path, make):
    log(make(31), "123456789", "123456789", "123456789")
    assert files(path) == {"": "123456789\n" * 3}


def test_its_files_are_those_of_the_standard_handler(tmp_path, path, make):
    (tmp_path / "standard").mkdir()
    standard = logging.handlers.RotatingFileHandler(
        tmp_path / "standard/app.log", maxBytes=100, backupCount=4
    )
    ours = make(100, 4)
    lengths = random.Random(3)
    for number in range(300):
        # No longer than a file: the standard one rolls over an empty file then, up to 3.12.2.
        text = f"{number} " + "x" * lengths.randrange(80)
        log(standard, text)
        log(ours, text)
    standard.close()
    assert files(path) == files(tmp_path / "standard/app.log")
    assert len(files(path)) == 5


def test_sizes_are_counted_in_bytes(path, make):
    handler = make(60)
    log(handler, "ä" * 20, "ä" * 10)  # 41 + 21 bytes, 32 characters
    assert files(path) == {"": "ä" * 10 + "\n", ".1": "ä" * 20 + "\n"}


def test_what_others_have_appended_counts(path, make):
    handler = make(30)
    log(handler, "mine")
    with path.open("a") as other:
        other.write("another program's\n")
    log(handler, "mine too")
    assert files(path) == {"": "mine too\n", ".1": "mine\nanother program's\n"}


def test_an_empty_file_is_not_rolled_over(path, make):
    handler = make(30)
    log(handler, "x" * 50)
    assert files(path) == {"": "x" * 50 + "\n"}


def test_a_record_larger_than_max_bytes_has_a_file_of_its_own(path, make):
    log(make(30), "before", "x" * 50, "after")
    assert files(path) == {"": "after\n", ".1": "x" * 50 + "\n", ".2": "before\n"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_and_a_record_larger_than_max_bytes(path, make, encoding):
    log(make(30, encoding=encoding), "before", "x" * 50, "after")
    assert path.read_text(encoding) == "after\n"
    assert path.with_name("app.log.1").read_text(encoding) == "x" * 50 + "\n"
    assert path.with_name("app.log.2").read_text(encoding) == "before\n"
    assert len(list(path.parent.iterdir())) == 3


def test_a_file_is_never_larger_than_max_bytes(path, make):
    handler = make(200, 100)
    lengths = random.Random(5)
    for number in range(200):
        log(handler, f"{number} " + "x" * lengths.randrange(60))
    assert max(len(text) for text in files(path).values()) < 200


@pytest.mark.parametrize(("maxBytes", "backupCount"), [(0, 5), (30, 0), (0, 0), (-1, 5), (30, -1)])
def test_with_either_of_them_0_nothing_is_rolled_over(path, make, maxBytes, backupCount):
    handler = make(maxBytes, backupCount)
    log(handler, *["123456789"] * 20)
    assert files(path) == {"": "123456789\n" * 20}


def test_exactly_backup_count_older_files_are_kept(path, make):
    handler = make(30, 3)
    for number in range(20):
        log(handler, f"{number:02} 45678901234567890")
        assert len(files(path)) == min(number, 3) + 1
    assert {ending: text[:2] for ending, text in files(path).items()} == {
        "": "19",
        ".1": "18",
        ".2": "17",
        ".3": "16",
    }


def test_should_rollover_tells_whether_a_record_would_go_to_a_new_file(path, make):
    handler = make(30)
    assert not handler.shouldRollover(record("x" * 50))  # the file is empty
    log(handler, "123456789")
    assert not handler.shouldRollover(record("123456789012345678"))
    assert handler.shouldRollover(record("1234567890123456789"))
    assert files(path) == {"": "123456789\n"}


def test_a_fifo_is_never_rolled_over(path, make):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        handler = make(30)
        assert not handler.shouldRollover(record("x" * 50))
        log(handler, *["123456789"] * 5)
        handler.doRollover()
        assert os.read(reader, 1000) == b"123456789\n" * 5
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    finally:
        os.close(reader)


def test_dev_null_is_never_rolled_over():
    handler = RotatingFileHandler(os.devnull, maxBytes=10, backupCount=3)
    log(handler, *["123456789"] * 5)
    handler.doRollover()
    handler.close()
    assert not os.path.exists(os.devnull + ".1")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"maxBytes": 1.5}, "maxBytes must be a whole number, not 1.5"),
        ({"maxBytes": "10"}, "maxBytes must be a whole number, not '10'"),
        ({"backupCount": None}, "backupCount must be a whole number, not None"),
        ({"compress": "bzip2"}, "compress must be 'gzip' or None, not 'bzip2'"),
        ({"compress": True}, "compress must be 'gzip' or None, not True"),
        ({"mode": "r"}, "mode must be 'a', 'w' or 'x', not 'r'"),
    ],
)
def test_bad_arguments_are_told_before_a_file_is_made(path, options, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        RotatingFileHandler(path, **options)
    assert not path.exists()


# By hand.


def test_rolling_over_by_hand(path, make):
    handler = make(1000)
    log(handler, "before")
    handler.doRollover()
    log(handler, "after")
    assert files(path) == {"": "after\n", ".1": "before\n"}


def test_rolling_over_by_hand_what_was_not_opened_yet(path, make):
    path.write_text("before\n")
    make(1000, delay=True).doRollover()
    assert files(path) == {"": "", ".1": "before\n"}


def test_rolling_over_by_hand_without_a_file_does_nothing(path, make):
    handler = make(1000, delay=True)
    handler.doRollover()
    assert files(path) == {}
    assert handler.stream is None


def test_rolling_over_by_hand_raises_what_goes_wrong(path, make):
    handler = make(1000)
    log(handler, "before")

    def rotator(source, destination):
        raise PermissionError(errno.EACCES, "not yours")

    handler.rotator = rotator
    with pytest.raises(PermissionError, match="not yours"):
        handler.doRollover()
    log(handler, "after")
    assert files(path) == {"": "before\nafter\n"}


def test_a_signal_handler_that_rolls_over_in_the_middle_of_a_rollover_is_ignored(path, make):
    handler = make(30)

    def in_signal(number, frame):
        handler.doRollover()
        log(handler, "signal")

    def rotator(source, destination):
        signal.raise_signal(signal.SIGUSR1)
        os.rename(source, destination)

    handler.rotator = rotator
    before = signal.signal(signal.SIGUSR1, in_signal)
    try:
        log(handler, "first", "x" * 25)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert files(path) == {"": "x" * 25 + "\n", ".1": "first\nsignal\n"}


def test_a_signal_handler_that_rolls_over_in_the_middle_of_an_append(path, make, monkeypatch):
    handler = make(1000)
    log(handler, "first")
    write, due = os.write, [True]

    def write_and_signal(descriptor, data):
        count = write(descriptor, data)
        if due.pop():
            due.append(False)
            handler.doRollover()
            log(handler, "signal")
        else:
            due.append(False)
        return count

    monkeypatch.setattr(os, "write", write_and_signal)
    log(handler, "second")
    monkeypatch.undo()
    log(handler, "third")
    assert files(path) == {"": "signal\nthird\n", ".1": "first\nsecond\n"}


def test_a_signal_handler_logs_while_the_lock_is_waited_for(path, make, monkeypatch):
    idle, other = make(1000, 1), make(1000, 1)
    log(idle, "first")
    for number in range(3):
        other.doRollover()
        log(other, f"other {number}")
    try_lock = capabilities.try_lock

    def try_lock_and_signal(descriptor):
        monkeypatch.undo()
        log(idle, "signal")
        return try_lock(descriptor)

    monkeypatch.setattr(capabilities, "try_lock", try_lock_and_signal)
    log(idle, "late")  # what it has open is deleted by now
    text = "".join(files(path).values())
    assert text.count("late\n") == 1
    assert text.count("signal\n") == 1


def test_a_signal_handler_does_not_roll_over_while_the_lock_is_another_ones(
    path, make, monkeypatch
):
    handler, other = make(1000), make(1000)
    log(handler, "first")
    assert other.stream.try_lock()
    try_lock = capabilities.try_lock
    renamed = []

    def try_lock_and_signal(descriptor):
        if try_lock(descriptor):
            return True
        monkeypatch.setattr(capabilities, "try_lock", try_lock)
        with contextlib.suppress(OSError):  # it may say that it cannot
            handler.doRollover()
        renamed.extend(files(path))  # while the other has the lock
        other.stream.unlock()
        return False

    monkeypatch.setattr(capabilities, "try_lock", try_lock_and_signal)
    log(handler, "second")
    assert renamed == [""]
    assert "".join(files(path).values()).count("second\n") == 1


# Names, and other ways to move a file.


def named(name):
    head, number = name.rsplit(".", 1)
    return f"{head.removesuffix('.log')}-{number}.log"


def test_a_namer_names_every_backup(tmp_path, make):
    handler = make(30, 2)
    handler.namer = named
    log(handler, *["12345678901234567890"] * 5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["app-1.log", "app-2.log", "app.log"]


def test_a_namer_that_is_a_method(tmp_path, make):
    class Named(RotatingFileHandler):
        def namer(self, name):
            return named(name)

    log(make(30, 2, cls=Named), *["12345678901234567890"] * 5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["app-1.log", "app-2.log", "app.log"]


def test_a_rotator_moves_the_file(path, make):
    handler = make(30, 3)
    moved = []

    def rotator(source, destination):
        moved.append((source, destination))
        os.rename(source, destination)

    handler.rotator = rotator
    log(handler, *["12345678901234567890"] * 3)
    assert moved == [(str(path), f"{path}.1")] * 2
    assert sorted(files(path)) == ["", ".1", ".2"]


def test_a_rotator_that_is_a_method(path, make):
    class Upper(RotatingFileHandler):
        def rotator(self, source, destination):
            with open(source) as old, open(destination, "w") as new:
                new.write(old.read().upper())
            os.remove(source)

    log(make(30, 3, cls=Upper), "abcdefghijklmnopqrstuvwxyz", "second")
    assert files(path) == {"": "second\n", ".1": "ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"}


def test_a_rotator_that_copies_the_file_and_empties_it(path, make):
    def rotator(source, destination):
        with open(source, "r+") as old, open(destination, "w") as new:
            new.write(old.read())
            old.truncate(0)

    handler = make(30, 3)
    handler.rotator = rotator
    log(handler, *[f"{number} 345678901234567890" for number in range(4)])
    assert files(path) == {
        ending: f"{number} 345678901234567890\n"
        for ending, number in zip(["", ".1", ".2", ".3"], [3, 2, 1, 0], strict=True)
    }


def test_a_rotator_that_does_nothing_is_told(path, make, errors):
    handler = make(30)
    handler.rotator = lambda source, destination: None
    log(handler, *["12345678901234567890"] * 3)
    (error,) = errors
    errors.clear()
    assert isinstance(error, FileExistsError)
    assert files(path) == {"": "12345678901234567890\n" * 3}


def test_a_failing_rollover_is_told_once_and_tried_again_a_second_later(path, make, errors, clock):
    handler = make(30)
    attempts = []

    def rotator(source, destination):
        attempts.append(clock.now)
        raise PermissionError(errno.EACCES, "not yours")

    handler.rotator = rotator
    text = "12345678901234567890"
    log(handler, text, text, text)
    clock.now += 0.9
    log(handler, text)
    assert len(attempts) == 1
    clock.now += 0.2
    log(handler, text)
    assert len(attempts) == 2
    assert [type(error) for error in errors] == [PermissionError]
    errors.clear()
    assert files(path) == {"": f"{text}\n" * 5}

    handler.rotator = None  # it works again: a later failure is news
    clock.now += 1.1
    log(handler, text)
    assert files(path) == {"": f"{text}\n", ".1": f"{text}\n" * 5}
    handler.rotator = rotator
    log(handler, text)
    assert [type(error) for error in errors] == [PermissionError]
    errors.clear()


@pytest.mark.parametrize("backupCount", [1, 2])
def test_nothing_is_lost_while_a_new_file_cannot_be_opened(path, make, monkeypatch, backupCount):
    handler = make(40, backupCount)
    log(handler, "first", "second")
    opened = os.open

    def refuse(name, flags, *arguments, **options):
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, "too many")
        return opened(name, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    log(handler, *[f"{number}: " + "x" * 30 for number in range(4)])
    monkeypatch.undo()
    log(handler, "last")
    text = "".join(text for _, text in sorted(files(path).items(), reverse=True))
    assert [line[:2] for line in text.splitlines()] == ["fi", "se", "0:", "1:", "2:", "3:", "la"]


# Subclasses.


def test_a_subclass_with_a_should_rollover_of_its_own(path, make):
    class OnRequest(RotatingFileHandler):
        def shouldRollover(self, record):
            return record.getMessage() == "roll"

    log(make(10, cls=OnRequest), "123456789", "123456789", "roll", "123456789")
    assert files(path) == {"": "roll\n123456789\n", ".1": "123456789\n" * 2}


def test_a_subclass_that_always_rolls_over(path, make):
    class Always(RotatingFileHandler):
        def shouldRollover(self, record):
            return True

        def doRollover(self):
            super().doRollover()
            self.stream.write(HEADER)

    log(make(10, 2, cls=Always), "1", "2", "3")
    assert files(path) == {
        ending: f"{HEADER}{n}\n" for ending, n in [("", 3), (".1", 2), (".2", 1)]
    }


class WithHeader(RotatingFileHandler):
    def doRollover(self):
        super().doRollover()
        self.stream.write(HEADER)


def test_a_subclass_writes_a_header_to_each_new_file(path, make):
    log(make(40, cls=WithHeader), *["12345678901234567890"] * 3)
    assert files(path) == {
        "": HEADER + "12345678901234567890\n",
        ".1": HEADER + "12345678901234567890\n",
        ".2": "12345678901234567890\n",
    }


def test_a_header_and_a_record_larger_than_max_bytes(path, make):
    log(make(30, cls=WithHeader), "first", "x" * 50, "last")
    assert files(path) == {
        "": HEADER + "last\n",
        ".1": HEADER + "x" * 50 + "\n",
        ".2": "first\n",
    }


def test_a_do_rollover_that_leaves_no_stream_as_the_standard_one_does_with_delay(path, make):
    class Own(RotatingFileHandler):
        def doRollover(self):
            if self.stream:
                self.stream.close()
                self.stream = None
            os.rename(self.baseFilename, self.baseFilename + ".old")
            if not self.delay:
                self.stream = self._open()

    log(make(25, cls=Own, delay=True), "12345678901234567890", "second")
    assert files(path) == {"": "second\n", ".old": "12345678901234567890\n"}


# Permissions, links, descriptors.


def test_permissions_are_kept_over_every_rollover(path, make):
    handler = make(30, 3)
    path.chmod(0o640)
    umask = os.umask(0o077)
    try:
        log(handler, *["12345678901234567890"] * 5)
    finally:
        os.umask(umask)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o640}


def test_given_permissions_are_exact_in_each_new_file(path, make):
    umask = os.umask(0o077)
    try:
        log(make(30, 3, permissions=0o664), *["12345678901234567890"] * 3)
    finally:
        os.umask(umask)
    assert [file.stat().st_mode & 0o777 for file in path.parent.iterdir()] == [0o664] * 3


def test_a_symbolic_link_is_refused_when_asked(path, make):
    target = path.with_name("target")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link") as refused:
        make(follow_symlinks=False)
    assert refused.value.errno == errno.ELOOP
    assert not target.exists()


def test_a_symbolic_link_planted_in_the_middle_of_a_rollover_is_not_followed(path, make):
    target = path.with_name("target")
    target.write_text("precious\n")
    handler = make(30, follow_symlinks=False)

    def rotator(source, destination):
        os.rename(source, destination)
        path.symlink_to(target)

    handler.rotator = rotator
    log(handler, "12345678901234567890", "second 8901234567890")
    assert target.read_text() == "precious\n"
    assert path.with_name("app.log.1").read_text().endswith("second 8901234567890\n")


@pytest.mark.timeout(90)
def test_descriptors_stay_flat_over_1000_rollovers(make):
    handler = make(30, 2)
    log(handler, "12345678901234567890")
    before = descriptors()
    for _ in range(1000):
        log(handler, "12345678901234567890")
    # What was rolled over within 10 ms is still locked, for others that write without a look.
    assert descriptors() - before < 50


@pytest.mark.timeout(90)
def test_descriptors_stay_flat_over_1000_rollovers_by_hand(make):
    handler = make(30, 2)
    before = descriptors()
    for _ in range(1000):
        handler.doRollover()
    assert descriptors() - before < 50


def test_close_leaves_no_descriptor(make):
    before = descriptors()
    handler = make(30, 2)
    log(handler, *["12345678901234567890"] * 5)
    handler.close()
    assert descriptors() == before


# What a crash or an operator has left.


@pytest.mark.parametrize(
    ("missing", "endings"),
    [
        (1, {".1": "0", ".2": "2", ".3": "3", ".4": "4", ".5": "5"}),
        (2, {".1": "0", ".2": "1", ".3": "3", ".4": "4", ".5": "5"}),
        (4, {".1": "0", ".2": "1", ".3": "2", ".4": "3", ".5": "5"}),
        (5, {".1": "0", ".2": "1", ".3": "2", ".4": "3", ".5": "4"}),
        (None, {".1": "0", ".2": "1", ".3": "2", ".4": "3", ".5": "4"}),
    ],
)
def test_only_what_is_below_a_gap_is_moved_and_nothing_is_deleted(path, make, missing, endings):
    for number in range(1, 6):
        if number != missing:
            path.with_name(f"app.log.{number}").write_text(str(number))
    path.write_text("0")
    make(1000).doRollover()
    assert files(path) == {"": "", **endings}


CRASHES = """
import errno, fcntl, functools, json, logging, os, signal, sys, traceback, types
from threadlog.handlers import RotatingFileHandler, TimedRotatingFileHandler, compress, rotation

folder, kind, way = sys.argv[1:]
rotation._RETRY_AFTER = compress._REST = compress._LOOK_AGAIN = 0
# Compress at once, in the same thread: then its steps are counted, too.
rotation._thread = types.SimpleNamespace(start_new_thread=lambda function, args: function(*args))
logging.raiseExceptions = False

def count_calls(step):
    calls = 0
    def counted(call, *arguments, **options):
        nonlocal calls
        calls += 1
        if calls == step:
            if way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EACCES, "denied")
        return call(*arguments, **options)
    names = ["rename", "replace", "remove", "unlink", "open", "ftruncate", "fchmod"]
    for owner, name in [(fcntl, "flock"), *((os, name) for name in names)]:
        setattr(owner, name, functools.partial(counted, getattr(owner, name)))
    return lambda: calls

def make(path):
    gzip = "gzip" if kind == "gzip" else None
    if kind == "time":
        return TimedRotatingFileHandler(path, when="D", backupCount=50, maxBytes=100)
    return RotatingFileHandler(path, maxBytes=100, backupCount=50, compress=gzip)

def log(handler, who, count, accepted):
    for number in range(count):
        text = f"{who} {number} " + "x" * 30
        handler.handle(logging.makeLogRecord({"msg": text}))
        os.write(accepted, (text + "\\n").encode())

def in_child(function):
    child = os.fork()
    if child == 0:
        try:
            os._exit(function() or 0)
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    return os.waitpid(child, 0)[1]

def attempt(step):
    base = os.path.join(folder, f"{kind}-{way}-{step}")
    os.mkdir(base)
    path = base + "/app.log"
    accepted = os.open(base + "/accepted", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    def driver():
        handler = make(path)
        calls = count_calls(step)
        log(handler, "driver", 9, accepted)
        return 3 if calls() < step else 0
    def survivor():
        handler = make(path)
        log(handler, "survivor", 12, accepted)
    first = in_child(driver)
    second = in_child(survivor)
    print(json.dumps([step, os.waitstatus_to_exitcode(first), os.waitstatus_to_exitcode(second)]))
    os.close(accepted)
    return os.waitstatus_to_exitcode(first) != 3

step = 1
while attempt(step):
    step += 1
"""


def row(folder):
    """Return the number of each backup and the text of each file, oldest first."""
    numbers, texts = [], []
    for file in folder.iterdir():
        match = re.fullmatch(r"app\.log(?:\.[-\d]{10})?(?:\.(\d+))?(\.gz)?", file.name)
        if file.name != "accepted":
            assert match, file.name
            dated = re.fullmatch(r"app\.log\.[-\d]{10}(?:\.\d+)?", file.name)
            number = int(match[1] or 0)
            numbers.append(-1 if dated and not match[1] else number)
            data = file.read_bytes()
            text = (gzip.decompress(data) if match[2] else data).decode()
            texts.append((number if not dated else 1000 - number, file.name == "app.log", text))
    texts.sort(key=lambda one: (one[1], -one[0]))
    return sorted(numbers), [text for *_, text in texts]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["kill", "error"])
@pytest.mark.parametrize("kind", ["size", "time", "gzip"])
def test_a_crash_at_any_step_of_a_rollover_loses_and_doubles_nothing(tmp_path, start, kind, way):
    driver = start(CRASHES, tmp_path, kind, way)
    answers, _ = driver.communicate(timeout=100)
    assert driver.returncode == 0
    steps = [json.loads(line) for line in answers.splitlines()]
    # Three rollovers at least, each with an open, a rename and a few locks.
    assert len(steps) > 15
    for step, driver_ended, survivor_ended in steps:
        assert survivor_ended == 0
        last = step == len(steps)
        assert driver_ended == (3 if last else -signal.SIGKILL if way == "kill" else 0)
        folder = tmp_path / f"{kind}-{way}-{step}"
        accepted = (folder / "accepted").read_text().splitlines()
        numbers, texts = row(folder)
        lines = "".join(texts).splitlines()
        assert not any("records lost" in line for line in lines), step
        assert len(lines) == len(set(lines)), step
        # Killed after the write, before its call returned: in the file, not accepted.
        extra = set(lines) - set(accepted)
        assert len(extra) <= (1 if way == "kill" else 0), step
        assert set(accepted) <= set(lines), step
        for who in ("driver", "survivor"):
            mine = [int(line.split()[1]) for line in lines if line.startswith(who)]
            assert mine == sorted(mine), step
        # One record more than maxBytes: the rollover that has failed was due for it.
        assert all(len(text) < 100 + 50 for text in texts), step
        if kind == "time":
            assert numbers == [-1, 0, *range(1, len(numbers) - 1)], step
        else:
            assert numbers == list(range(len(numbers))), step


# Several processes.

WRITERS = """
import logging, os, sys, threading
from threadlog.handlers import RotatingFileHandler

path, who = sys.argv[1:]
logging.raiseExceptions = False
handler = RotatingFileHandler(path, maxBytes=4096, backupCount=900)

def write(thread):
    for number in range(600):
        text = f"{who}.{thread} {number} " + "x" * (number % 80)
        handler.handle(logging.makeLogRecord({"msg": text}))

threads = [threading.Thread(target=write, args=(thread,)) for thread in range(2)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
handler.close()
"""


@pytest.mark.timeout(90)
def test_programs_started_separately_share_a_file_and_rotate_it(path, start):
    writers = [start(WRITERS, path, who) for who in "abcd"]
    assert [said(writer) for writer in writers] == ["ready"] * 4
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    numbers, texts = row(path.parent)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 50
    # On a busy machine one may wait a second in vain, and write a record all the same.
    assert max(len(text) for text in texts) < 4096 + 100
    found = {}
    for line in "".join(texts).splitlines():
        who, number, *rest = line.split(" ")
        assert rest == ["x" * (int(number) % 80)]
        found.setdefault(who, []).append(int(number))
    # Each record once, and in each thread's order over the concatenated files.
    assert found == {f"{who}.{thread}": list(range(600)) for who in "abcd" for thread in (0, 1)}


IDLE = """
import logging, sys
from threadlog.handlers import RotatingFileHandler

handler = RotatingFileHandler(sys.argv[1], maxBytes=100, backupCount=1)
print("ready", flush=True)
for line in sys.stdin:
    handler.handle(logging.makeLogRecord({"msg": line.strip()}))
    print("done", flush=True)
"""


def test_a_process_that_was_idle_writes_to_the_current_file(path, make, start):
    idle = start(IDLE, path)
    assert said(idle) == "ready"
    idle.stdin.write("early\n")
    idle.stdin.flush()
    assert said(idle) == "done"
    handler = make(100, 1)
    for _ in range(5):  # what the other has open is deleted by the second
        handler.doRollover()
        log(handler, "in between")
    idle.communicate("late\n", timeout=15)
    assert files(path) == {"": "in between\nlate\n", ".1": "in between\n"}


HOLDER = """
import os, sys
from threadlog.handlers import capabilities

descriptor = os.open(sys.argv[1], os.O_RDWR)
print(capabilities.try_lock(descriptor), flush=True)
sys.stdin.read()
"""


@pytest.mark.timeout(60)
def test_a_stopped_process_that_holds_the_lock_stalls_others_for_a_second_once(
    path, make, start, monkeypatch
):
    handler = make(50)
    log(handler, "first")
    holder = start(HOLDER, path)
    try:
        assert said(holder) == "True"
        holder.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        log(handler, "second 8901234567890")
        assert 0.5 < time.monotonic() - begin < 10  # about a second
        slept, sleep = [], time.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
        log(handler, *[f"{number} 345678901234567890" for number in range(20)])
        assert sum(slept) < 0.5
        assert files(path).keys() == {""}  # over its size, but nothing is lost
        assert path.read_text().count("\n") == 22
        with pytest.raises(OSError, match="does not move") as stuck:
            handler.doRollover()
        assert stuck.value.errno == errno.EAGAIN
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.communicate(timeout=15)
    log(handler, "last")
    assert sorted(files(path)) == ["", ".1"]
    assert files(path)[""] == "last\n"
    assert files(path)[".1"].count("\n") == 22


def test_a_record_written_without_the_lock_to_a_file_deleted_meanwhile_is_written_again(
    path, make, clock, monkeypatch
):
    def sleep(seconds):
        clock.now += seconds

    handler, stopped = make(1000), make(1000)
    log(handler, "first")
    assert stopped.stream.try_lock()
    monkeypatch.setattr(time, "sleep", sleep)
    write = os.write

    def write_late(descriptor, data):
        monkeypatch.setattr(os, "write", write)
        path.unlink()  # as by the rollovers of one that goes on just now
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", write_late)
    log(handler, "second")
    assert files(path) == {"": "second\n"}


def test_namer_and_rotator_are_called_while_the_file_is_locked(path, make):
    handler = make(30)
    other = os.open(path, os.O_RDWR)
    taken = []

    def namer(name):
        taken.append(capabilities.try_lock(other))
        return name

    def rotator(source, destination):
        taken.append(capabilities.try_lock(other))
        os.rename(source, destination)

    handler.namer, handler.rotator = namer, rotator
    log(handler, "12345678901234567890", "second 8901234567890")
    os.close(other)
    assert len(taken) > 2
    assert not any(taken)


def test_after_a_rollover_others_that_have_not_looked_yet_go_to_the_new_file(path, make, clock):
    roller, other = make(1000, 3), make(1000, 3)
    log(roller, "first")
    log(other, "second")
    roller.doRollover()
    # No time has passed, so that nothing but the old file's lock tells it to look.
    log(other, "third")
    assert files(path) == {"": "third\n", ".1": "first\nsecond\n"}


def test_the_old_files_lock_is_released_with_a_later_record(path, make, clock):
    handler = make(1000, 3)
    log(handler, "first")
    handler.doRollover()
    other = os.open(f"{path}.1", os.O_RDWR)
    try:
        log(handler, "second")
        assert not capabilities.try_lock(other)
        clock.now += 0.02
        log(handler, "third")
        assert capabilities.try_lock(other)
    finally:
        os.close(other)


def test_a_closed_handlers_rollover_is_not_done_again_by_one_that_has_not_looked(path, make, clock):
    roller, other = make(50), make(50)
    log(roller, "x" * 40)
    log(roller, "new 567890")
    roller.close()  # its lock on the old file is gone, and to the other the file is still due
    log(other, "12345678901234567890")
    assert files(path) == {"": "new 567890\n12345678901234567890\n", ".1": "x" * 40 + "\n"}


def test_a_closed_handler_writes_again_when_it_is_asked_to(path, make):
    handler = make(30)
    log(handler, "12345678901234567890")
    handler.close()
    log(handler, "second 8901234567890")
    assert files(path) == {"": "second 8901234567890\n", ".1": "12345678901234567890\n"}


def test_a_rotator_that_copies_loses_nothing_of_a_handler_that_has_not_looked(path, make):
    def copying(source, destination):
        with open(source, "rb") as old, open(destination, "wb") as new:
            new.write(old.read())
        os.remove(source)

    rolling, other = make(1000), make(1000)
    rolling.rotator = other.rotator = copying
    log(other, "before")
    rolling.doRollover()
    rolling.close()  # which gives the old file's lock free at once
    log(other, "after")
    assert files(path) == {"": "after\n", ".1": "before\n"}


class AsInCPython(RotatingFileHandler):
    def shouldRollover(self, record):
        if self.stream is None:
            self.stream = self._open()
        message = f"{self.format(record)}\n"
        self.stream.seek(0, 2)
        return self.stream.tell() + len(message) >= self.maxBytes


def test_a_should_rollover_that_was_copied_from_cpython(path, make):
    log(make(10, 1, cls=AsInCPython), "12345", "67890")
    assert files(path) == {"": "67890\n", ".1": "12345\n"}


class Broken(RotatingFileHandler):
    def shouldRollover(self, record):
        raise RuntimeError("broken")


def test_a_should_rollover_that_raises_is_told_once_and_loses_nothing(path, make, errors):
    log(make(10, 1, cls=Broken), "12345", "67890")
    assert files(path) == {"": "12345\n67890\n"}
    assert [str(error) for error in errors] == ["broken"]
    errors.clear()


class KeepsAll(RotatingFileHandler):
    def doRollover(self):
        self.stream.close()
        number = sum(1 for _ in os.scandir(os.path.dirname(self.baseFilename)))
        os.rename(self.baseFilename, f"{self.baseFilename}.kept{number}")
        self.stream = self._open()


def test_a_subclass_that_rolls_over_in_its_own_way_needs_no_backup_count(path, make):
    log(make(10, 0, cls=KeepsAll), "12345", "67890", "abcde")
    assert files(path) == {"": "abcde\n", ".kept1": "12345\n", ".kept2": "67890\n"}


@pytest.mark.parametrize("name", ["app.log", "other"])
def test_a_namer_with_one_name_for_all_is_told_and_loses_nothing(path, make, errors, name):
    handler = make(10)
    handler.namer = lambda _: str(path.parent / name)
    log(handler, "12345", "67890", "abcde")
    kept = "".join(file.read_text() for file in path.parent.iterdir())
    assert sorted(kept.split()) == ["12345", "67890", "abcde"]
    assert "namer gives one name" in str(errors.pop())
    assert errors == []


@pytest.mark.timeout(60)
def test_several_survivors_of_a_stopped_process_wait_not_for_each_other(path, make):
    held = open(path, "ab")  # noqa: SIM115
    assert capabilities.try_lock(held.fileno())
    code = f"""
import logging, time
from threadlog.handlers import RotatingFileHandler
handler = RotatingFileHandler({str(path)!r}, maxBytes=10_000, backupCount=1)
longest, end = 0, time.monotonic() + 4
while time.monotonic() < end:
    begun = time.monotonic()
    handler.handle(logging.makeLogRecord({{"msg": "hello"}}))
    longest = max(longest, time.monotonic() - begun)
    time.sleep(0.01)
print(longest)
"""
    programs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    longest = max(float(program.communicate(timeout=30)[0]) for program in programs)
    held.close()
    assert 0.9 < longest < 6  # two seconds, and what a busy machine adds; it was ten
