"""FileHandler: the standard one by its interface; P3, P4 and P7 by what it does."""

import contextlib
import errno
import io
import logging
import logging.config
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

import threadlog
import threadlog.handlers
from support import in_fork, in_thread, logging_lock
from threadlog.handlers import FileHandler
from threadlog.handlers.append import AppendFile

WRITE = os.write
NOBODY = 65534
LOST = r"(\d+) records? lost from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d: (.*)"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


class Clock:
    """The time module, whose monotonic clock stands still until a test puts it forward."""

    def __init__(self):
        self.ahead = 0.0
        self.started = time.monotonic()

    def __getattr__(self, name):
        return getattr(time, name)

    def monotonic(self):
        return self.started + self.ahead


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("threadlog.handlers.file.time", clock)
    return clock


@pytest.fixture
def opened(path, clock):
    """Create handlers, by default of *path*, which are closed afterwards."""
    with contextlib.ExitStack() as closing:

        def open_(name=path, *args, of=FileHandler, **options):
            return closing.enter_context(contextlib.closing(of(name, *args, **options)))

        yield open_


@pytest.fixture
def handler(opened):
    return opened()


@pytest.fixture
def public():
    """A folder that other users may enter, unlike pytest's own."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    yield Path(folder)
    shutil.rmtree(folder)


class Disk:
    """Refuses writes with `error` while that is set."""

    error = None

    def write(self, descriptor, data):
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return WRITE(descriptor, data)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(os, "write", disk.write)
    return disk


def log(handler, message, *args, level=logging.INFO, **fields):
    record = logging.LogRecord("test", level, __file__, 1, message, args, None)
    record.__dict__.update(fields)
    return handler.handle(record)


def lines(path):
    return Path(path).read_text(encoding="utf-8").splitlines()


def errors_of(handler):
    """Return the list of records that get to the handler's handleError."""
    errors = []
    handler.handleError = errors.append
    return errors


def put(path, data):
    with open(path, "ab") as file:
        file.write(data)


def run(code, path, timeout=15):
    """Run *code* in an interpreter of its own, where `path` is the log's."""
    prelude = """
    import logging, os, signal, sys, threading
    from threadlog.handlers import FileHandler
    def log(handler, message, *args):
        handler.handle(logging.LogRecord("test", 20, "", 1, message, args, None))
    """
    text = textwrap.dedent(prelude) + f"path = {str(path)!r}\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


# The standard class by its interface


def test_it_is_a_standard_file_handler(handler, path):
    assert isinstance(handler, logging.FileHandler)
    assert (handler.baseFilename, handler.mode, handler.encoding) == (path, "a", "utf-8")
    assert (handler.errors, handler.delay, handler.terminator) == ("backslashreplace", False, "\n")
    assert handler.formatter is None
    assert handler.level == logging.NOTSET
    assert path in repr(handler)


def test_its_arguments_stand_where_the_standard_ones_do(opened, path):
    handler = opened(path, "w", "latin-1", True, "replace")
    assert (handler.mode, handler.encoding, handler.delay) == ("w", "latin-1", True)
    assert handler.errors == "replace"
    with pytest.raises(TypeError):
        FileHandler(path, "a", None, False, None, 0o640)  # ours are by keyword


def test_its_stream_does_what_programs_ask_of_a_stream(handler, path):
    stream = handler.stream
    assert stream.name == path
    assert os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    assert (stream.closed, stream.isatty(), stream.tell()) == (False, False, 0)
    stream.write("a header\n")
    stream.flush()
    assert stream.tell() == 9
    log(handler, "a record")
    handler.close()
    assert stream.closed
    assert handler.stream is None
    assert lines(path) == ["a header", "a record"]


def test_a_delayed_one_opens_its_file_at_the_first_record(opened, path):
    handler = opened(delay=True)
    assert handler.delay
    assert handler.stream is None
    assert not os.path.exists(path)
    log(handler, "first")
    assert isinstance(handler.stream, AppendFile)
    assert lines(path) == ["first"]


def test_a_delayed_one_that_is_never_used_makes_no_file(opened, path):
    handler = opened(delay=True)
    handler.flush()
    handler.close()
    assert not os.path.exists(path)


def test_path_objects(opened, tmp_path):
    handler = opened(tmp_path / "other")
    assert handler.baseFilename == str(tmp_path / "other")
    log(handler, "hello")
    assert lines(tmp_path / "other") == ["hello"]


def test_a_relative_path_is_that_of_the_folder_where_it_was_given(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = opened("relative", delay=True)
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    log(handler, "hello")
    assert lines(tmp_path / "relative") == ["hello"]
    assert os.listdir(other) == []


def test_the_modes(opened, path):
    put(path, b"old\n")
    log(opened(mode="a"), "appended")
    assert lines(path) == ["old", "appended"]
    log(opened(mode="w"), "emptied")
    assert lines(path) == ["emptied"]
    with pytest.raises(FileExistsError):
        FileHandler(path, "x")
    log(opened(path + "x", "x"), "new")
    assert lines(path + "x") == ["new"]


@pytest.mark.parametrize("mode", ["", "r", "r+", "aw", "b", None, 7])
def test_other_modes_are_refused(path, mode):
    with pytest.raises(ValueError, match=re.escape(f"must be 'a', 'w' or 'x', not {mode!r}")):
        FileHandler(path, mode)
    assert not os.path.exists(path)


def test_a_missing_folder_is_an_error_at_once(path):
    with pytest.raises(FileNotFoundError):
        FileHandler(path + "/missing")


def test_a_misspelt_encoding_is_an_error_at_once(path):
    with pytest.raises(LookupError, match="utf-88"):
        FileHandler(path, encoding="utf-88", delay=True)
    with pytest.raises(LookupError, match="slashreplace"):
        FileHandler(path, errors="slashreplace", delay=True)


def test_the_encoding_may_be_that_of_the_locale(opened, path):
    log(opened(encoding="locale"), "hello")  # as open() takes it
    assert lines(path) == ["hello"]


def test_formatter_level_filters_and_terminator(opened, path):
    handler = opened()
    handler.setFormatter(logging.Formatter("{levelname}:{message}", style="{"))
    handler.addFilter(lambda record: "secret" not in record.msg)
    handler.terminator = "\r\n"
    assert log(handler, "hello")
    assert not log(handler, "secret")
    assert Path(path).read_bytes() == b"INFO:hello\r\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters replace records since 3.12")
