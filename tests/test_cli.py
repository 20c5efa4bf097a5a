"""The command line, run as its users run it: by `python -m threadlog`."""

import importlib.metadata
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

import threadlog
from support import open_terminal, running
from threadlog import cli

THREADLOG = [sys.executable, "-W", "error", "-m", "threadlog"]
LARGE = "word " * 10_000


# What would change how the output looks, or when it is written.
SHAPING = ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONUTF8")


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name not in SHAPING}
    return {**kept, "TERM": "xterm", **changes}


def run(*arguments, **changes):
    return subprocess.run(
        [*THREADLOG, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=environment(**changes),
        check=False,
    )


@pytest.fixture
def tree(tmp_path):
    """Return a folder with .py files of 3 + 10,000 + 2 words, and much that is not counted."""
    (tmp_path / "a.py").write_text("one two\nthree\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "large.py").write_text(LARGE)
    (tmp_path / "below" / "bytes.py").write_bytes(b"\xff\xfe \x00")
    (tmp_path / "notes.txt").write_text("not counted")
    for skipped in ("__pycache__", "site-packages", "below/dist-packages"):
        (tmp_path / skipped).mkdir()
        (tmp_path / skipped / "no.py").write_text("not counted")
    return tmp_path


def demo(tree, *arguments, **changes):
    return run("demo", "--numbers", 1000, "--path", tree, *arguments, **changes)


def on_terminal(*arguments, **changes):
    """Run on a terminal; return the exit status and what it showed."""
    ours, theirs = open_terminal()
    with running(
        [*THREADLOG, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**changes),
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # EIO: the other side is closed
            pass
        finally:
            os.close(ours)
        process.wait()
    return process.returncode, shown.decode()


def items_by_thread(stdout):
    """Return for each of the summaries the numbers of items."""
    summaries = stdout.split("seconds busy")[1:]
    return [
        [int(items) for items in re.findall(r"^  worker-\d+ +(\d+) +\d+\.\d{3}$", part, re.M)]
        for part in summaries
    ]


def test_demo_adds_up_counts_and_checks(tree):
    done = demo(tree)
    assert done.returncode == 0
    assert "sum of 1 to 1000 in 16 segments: 500500\n" in done.stdout
    assert f"words of 3 files below {tree}: 10005\n" in done.stdout
    assert "sequential result: 500500 equal\n" in done.stdout
    assert "sequential result: 10005 equal\n" in done.stdout
    assert [sum(counts) for counts in items_by_thread(done.stdout)] == [16, 3]


def test_every_log_line_tells_who_wrote_it(tree):
    done = demo(tree, "--threads", 2)
    lines = done.stderr.splitlines()
    assert len(lines) == 16 + 1  # the segments, and the only large file
    who = re.compile(r"\[pid \d+ tid \d+ worker-[12] item \d+\] \d\d:\d\d:\d\d INFO ")
    assert all(who.match(line) for line in lines), done.stderr
    assert len({line.split()[1] for line in lines}) == 1
    assert [line for line in lines if line.endswith(f"{tree}/below/large.py: 10000 words")]


def test_one_thread_does_all_when_asked_for_one(tree):
    done = demo(tree, "--threads", 1)
    assert done.returncode == 0
    assert items_by_thread(done.stdout) == [[16], [3]]


@pytest.mark.parametrize("numbers", ["1", "2", "17", "1_000"])
def test_any_count_of_numbers_is_cut_without_loss(tree, numbers):
    done = run("demo", "--numbers", numbers, "--path", tree)
    number = int(numbers)
    assert done.returncode == 0
    assert f"segments: {number * (number + 1) // 2}\n" in done.stdout


def test_the_standard_library_is_counted_by_default():
    done = run("demo", "--numbers", 1)
    library = os.path.dirname(os.__file__)
    files = re.search(rf"words of (\d+) files below {re.escape(library)}: \d+\n", done.stdout)
    assert done.returncode == 0, done.stdout
    assert int(files[1]) > 100


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--numbers", "0"], "--numbers: must be a whole number from 1 to 10000000000, not '0'"),
        (["--numbers", "-5"], "not '-5'"),
        (["--numbers", "many"], "not 'many'"),
        (["--numbers", "1.5"], "not '1.5'"),
        (["--numbers", "9" * 40], "must be a whole number"),
        (["--numbers", "1\n2"], r"not '1\n2'"),
        (["--numbers"], "expected one argument"),
        (["--threads", "0"], "--threads: must be a whole number from 1 to 1000, not '0'"),
        (["--threads", "1001"], "not '1001'"),
        (["--threads", "x"], "not 'x'"),
        (["--path", "/no/such/folder"], "--path '/no/such/folder' is no directory"),
        (["--path", __file__], "is no directory"),
        (["--path", ""], "--path '' is no directory"),
    ],
)
def test_bad_values_get_one_line_and_status_2(arguments, complaint):
    done = run("demo", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("threadlog demo: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_path_without_a_python_file_is_a_bad_value(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    done = run("demo", "--path", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"threadlog demo: --path '{tmp_path}' has no .py file below it\n"


def test_an_unknown_argument_gets_one_line():
    done = run("demo", "--colour\nred")
    assert done.returncode == 2
    assert done.stderr == "threadlog: unrecognized arguments: --colour\\nred\n"


def test_a_file_that_cannot_be_read_fails_and_the_rest_is_counted(tree):
    (tree / "x.py").symlink_to(tree / "nowhere")
    done = demo(tree)
    assert done.returncode == 1
    assert f"words of 3 files below {tree}: 10005\n" in done.stdout
    assert "sequential result: 10005 equal\n" in done.stdout
    assert done.stdout.count("failed") == 1
    assert f"  failed: {tree}/x.py: No such file or directory\n" in done.stdout
    assert sum(items_by_thread(done.stdout)[1]) == 4
    assert re.search(r"worker-\d+ item 1\] .* ERROR work item 1 failed\nTraceback ", done.stderr)


def test_a_fifo_named_py_fails_and_hangs_nothing(tree):
    os.mkfifo(tree / "x.py")
    done = demo(tree)
    assert done.returncode == 1
    assert f"failed: {tree}/x.py: is no regular file\n" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_reported(tree):
    (tree / "below").chmod(0)
    try:
        done = demo(tree)
    finally:
        (tree / "below").chmod(0o700)
    assert done.returncode == 1
    assert f"threadlog demo: {tree}/below: Permission denied\n" in done.stderr
    assert f"words of 1 files below {tree}: 3\n" in done.stdout


def test_folder_errors_of_the_walk_make_the_run_fail(tree, mocker, capsys):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    mocker.patch("os.scandir", scandir)
    assert cli.main(["demo", "--numbers", "10", "--path", str(tree)]) == 1
    shown = capsys.readouterr()
    assert f"threadlog demo: {tree}/below: Permission denied\n" in shown.err
    assert f"words of 1 files below {tree}: 3\n" in shown.out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_of_any_bytes_is_shown_on_one_line(tree, encoding):
    os.symlink("nowhere", os.fsencode(tree) + b"/\xff \xc3\xa9\n\x1b[31m.py")
    done = demo(tree, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    e_acute = {"utf-8": "\xe9", "ascii": "\\xe9"}[encoding]
    assert f"{tree}/\\udcff {e_acute}\\n\\x1b[31m.py: No such file" in done.stdout


def test_no_colour_when_piped(tree):
    (tree / "x.py").symlink_to(tree / "nowhere")
    done = demo(tree)
    assert "\x1b" not in done.stdout + done.stderr


def test_colour_on_a_terminal(tree):
    (tree / "x.py").symlink_to(tree / "nowhere")
    status, shown = on_terminal("demo", "--numbers", 1000, "--path", tree)
    assert status == 1
    assert "\x1b[32mequal\x1b[0m" in shown
    assert "\x1b[31mfailed\x1b[0m: " in shown
    assert re.search(r"worker-1 item \d+\] \x1b\[2m\d\d:\d\d:\d\d\x1b\[0m INFO added up", shown)


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_on_a_terminal_that_asks_for_none(tree, changes):
    status, shown = on_terminal("demo", "--numbers", 1000, "--path", tree, **changes)
    assert status == 0
    assert "500500 equal" in shown
    assert "\x1b" not in shown


def test_an_empty_no_color_asks_for_nothing(tree):
    _, shown = on_terminal("demo", "--numbers", 1000, "--path", tree, NO_COLOR="")
    assert "\x1b[32mequal" in shown


@pytest.mark.parametrize(
    ("command", "changes"),
    [("demo", {}), ("demo", {"PYTHONUNBUFFERED": "1"}), ("--help", {})],
)
def test_a_reader_that_has_gone_is_no_traceback(tree, command, changes):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [*THREADLOG, command, *(["--path", str(tree)] if command == "demo" else [])],
            stdout=theirs,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(**changes),
            check=False,
        )
    finally:
        os.close(theirs)
    assert done.returncode == 141
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_without_a_traceback(tree):
    with running(
        [*THREADLOG, "demo", "--numbers", "10_000_000_000", "--path", tree],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    ) as process:
        assert "INFO added up" in process.stderr.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err


def test_the_lines_of_processes_come_through_the_parents_handlers_in_one_log():
    done = run("demo", "--numbers", 1000, "--processes", 2)
    assert done.returncode == 0, done.stderr
    methods = ("fork", "forkserver", "spawn")
    for method in methods:
        assert f"{method}: sum of 1 to 1000 in 16 segments: 500500\n" in done.stdout
    assert done.stdout.count("sequential result: 500500 equal\n") == len(methods) == 3
    who = re.compile(
        r"\[((?:Fork|Spawn|ForkServer)Process-\d+) pid (\d+) tid \2 MainThread\]"
        r" \d\d:\d\d:\d\d INFO added up \d+ to \d+: \d+"
    )
    writers = [who.fullmatch(line)[1] for line in done.stderr.splitlines()]
    assert len(writers) == 16 * 3
    counted = dict(re.findall(r"^  (\w+Process-\d+) +(\d+) ", done.stdout, re.M))
    assert counted == {name: str(writers.count(name)) for name in set(writers)}


def test_the_check_of_processes_catches_a_saboteur(mocker, capsys):
    mocker.patch.object(multiprocessing, "get_all_start_methods", return_value=["spawn"])
    mocker.patch.object(cli, "_add_up_alone", return_value=500501)
    assert cli.main(["demo", "--numbers", "1000", "--processes", "1"]) == 1
    assert "sequential result: 500501 NOT EQUAL\n" in capsys.readouterr().out


def test_threads_and_processes_exclude_each_other(tree):
    done = demo(tree, "--threads", 2, "--processes", 2)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not allowed with argument --threads" in done.stderr


def test_ctrl_c_in_the_terminal_ends_processes_without_a_traceback():
    with running(
        [*THREADLOG, "demo", "--numbers", "10_000_000_000", "--processes", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    ) as process:
        assert "INFO added up" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err


def test_ctrl_c_waits_until_all_work_is_handed_to_the_processes(mocker):
    """In the middle of that it may leave a queue locked, for which the pool then waits for ever."""
    submit, handed = ProcessPoolExecutor.submit, []

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        handed.append(submit(*arguments))
        return handed[-1]

    mocker.patch.object(ProcessPoolExecutor, "submit", interrupted)
    assert cli.main(["demo", "--numbers", "1000", "--processes", "1"]) == 130
    assert len(handed) == 16
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_the_sequential_check(tree, mocker):
    mocker.patch("threadlog.cli._check", side_effect=KeyboardInterrupt)
    assert cli.main(["demo", "--numbers", "10", "--path", str(tree)]) == 130


def test_closed_standard_streams_do_no_harm(tree):
    command = '"$@" >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *THREADLOG, "demo", "--numbers", "10", "--path", str(tree)],
        env=environment(),
        check=False,
    )
    assert done.returncode == 0


def test_no_command_shows_the_help_and_is_an_error():
    done = run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: threadlog" in done.stderr
    assert "demo" in done.stderr


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"threadlog {threadlog.__version__}\n")


def test_the_console_script_is_main(capsys):
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="threadlog")
    assert script.load() is cli.main
    assert cli.main([]) == 2
    assert "usage: threadlog" in capsys.readouterr().err


def test_importing_threadlog_does_not_import_the_command_line():
    code = "import sys, threadlog; print({'argparse', 'threadlog.cli'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("function", "wrong"),
    [("_add_up", "sequential result: 500500 "), ("_count_words", "sequential result: 10005 ")],
)
def test_the_check_catches_a_saboteur(tree, mocker, capsys, function, wrong):
    real = getattr(cli, function)
    mocker.patch.object(cli, function, lambda item: real(item) + 1)
    assert cli.main(["demo", "--numbers", "1000", "--path", str(tree)]) == 1
    out = capsys.readouterr().out
    assert f"{wrong}NOT EQUAL\n" in out
    assert out.count(" equal\n") == 1