def test_a_filter_may_replace_the_record(handler, path):
    def replace(record):
        return logging.makeLogRecord({**record.__dict__, "msg": "replaced"})

    handler.addFilter(replace)
    log(handler, "hello")
    assert lines(path) == ["replaced"]


def test_the_program_may_set_another_stream(handler, path):
    log(handler, "to the file")
    other = io.StringIO()
    file = handler.setStream(other)
    log(handler, "grün %s", "\ud800")
    handler.flush()
    assert other.getvalue() == "grün \\ud800\n"
    assert handler.setStream(file) is other
    log(handler, "to the file again")
    assert lines(path) == ["to the file", "to the file again"]


def test_another_stream_is_flushed_after_each_record(handler):
    calls = []

    class Stream:
        def write(self, text):
            calls.append(text)

        def flush(self):
            calls.append("flush")

    file = handler.setStream(Stream())
    log(handler, "hello")
    assert calls == ["hello\n", "flush"]
    handler.flush()
    assert calls[2:] == ["flush"]
    handler.setStream(file)


def test_a_stream_that_fails_is_reported(handler):
    broken = io.StringIO()
    broken.close()
    file = handler.setStream(broken)
    errors = errors_of(handler)
    log(handler, "hello")
    assert [record.msg for record in errors] == ["hello"]
    handler.stream = file


class OpensItself(FileHandler):
    def _open(self):
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors)


def test_a_subclass_may_open_an_ordinary_stream(opened, path):
    handler = opened(of=OpensItself)
    assert isinstance(handler.stream, io.TextIOWrapper)
    log(handler, "grün")
    assert lines(path) == ["grün"]  # flushed
    stream = handler.stream
    handler.close()
    assert stream.closed


def test_dict_config_makes_one(path):
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"short": {"format": "%(name)s %(message)s"}},
        "handlers": {
            "file": {
                "class": "threadlog.handlers.FileHandler",
                "filename": path,
                "permissions": "0640",
                "formatter": "short",
                "level": "INFO",
            }
        },
        "loggers": {"configured": {"handlers": ["file"], "level": "DEBUG", "propagate": False}},
    }
    logging.config.dictConfig(config)
    logger = logging.getLogger("configured")
    (handler,) = logger.handlers
    try:
        assert type(handler) is FileHandler
        logger.info("hello")
        logger.debug("not this")
        assert lines(path) == ["configured hello"]
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()


# A record is in the kernel when the call returns


def test_a_record_is_one_write(handler, path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "write", lambda *call: calls.append(call) or WRITE(*call))
    log(handler, "first\nof two lines")
    log(handler, "second %s", "grün")
    assert [data for _, data in calls] == [b"first\nof two lines\n", "second grün\n".encode()]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_may_end_at_once(path, end):
    run(f"handler = FileHandler(path)\nlog(handler, 'the last words')\n{end}", path)
    assert lines(path) == ["the last words"]


def test_a_program_that_ends_with_open_handlers_says_nothing(path):
    code = """
    logging.basicConfig(handlers=[FileHandler(path)], level="INFO", format="%(message)s")
    kept = [FileHandler(path), FileHandler(path, delay=True)]
    kept.append(kept)
    logging.info("hello")
    """
    program = run(code, path)
    assert (program.returncode, program.stdout, program.stderr) == (0, "", "")
    assert lines(path) == ["hello"]


def test_ten_megabytes_arrive_whole(handler, path):
    log(handler, "before")
    log(handler, "x" * 10 * 2**20)
    log(handler, "after")
    assert lines(path) == ["before", "x" * 10 * 2**20, "after"]


def test_threads_and_processes_share_a_path(path):
    code = """
    import multiprocessing
    def work(name):
        handler = FileHandler(path)
        for number in range(200):
            log(handler, "%s %d " + "x" * (number * 37 % 5000), name, number)
    def threads(name):
        workers = [threading.Thread(target=work, args=(f"{name}.{n}",)) for n in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    children = []
    for name in range(3):
        children.append(os.fork())
        if children[-1] == 0:
            threads(name)
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    """
    program = run(code, path)
    assert program.stderr == ""
    expected = {f"{p}.{t}": list(range(200)) for p in range(3) for t in range(3)}
    found = {name: [] for name in expected}
    for line in lines(path):
        name, number, filler = line.split(" ")
        assert filler == "x" * (int(number) * 37 % 5000)
        found[name].append(int(number))
    assert found == expected


# No text can fail to be written


def test_surrogates_are_written(handler, path):
    log(handler, "half a pair \ud83d")
    assert lines(path) == ["half a pair \\ud83d"]


def test_what_an_encoding_does_not_have_is_escaped(opened, path):
    log(opened(encoding="latin-1"), "grün €")
    assert Path(path).read_bytes() == b"gr\xfcn \\u20ac\n"


def test_errors_may_be_another_way(opened, path):
    log(opened(encoding="ascii", errors="replace"), "grün")
    assert Path(path).read_bytes() == b"gr?n\n"


def test_strict_errors_are_reported_and_nothing_is_written(opened, path):
    handler = opened(encoding="ascii", errors="strict")
    errors = errors_of(handler)
    log(handler, "before")
    log(handler, "grün")
    log(handler, "after")
    assert [record.msg for record in errors] == ["grün"]
    assert lines(path) == ["before", "after"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_stands_once_at_the_begin(opened, path, encoding):
    for turn in range(2):
        handler = opened(encoding=encoding)
        log(handler, f"first {turn}")
        log(handler, f"next {turn}")
        handler.close()
        log(handler, f"reopened {turn}")
    text = "".join(
        f"{word} {turn}\n" for turn in range(2) for word in ("first", "next", "reopened")
    )
    assert Path(path).read_bytes() == text.encode(encoding)


def test_what_a_program_writes_itself_has_no_byte_order_mark(opened, path):
    handler = opened(encoding="utf-16")
    log(handler, "first")
    handler.stream.write("header\n")
    assert Path(path).read_bytes() == "first\nheader\n".encode("utf-16")


# Records that cannot be formatted


class Bad:
    def __str__(self):
        raise RuntimeError("no text of me")

    __repr__ = __str__


class Deep:
    def __repr__(self):
        return f"{self}"

    __str__ = __repr__


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("too few %s %s", (1,)),
        ("no number %d", ("one",)),
        ("bad %s", (Bad(),)),
        ("deep %s", (Deep(),)),
        (Bad(), ()),
        ("mapping %(name)s", ({"other": 1},)),
    ],
)
def test_a_record_that_cannot_be_formatted_is_reported_and_shown(
    handler, path, message, args, capsys
):
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log(handler, message, *args)
    log(handler, "next")
    shown, following = lines(path)
    assert shown.startswith("INFO ")
    if isinstance(message, str):
        assert repr(message) in shown
    assert following == "INFO next"
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_record_that_cannot_be_formatted_is_handled_once(handler, path):
    errors = errors_of(handler)
    log(handler, "too few %s %s", 1)
    assert [record.msg for record in errors] == ["too few %s %s"]
    assert len(lines(path)) == 1


def test_a_formatter_that_fails_costs_only_the_form(handler, path):
    errors = errors_of(handler)
    handler.setFormatter(logging.Formatter("%(nobody_supplies)s %(message)s"))
    log(handler, "hello")
    assert len(errors) == 1
    (line,) = lines(path)
    assert "hello" in line
    assert "nobody_supplies" in line


def test_a_traceback_that_cannot_be_rendered_costs_only_itself(handler, path):
    class Failing(logging.Formatter):
        def formatException(self, ei):
            raise RecursionError

    errors = errors_of(handler)
    handler.setFormatter(Failing("%(levelname)s %(message)s"))
    try:
        raise ValueError("inside")
    except ValueError:
        log(handler, "hello %s", 7, exc_info=sys.exc_info())
    assert len(errors) == 1
    (line,) = lines(path)
    assert line.startswith("INFO 'hello %s' (7,)")


@pytest.mark.timeout(60)
def test_a_very_long_chain_of_exceptions_reaches_the_log_only(path):
    # In an interpreter of its own: another test's debris must not end with it.
    code = """
    error = ValueError("the first link")
    for number in range(5000):
        following = ValueError(f"link {number}")
        following.__cause__ = error
        error = following
    handler = FileHandler(path)
    handler.handle(logging.LogRecord("test", 20, "", 1, "hello", (), (type(error), error, None)))
    log(handler, "next")
    print("done", flush=True)
    os._exit(0)
    """
    program = run(code, path, 50)
    assert program.stdout == "done\n"
    found = lines(path)
    assert "hello" in found[0]
    assert found[-1] == "next"


def test_without_raise_exceptions_nothing_is_printed(handler, path, monkeypatch, capsys, disk):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log(handler, "too few %s %s", 1)
    disk.error = errno.ENOSPC
    log(handler, "lost")
    handler.close()
    assert len(lines(path)) == 1
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_by_the_user_is_no_error_of_the_record(handler):
    class Interrupted:
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log(handler, "hello %s", Interrupted())


# Torn tails: the handler's part; test_append_file has the rest


def test_a_fragment_stands_on_its_own_line(opened, path):
    put(path, b"good\nfragment")
    log(opened(), "next")
    assert lines(path) == ["good", "fragmen", "next"]


def test_after_a_copytruncate_there_are_no_holes(opened, path):
    handler = opened(mode="w")
    log(handler, "copied elsewhere")
    os.truncate(path, 0)
    log(handler, "next")
    assert lines(path) == ["next"]


def test_records_without_a_terminator_are_left_alone(handler, path):
    handler.terminator = ""
    log(handler, "a")
    put(path, b"b")
    log(handler, "c")
    assert lines(path) == ["abc"]


def test_a_signal_handlers_record_between_write_and_look_is_no_fragment(handler, path, monkeypatch):
    real, pending = os.lseek, ["innermost, the longest of all", "inner"]

    def lseek(*call):
        if pending:
            log(handler, pending.pop())
        return real(*call)

    monkeypatch.setattr(os, "lseek", lseek)
    log(handler, "outer")
    log(handler, "last")
    expected = ["inner", "innermost, the longest of all", "last", "outer"]
    assert sorted(lines(path)) == expected


# Lost records


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_lost_records_are_counted_and_reported_once(handler, path, disk, number):
    errors = errors_of(handler)
    log(handler, "before")
    disk.error = number
    for turn in range(5):
        log(handler, f"lost {turn}")
    disk.error = None
    log(handler, "after")
    log(handler, "last")
    assert [record.msg for record in errors] == ["lost 0"]
    first, summary, after, last = lines(path)
    assert (first, after, last) == ("before", "after", "last")
    count, reason = re.fullmatch(LOST, summary).groups()
    assert count == "5"
    assert os.strerror(number) in reason