def test_a_segment_that_fails_makes_the_check_fail(tree, mocker, capsys):
    mocker.patch.object(cli, "_add_up", side_effect=MemoryError)
    assert cli.main(["demo", "--numbers", "1000", "--path", str(tree)]) == 1
    assert "segments: 0\n" in capsys.readouterr().out


def test_a_file_that_goes_before_the_check_fails_it(tree, mocker, capsys):
    real = cli._count_words

    def count_and_remove(file):
        count = real(file)
        if file.endswith("a.py"):
            os.unlink(file)
        return count

    mocker.patch.object(cli, "_count_words", count_and_remove)
    assert cli.main(["demo", "--numbers", "10", "--path", str(tree)]) == 1
    shown = capsys.readouterr()
    assert "sequential result: None NOT EQUAL\n" in shown.out
    assert f"threadlog demo: {tree}/a.py: No such file or directory\n" in shown.err


def test_nothing_of_the_demo_stays_on_the_loggers(tree):
    logger = logging.getLogger("threadlog")
    before = (logger.level, list(logger.handlers))
    assert cli.main(["demo", "--numbers", "10", "--path", str(tree)]) == 0
    assert (logger.level, list(logger.handlers)) == before
    assert not threadlog.is_logging_with_thread_info()


# check

CONFIG = """
version = 1
[handlers.file]
class = "threadlog.handlers.RotatingFileHandler"
filename = "app.log"
maxBytes = 1000
[handlers.mine]
class = "mine.Handler"
[root]
handlers = ["file", "mine"]
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from logging import NullHandler as Handler")
    path = tmp_path / "logging.toml"
    path.write_text(CONFIG)
    return path


def test_a_config_in_which_nothing_is_wrong(config):
    done = run("check", "logging.toml")
    assert (done.stdout, done.stderr, done.returncode) == (
        "logging.toml: nothing is wrong\n",
        "",
        0,
    )
    assert not config.with_name("app.log").exists()


def test_the_console_script_finds_modules_of_the_current_directory_too(config, capsys):
    script = os.path.join(os.path.dirname(sys.executable), "threadlog")
    done = subprocess.run([script, "check", "logging.toml"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("logging.toml: nothing is wrong\n", 0)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (
            "maxBytes",
            "maxByte",
            ["logging.toml: handlers.file.maxByte: did you mean maxBytes?"],
        ),
        (
            '"file", "mine"',
            '"fil", "min\\ne"',
            [
                "logging.toml: root.handlers[0]: there is no handler 'fil'; did you mean 'file'?",
                "logging.toml: root.handlers[1]: there is no handler 'min\\ne'; did you mean"
                " 'mine'?",
            ],
        ),
        ("version = 1", "version = ", ["logging.toml: Invalid value (at line 2, column 11)"]),
        ("mine.Handler", "mine.Handle", ["logging.toml: handlers.mine.class: there is no"
                                         " 'mine.Handle'; did you mean 'mine.Handler'?"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_config_a_line_each_and_status_1(config, before, after, wanted):
    config.write_text(CONFIG.replace(before, after))
    done = run("check", "logging.toml")
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (wanted, "", 1)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("no.toml", "no.toml: No such file or directory"),
        (".", ".: the ending of its name must be one of .toml, .json, .yaml, .yml, .ini, .cfg,"
              " .conf"),
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_read_is_status_1(config, name, wanted):
    done = run("check", name)
    assert (done.stdout, done.stderr, done.returncode) == (f"{wanted}\n", "", 1)


def test_check_needs_a_file():
    assert run("check").returncode == 2