def test_each_burst_is_reported(handler, path, disk):
    errors = errors_of(handler)
    for burst in (2, 3):
        disk.error = errno.ENOSPC
        for _ in range(burst):
            log(handler, "lost")
        disk.error = None
        log(handler, "works")
    assert len(errors) == 2
    counts = [found[1] for found in map(re.compile(LOST).fullmatch, lines(path)) if found]
    assert counts == ["2", "3"]


def test_the_first_lost_record_is_printed_with_the_reason(handler, disk, capsys):
    disk.error = errno.ENOSPC
    log(handler, "first of the lost")
    log(handler, "second of the lost")
    disk.error = None
    said = capsys.readouterr().err
    assert said.count("--- Logging error ---") == 1
    assert "No space left on device" in said
    assert "first of the lost" in said


def test_a_record_cut_by_the_full_disk_is_a_line_of_its_own(handler, path, monkeypatch):
    errors_of(handler)
    answers = [3, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC]

    def write(descriptor, data):
        answer = answers.pop(0) if answers else len(data)
        if answer == errno.ENOSPC:
            raise OSError(answer, os.strerror(answer))
        return WRITE(descriptor, data[:answer])

    monkeypatch.setattr(os, "write", write)
    log(handler, "0123456789")
    log(handler, "lost, too")
    log(handler, "after")
    fragment, summary, after = lines(path)
    assert fragment == "01"
    assert re.fullmatch(LOST, summary)[1] == "2"
    assert after == "after"


def test_losses_are_reported_when_the_handler_is_closed(handler, path, disk):
    errors_of(handler)
    disk.error = errno.ENOSPC
    log(handler, "lost")
    disk.error = None
    handler.close()
    (summary,) = lines(path)
    assert re.fullmatch(LOST, summary)[1] == "1"


def test_losses_are_told_on_stderr_if_writing_never_works_again(handler, path, disk, capsys):
    errors_of(handler)
    disk.error = errno.ENOSPC
    log(handler, "lost")
    log(handler, "lost")
    handler.close()
    disk.error = None
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(path)
    assert re.search(LOST, said)[1] == "2"
    handler.close()
    assert capsys.readouterr().err == ""
    assert lines(path) == []


def test_the_report_has_the_form_of_the_others(handler, path, disk):
    def supply(record):
        record.request = "abc"
        return True

    errors_of(handler)
    handler.addFilter(supply)
    handler.setFormatter(
        logging.Formatter("%(levelname)s %(name)s %(request)s %(thread_number)d %(message)s")
    )
    disk.error = errno.ENOSPC
    log(handler, "lost", thread_number=7)
    disk.error = None
    log(handler, "after", thread_number=7)
    summary, after = lines(path)
    assert re.fullmatch(rf"WARNING threadlog\.handlers abc \d+ {LOST}", summary)
    assert after == "INFO test abc 7 after"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters replace records since 3.12")
def test_the_report_is_the_record_that_a_filter_makes_of_it(handler, path, disk):
    errors_of(handler)
    handler.addFilter(lambda record: logging.makeLogRecord({**record.__dict__, "request": "abc"}))
    handler.setFormatter(logging.Formatter("%(request)s %(message)s"))
    disk.error = errno.ENOSPC
    log(handler, "lost")
    disk.error = None
    log(handler, "after")
    assert re.fullmatch(f"abc {LOST}", lines(path)[0])


def test_a_report_that_cannot_be_formatted_is_shown_all_the_same(handler, path, disk):
    errors_of(handler)
    handler.setFormatter(logging.Formatter("%(from_extra)s %(message)s"))
    disk.error = errno.ENOSPC
    log(handler, "lost", from_extra=1)
    disk.error = None
    log(handler, "after", from_extra=2)
    summary, after = lines(path)
    assert "records lost" in summary
    assert summary.startswith("WARNING threadlog.handlers: 1 records lost")
    assert after == "2 after"


def test_a_filter_or_formatter_that_fails_at_the_report_stops_no_record(handler, path, disk):
    def refuse(record):
        if record.name != "test":
            raise RuntimeError("not mine")
        return True

    errors_of(handler)
    handler.addFilter(refuse)
    disk.error = errno.ENOSPC
    log(handler, "lost")
    disk.error = None
    log(handler, "after")
    summary, after = lines(path)
    assert "records lost" in summary
    assert after == "after"


def test_a_report_that_cannot_be_encoded_reaches_no_caller(opened, tmp_path):
    folder = tmp_path / "журнал"
    handler = opened(folder / "log", encoding="ascii", errors="strict", delay=True)
    errors_of(handler)
    log(handler, "lost")  # the reason has the path in it
    folder.mkdir()
    log(handler, "after")
    handler.close()
    found = lines(folder / "log")
    assert found[-1] == "after"


def test_a_forked_child_does_not_report_its_parents_losses(handler, path, disk):
    errors_of(handler)
    disk.error = errno.ENOSPC
    log(handler, "lost")
    disk.error = None
    in_fork(lambda: (log(handler, "child's"), handler.close()))
    log(handler, "parent's")
    child, summary, parent = lines(path)
    assert (child, parent) == ("child's", "parent's")
    assert re.fullmatch(LOST, summary)


def test_threads_lose_an_exact_number(handler, path, disk):
    errors_of(handler)
    disk.error = errno.ENOSPC
    start = threading.Barrier(4, timeout=10)

    def work():
        start.wait()
        for _ in range(50):
            log(handler, "lost")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    disk.error = None
    log(handler, "after")
    summary, after = lines(path)
    assert re.fullmatch(LOST, summary)[1] == "200"
    assert after == "after"


def test_a_real_limit_of_the_file_size(path):
    code = """
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    logging.Handler.handleError = lambda self, record: print("reported", record.getMessage()[:3])
    handler = FileHandler(path)
    for number in range(100):
        log(handler, "%03d " + "x" * 93, number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log(handler, "after")
    """
    program = run(code, path)
    assert program.stderr == ""
    found = lines(path)
    whole = [line for line in found if re.fullmatch(r"\d{3} x{93}", line)]
    (summary,) = (line for line in found if re.fullmatch(LOST, line))
    assert len(whole) == 4000 // 98
    assert int(re.fullmatch(LOST, summary)[1]) == 100 - len(whole)
    assert program.stdout == f"reported {len(whole):03}\n"
    assert found[-2:] == [summary, "after"]
    assert len(found) == len(whole) + 3  # and the fragment of the one that met the limit


def test_a_device_that_is_always_full(capsys):
    handler = FileHandler("/dev/full")
    errors = errors_of(handler)
    for _ in range(3):
        log(handler, "lost")
    handler.close()
    assert len(errors) == 1
    assert re.search(LOST, capsys.readouterr().err)[1] == "3"


def test_a_folder_that_comes_later_costs_only_the_records_before(opened, tmp_path):
    handler = opened(tmp_path / "folder" / "log", delay=True)
    errors = errors_of(handler)
    log(handler, "lost")
    log(handler, "lost")
    (tmp_path / "folder").mkdir()
    log(handler, "after")
    assert len(errors) == 1
    summary, after = lines(tmp_path / "folder" / "log")
    assert re.fullmatch(LOST, summary)[1] == "2"
    assert after == "after"


# The file moved, deleted, truncated


def test_a_moved_file_is_followed_within_a_second(handler, path, clock):
    log(handler, "before")
    os.rename(path, path + ".1")
    log(handler, "at once")  # to either: none is lost
    clock.ahead = 1.0
    log(handler, "a second later")
    log(handler, "and more")
    assert lines(path + ".1") == ["before", "at once"]
    assert lines(path) == ["a second later", "and more"]


def test_a_file_that_others_made_at_the_path_is_used(handler, path, clock):
    log(handler, "before")
    os.rename(path, path + ".1")
    put(path, b"another's\n")
    clock.ahead = 1.0
    log(handler, "after")
    assert lines(path) == ["another's", "after"]


def test_the_path_is_not_looked_at_at_each_record(handler, path, clock, monkeypatch):
    looks = []
    real = AppendFile.is_current
    monkeypatch.setattr(AppendFile, "is_current", lambda file: looks.append(1) or real(file))
    for _ in range(3):
        log(handler, "hello")
    assert len(looks) <= 1
    clock.ahead = 5.0
    looks.clear()
    for _ in range(3):
        log(handler, "hello")
    assert len(looks) == 1


def test_a_deleted_file_is_made_again(handler, path, clock):
    log(handler, "before")
    os.unlink(path)
    clock.ahead = 1.0
    log(handler, "after")
    assert lines(path) == ["after"]


@pytest.mark.parametrize("mode", ["a", "w", "x"])
def test_a_file_that_others_made_is_not_emptied_whatever_the_mode(opened, path, clock, mode):
    handler = opened(mode=mode)
    log(handler, "before")
    os.unlink(path)
    put(path, b"another's\n")
    clock.ahead = 1.0
    log(handler, "after")
    assert lines(path) == ["another's", "after"]


def test_the_old_file_is_closed(handler, path, clock):
    count = len(os.listdir("/proc/self/fd"))
    for turn in range(1, 6):
        os.rename(path, f"{path}.{turn}")
        clock.ahead += 1.0
        log(handler, "hello")
    assert len(os.listdir("/proc/self/fd")) == count


def test_the_new_file_has_the_permissions_of_the_old_one(handler, path, clock):
    os.chmod(path, 0o604)
    os.rename(path, path + ".1")
    clock.ahead = 1.0
    umask = os.umask(0o077)
    try:
        log(handler, "after")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604


def test_without_a_folder_it_stays_with_the_old_file_while_that_has_a_name(opened, tmp_path, clock):
    folder = tmp_path / "folder"
    folder.mkdir()
    handler = opened(folder / "log")
    errors = errors_of(handler)
    log(handler, "before")
    folder.rename(tmp_path / "moved")
    for _ in range(3):
        clock.ahead += 1.0
        log(handler, "after")
    assert errors == []
    assert lines(tmp_path / "moved" / "log") == ["before", "after", "after", "after"]
    folder.mkdir()
    clock.ahead += 1.0
    log(handler, "back")
    assert lines(folder / "log") == ["back"]


def test_records_without_any_file_are_lost_and_counted(opened, tmp_path, clock):
    folder = tmp_path / "folder"
    folder.mkdir()
    handler = opened(folder / "log")
    errors = errors_of(handler)
    log(handler, "before")
    shutil.rmtree(folder)
    clock.ahead = 1.0
    for _ in range(5):  # none of them to the file that has no name any more
        log(handler, "lost")
    folder.mkdir()
    log(handler, "after")
    assert len(errors) == 1
    summary, after = lines(folder / "log")
    assert re.fullmatch(LOST, summary)[1] == "5"
    assert after == "after"


def test_a_stream_that_the_program_has_closed_is_opened_again(handler, path):
    errors_of(handler)
    handler.stream.close()
    log(handler, "lost at most")
    log(handler, "after")
    assert lines(path)[-1] == "after"


def test_a_descriptor_that_was_closed_underneath_is_opened_again(handler, path, tmp_path):
    # As python-daemon and many double forks do: all descriptors are closed.
    errors_of(handler)
    os.close(handler.stream.fileno())
    log(handler, "lost at most")
    log(handler, "after")
    assert lines(path)[-1] == "after"


# Permissions and links


def test_permissions_are_exact_and_kept(opened, path, clock):
    umask = os.umask(0o077)
    try:
        handler = opened(permissions=0o664)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o664
        os.rename(path, path + ".1")
        clock.ahead = 1.0
        log(handler, "after")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o664


@pytest.mark.parametrize("given", ["0640", "640", "0o640", 0o640])
def test_permissions_may_be_text(opened, path, given):
    opened(permissions=given)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


@pytest.mark.parametrize(
    "given", [640, 644, 600, 0o10644, -1, "abc", "", "0o9", True, 6.0, 0, 0o444, 0o1640]
)
def test_permissions_that_can_only_be_mistakes_are_refused(path, given):
    with pytest.raises(ValueError, match=re.escape(f"permissions={given!r}")) as caught:
        FileHandler(path, permissions=given)
    assert "0o640" in str(caught.value)
    assert not os.path.exists(path)


def test_a_planted_link_is_refused_when_asked(path, tmp_path):
    put(path, b"precious\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic link") as caught:
        FileHandler(link, "w", follow_symlinks=False)
    assert caught.value.errno == errno.ELOOP
    assert lines(path) == ["precious"]


def test_a_link_is_followed_by_default(opened, path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    log(opened(link), "hello")
    assert lines(path) == ["hello"]


def test_a_link_planted_in_place_of_the_log_is_refused_later_too(opened, path, tmp_path, clock):
    handler = opened(follow_symlinks=False)
    errors = errors_of(handler)
    precious = tmp_path / "precious"
    put(precious, b"precious\n")
    os.rename(path, path + ".1")
    os.symlink(precious, path)
    clock.ahead = 1.0
    log(handler, "hello")
    assert errors == []
    assert lines(path + ".1") == ["hello"]  # the old one, which still has a name
    assert lines(precious) == ["precious"]


def test_a_thousand_handlers_leave_no_descriptor(path):
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        handler = FileHandler(path)
        log(handler, "hello")
        handler.close()
    assert len(os.listdir("/proc/self/fd")) == count
    assert len(lines(path)) == 1000


def test_a_child_program_does_not_inherit_the_file(handler, path):
    code = "import os; print(*(os.path.realpath(f'/proc/self/fd/{n}') for n in range(3, 64)))"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, timeout=15
    )
    assert child.stderr == ""
    assert path not in child.stdout


def test_a_pipe_with_a_name(opened, path):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    handler = opened()
    log(handler, "hello")
    log(handler, "again")
    assert os.read(reader, 100) == b"hello\nagain\n"
    os.close(reader)


def test_dev_null(opened):
    handler = opened(os.devnull)
    errors = errors_of(handler)
    log(handler, "hello")
    assert errors == []


# Fork


def test_a_child_logs_at_once_to_an_opening_of_its_own(handler, path):
    log(handler, "parent 0")

    def child():
        log(handler, "child")
        return os.lseek(handler.stream.fileno(), 0, os.SEEK_CUR)

    assert int(in_fork(child)[1]) == len("parent 0\nchild\n")
    assert os.lseek(handler.stream.fileno(), 0, os.SEEK_CUR) == len("parent 0\n")
    log(handler, "parent 1")
    assert lines(path) == ["parent 0", "child", "parent 1"]


def test_a_child_that_closes_does_not_release_the_parents_lock(handler, opened):
    another = opened()
    assert handler.stream.try_lock()
    in_fork(handler.close)
    assert not another.stream.try_lock()
    handler.stream.unlock()
    assert another.stream.try_lock()
    another.stream.unlock()


def test_a_child_forked_while_another_thread_has_the_handlers_lock(handler, path):
    taken, done = threading.Event(), threading.Event()

    def hold():
        with handler.lock:
            taken.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    _, answer = in_fork(lambda: bool(log(handler, "child")))
    done.set()
    holder.join()
    assert answer == "True"
    assert lines(path) == ["child"]


@pytest.mark.timeout(60)
@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="a free-threaded fork may strand the locks of the interpreter itself",
)
@pytest.mark.parametrize("way", ["os.fork", "multiprocessing"])
def test_children_forked_while_threads_log_write_each_record_once(path, way):
    code = f"""
    import multiprocessing, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # threads and forks, 3.12+
    handler = FileHandler(path)
    done = threading.Event()
    def work(name):
        number = 0
        while not done.is_set():
            log(handler, "thread %s %d", name, number)
            number += 1
        counts.append(f"{{name}}={{number}}")
    def child(number):
        for turn in range(3):
            log(handler, "child %d %d", number, turn)
    counts = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        if {way!r} == "os.fork":
            pid = os.fork()
            if pid == 0:
                child(number)
                os._exit(0)
            os.waitpid(pid, 0)
        else:
            process = multiprocessing.get_context("fork").Process(target=child, args=(number,))
            process.start()
            process.join()
    done.set()
    for thread in threads:
        thread.join()
    print(*counts)
    """
    program = run(code, path, 50)
    assert program.stderr == ""
    expected = [f"child {number} {turn}" for number in range(40) for turn in range(3)]
    for count in program.stdout.split():
        name, number = map(int, count.split("="))
        expected += [f"thread {name} {n}" for n in range(number)]
    assert sorted(lines(path)) == sorted(expected)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_a_child_that_dropped_its_privileges_goes_on_writing(public, clock):
    path = str(public / "log")
    handler = FileHandler(path, permissions=0o600)
    log(handler, "parent")
    os.chmod(public, 0o755)

    def child():
        errors = errors_of(handler)
        os.setuid(NOBODY)
        log(handler, "child")
        clock.ahead = 1.0
        log(handler, "child, later")
        return len(errors)

    assert in_fork(child)[1] == "0"
    os.rename(path, path + ".1")
    assert in_fork(child)[1] == "0"  # it may not make a new one, and keeps to the old one
    assert not os.path.exists(path)
    handler.close()
    found = lines(path + ".1")
    assert found == ["parent", *["child", "child, later"] * 2]


# Close, flush, and locks


def test_closing_twice_is_closing_once(handler, path):
    log(handler, "hello")
    handler.close()
    handler.close()
    assert lines(path) == ["hello"]


def test_a_closed_one_opens_its_file_again_and_does_not_empty_it(opened, path):
    handler = opened()
    log(handler, "first")
    handler.close()
    log(handler, "late")
    assert lines(path) == ["first", "late"]


def test_a_closed_one_with_mode_w_stays_closed(opened, path):
    handler = opened(mode="w")
    log(handler, "first")
    handler.close()
    log(handler, "late")  # as in logging
    assert handler.stream is None
    assert lines(path) == ["first"]


def test_a_closed_one_with_mode_x_opens_its_file_again(opened, path):
    handler = opened(mode="x")
    log(handler, "first")
    handler.close()
    log(handler, "late")
    assert lines(path) == ["first", "late"]


def test_a_closed_one_is_off_the_list_of_handlers(opened):
    handler = opened()
    handler.set_name("one of a kind")
    assert logging._handlers["one of a kind"] is handler
    handler.close()
    assert "one of a kind" not in logging._handlers


def test_flush_waits_for_nobody(handler):
    with handler.lock:
        thread = threading.Thread(target=handler.flush)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


def test_close_takes_loggings_lock_without_its_own(handler):
    with logging_lock():  # dictConfig then waits for the handler's
        closing = threading.Thread(target=handler.close)
        closing.start()
        deadline = time.monotonic() + 10
        while handler.stream is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert handler.stream is None
        free = handler.lock.acquire(timeout=5)
        if free:
            handler.lock.release()
    closing.join(10)
    assert not closing.is_alive()
    assert free


class TellsTheLock(logging.Formatter):
    def __init__(self, handler):
        super().__init__()
        self.handler, self.free = handler, []

    def format(self, record):
        self.free.append(in_thread(self.try_lock))
        return super().format(record)

    def try_lock(self):
        free = self.handler.lock.acquire(blocking=False)
        if free:
            self.handler.lock.release()
        return free


def test_a_record_is_formatted_outside_of_the_lock(handler):
    formatter = TellsTheLock(handler)
    handler.setFormatter(formatter)
    log(handler, "hello")
    assert formatter.free == [True]


class EmitsItself(FileHandler):
    def emit(self, record):
        record.msg += ", by a subclass"
        super().emit(record)


class Mixin:
    def emit(self, record):
        record.msg += ", by a mixin"
        super().emit(record)


class Mixed(Mixin, FileHandler):
    pass


class Plain(FileHandler):
    pass


@pytest.mark.parametrize(
    ("kind", "free", "text"),
    [
        (EmitsItself, False, "hello, by a subclass"),
        (Mixed, False, "hello, by a mixin"),
        (Plain, True, "hello"),
    ],
)
def test_a_subclass_that_emits_in_its_own_way_is_called_under_the_lock(
    opened, path, kind, free, text
):
    handler = opened(of=kind)
    formatter = TellsTheLock(handler)
    handler.setFormatter(formatter)
    assert log(handler, "hello")
    assert formatter.free == [free]
    assert lines(path) == [text]


def test_a_repr_that_logs_to_the_same_handler(handler, path):
    class Talkative:
        def __repr__(self):
            log(handler, "from inside")
            return "talkative"

    log(handler, "hello %s", Talkative())
    assert lines(path) == ["from inside", "hello talkative"]


def test_a_repr_that_takes_loggings_lock_while_dict_config_runs(path):
    # Row 22 of the table of failures. The first thread is in mid-record until the other has
    # logging's lock and wants the handler's.
    code = """
    import logging.config, time
    config = {
        "version": 1,
        "handlers": {"file": {"class": "threadlog.handlers.FileHandler", "filename": path}},
        "root": {"handlers": ["file"], "level": "INFO"},
    }
    logging.config.dictConfig(config)
    def has_loggings_lock():
        free = logging._lock.acquire(blocking=False)
        if free:
            logging._lock.release()
        return not free
    configuring = threading.Thread(target=logging.config.dictConfig, args=(config,), daemon=True)
    class Argument:
        def __repr__(self):
            configuring.start()
            while configuring.is_alive() and not has_loggings_lock():
                time.sleep(0)
            for turn in range(1000):
                logging.getLogger(f"takes.the.lock.{turn}")
            return "argument"
    logging.info("hello %s", Argument())
    configuring.join()
    print("done")
    """
    program = run(code, path)
    assert (program.stdout, program.stderr) == ("done\n", "")
    assert lines(path) == ["hello argument"]


@pytest.mark.timeout(60)
def test_a_signal_handler_that_logs_all_the_time(path):
    code = """
    import time
    handler = FileHandler(path)
    numbers = [0, 0]
    def interrupt(*_):
        numbers[1] += 1
        log(handler, "signal %d", numbers[1])
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        numbers[0] += 1
        log(handler, "main %d", numbers[0])
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(*numbers)
    """
    program = run(code, path, 50)
    assert program.stderr == ""
    main, interrupts = map(int, program.stdout.split())
    assert interrupts > 10
    expected = [f"main {n}" for n in range(1, main + 1)]
    expected += [f"signal {n}" for n in range(1, interrupts + 1)]
    assert sorted(lines(path)) == sorted(expected)


def test_a_finalizer_that_logs(path):
    code = """
    import gc
    handler = FileHandler(path)
    class Dying:
        def __init__(self, number):
            self.itself, self.number = self, number
        def __del__(self):
            log(handler, "gone %d", self.number)
    gc.set_threshold(5)
    for number in range(2000):
        Dying(number)
        log(handler, "main %d %s", number, [[] for _ in range(3)])
    gc.collect()
    """
    program = run(code, path)
    assert program.stderr == ""
    found = lines(path)
    gone = sorted(int(line.split()[1]) for line in found if line.startswith("gone"))
    assert gone == list(range(2000))
    assert len(found) == 4000


# The toggle


@pytest.mark.parametrize("kind", [FileHandler, EmitsItself, Plain])
def test_the_toggle_dresses_it_once(opened, path, kind):
    before = opened(of=kind)
    formatter = logging.Formatter("%(levelname)s %(message)s")
    before.setFormatter(formatter)
    with threadlog.logging_with_thread_info():
        log(before, "before")
        created = opened(path + "2", of=kind)
        log(created, "created")
    log(before, "off again")
    first, last = lines(path)
    assert re.match(r"\[pid \d+ tid \d+ MainThread\] INFO before", first)
    assert last.startswith("INFO off again")
    assert before.formatter is formatter
    (line,) = lines(path + "2")
    assert re.match(r"\[pid \d+ tid \d+ MainThread\] created", line)
    assert line.count("pid ") == 1


def test_the_report_of_lost_records_is_dressed_too(handler, path, disk):
    errors_of(handler)
    with threadlog.logging_with_thread_info():
        disk.error = errno.ENOSPC
        log(handler, "lost")
        disk.error = None
        log(handler, "after")
    assert [line.count("[pid ") for line in lines(path)] == [1, 1]


@pytest.mark.parametrize("given", [b"bytes", None])
def test_what_a_formatter_returns_must_be_text(handler, path, given):
    errors = errors_of(handler)
    formatter = logging.Formatter()
    formatter.format = lambda record: given
    handler.setFormatter(formatter)
    log(handler, "hello")
    assert len(errors) == 1
    assert "'hello'" in lines(path)[0]


def test_a_filter_that_raises_is_reported_and_holds_nothing_back(handler, path):
    def broken(record):
        raise RuntimeError("broken")

    errors = errors_of(handler)
    handler.addFilter(broken)
    log(handler, "hello")
    assert len(errors) == 1
    assert lines(path) == ["hello"]


def test_a_formatter_that_may_keep_something_is_called_by_one_thread_at_a_time(handler):
    inside, most = 0, 0

    class Keeps(logging.Formatter):
        def format(self, record):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1
            return super().format(record)

    handler.setFormatter(Keeps())
    threads = [threading.Thread(target=log, args=(handler, "hello")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_two_handlers_that_wait_for_each_other_go_on(tmp_path):
    # A signal handler in one's append wants the other, a finalizer in the other's wants the first.
    code = f"""
import logging, signal, threading
from threadlog.handlers import FileHandler
from threadlog.handlers.append import AppendFile
a, b = FileHandler({str(tmp_path / "a")!r}), FileHandler({str(tmp_path / "b")!r})
main, both = threading.main_thread(), threading.Barrier(2)
def log(message, *handlers):
    for handler in handlers:
        handler.handle(logging.LogRecord("x", 20, "", 1, message, (), None))
def interrupted(number, frame):
    both.wait(5)
    log("signal", a, b)
class Garbage:
    def __del__(self):
        both.wait(5)
        log("finalizer", a, b)
signal.signal(signal.SIGUSR1, interrupted)
append, once = AppendFile.append, [1, 1]
def at_the_moment(self, record, start=None):
    if threading.current_thread() is main:
        if self is a.stream and once[0]:
            once[0] = 0
            signal.raise_signal(signal.SIGUSR1)
    elif self is b.stream and once[1]:
        once[1] = 0
        Garbage()
    return append(self, record, start)
AppendFile.append = at_the_moment
thread = threading.Thread(target=log, args=("thread", b))
thread.start()
log("main", a)
thread.join()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=15)
    assert sorted((tmp_path / "a").read_text().split()) == ["finalizer", "main", "signal"]
    assert sorted((tmp_path / "b").read_text().split()) == ["finalizer", "signal", "thread"]


# Many records as one write


def batch_of(*texts):
    return [logging.LogRecord("test", 20, "", 1, text, (), None) for text in texts]


def write_all(handler, *texts):
    handler.write_batch(handler.render_batch(batch_of(*texts)))


def test_a_batch_is_one_write(handler, path, monkeypatch):
    written = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or WRITE(fd, data))
    write_all(handler, "a", "b", "c")
    assert written == [b"a\nb\nc\n"]
    log(handler, "d")
    assert lines(path) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("count", range(13))
def test_a_batch_that_is_cut_short_is_written_one_by_one(handler, path, monkeypatch, count):
    counts = [count]
    monkeypatch.setattr(
        os, "write", lambda fd, data: WRITE(fd, data[: counts.pop()] if counts else data)
    )
    write_all(handler, "aaa", "bbb", "ccc")
    log(handler, "d")
    written = lines(path)
    whole = [line for line in written if line in ("aaa", "bbb", "ccc", "d")]
    assert whole == ["aaa", "bbb", "ccc", "d"]
    assert len(written) - len(whole) <= 1  # the fragment, on a line of its own


def test_what_of_a_batch_the_disk_does_not_take_is_counted(handler, path, disk):
    errors = errors_of(handler)
    log(handler, "before")
    disk.error = errno.ENOSPC
    write_all(handler, "a", "b", "c")
    disk.error = None
    write_all(handler, "d")
    assert lines(path)[0] == "before"
    assert re.fullmatch(LOST, lines(path)[1])[1] == "3"
    assert lines(path)[2:] == ["d"]
    assert len(errors) == 1


def test_a_batch_in_the_middle_of_an_append_stands_whole(handler, path, monkeypatch):
    def interrupted(fd, data):
        monkeypatch.setattr(os, "write", WRITE)
        written = WRITE(fd, data)
        write_all(handler, "x", "y")
        return written

    monkeypatch.setattr(os, "write", interrupted)
    log(handler, "a")
    log(handler, "b")
    assert lines(path) == ["a", "x", "y", "b"]


def test_rotating_handlers_take_no_batches(path):
    handler = threadlog.handlers.RotatingFileHandler(path, maxBytes=100, backupCount=1)
    assert not handler.takes_batches()
    handler.close()
