"""The progress bar on a real terminal (a pty of a child process), and where there is none."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import termios
import textwrap
import threading
from typing import Any

import pytest
from pytest_mock import MockerFixture

from support import open_terminal
from threadlog import do_threaded_work, iter_threaded_work

WAIT = 15
START = """
    import logging, sys, threading
    from threadlog import do_threaded_work, iter_threaded_work
    log = logging.getLogger("app")
    were = sys.stdout, sys.stderr
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("LOG %(message)s"))
    logging.root.addHandler(handler)

    def restored():
        return (sys.stdout, sys.stderr) == were and handler.stream is were[1]
"""


def on_terminal(script: str, **pipes: Any) -> str:
    """Run a program on a terminal of its own; return all that it wrote there."""
    main, end = open_terminal()
    termios.tcsetwinsize(end, (24, 80))
    streams = {"stdin": end, "stdout": end, "stderr": end} | pipes
    program = textwrap.dedent(START) + textwrap.dedent(script)
    child = subprocess.Popen([sys.executable, "-W", "error", "-c", program], **streams)
    os.close(end)
    written = b""
    watch = threading.Timer(WAIT, child.kill)
    watch.start()
    try:
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # EIO: the child has gone
                break
            if not part:
                break
            written += part
    finally:
        watch.cancel()
        watch.join()
        os.close(main)
        if child.stdout is not None:
            child.stdout.close()
        assert child.wait(WAIT) == 0, written.decode()
    return written.decode()


def screen(written: str) -> list[str]:
    """What can be read on the terminal in the end: a carriage return writes the line anew."""
    lines = []
    for line in re.sub("\x1b\\[[A-Z]", "", written).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.parametrize("func", ["do_threaded_work", "iter_threaded_work"])
def test_the_bar_is_shown_and_lines_stand_whole_above_it(func: str) -> None:
    written = on_terminal(f"""
        def work(item):
            log.warning("item %d " + 30 * "x", item)
            print("print", item, 30 * "y")  # to stdout, the bar is on stderr
            return item

        results = list({func}(range(20), work, 4, thread_info=False, name="sum", progress=True))
        assert results == list(range(20))
        assert restored()
    """)
    shown = screen(written)
    for item in range(20):
        assert shown.count(f"LOG item {item} " + 30 * "x") == 1
        assert shown.count(f"print {item} " + 30 * "y") == 1
    assert re.match(r"sum: 100%\|.*\| 20/20 \[", shown[40])
    assert shown[41:] == [""]
    assert "0/20 [" in written


def test_print_in_pieces_by_several_threads() -> None:
    shown = screen(
        on_terminal("""
        together = threading.Barrier(3)

        def work(item):
            for round in range(50):
                print("begin", item, round, end="")
                together.wait(15)
                log.warning("item %d round %d", item, round)
                together.wait(15)
                print("", "end")

        do_threaded_work(range(3), work, 3, thread_info=False, progress=True)
        assert restored()
    """)
    )
    expected = [f"begin {item} {n} end" for item in range(3) for n in range(50)]
    expected += [f"LOG item {item} round {n}" for item in range(3) for n in range(50)]
    assert sorted(shown[:300]) == sorted(expected)


def test_half_a_line_comes_after_the_bar() -> None:
    shown = screen(
        on_terminal("""
        do_threaded_work([0], lambda item: print("no end", end=""), progress=True)
        print("|")
    """)
    )
    assert re.match(r"100%\|.*\| 1/1 \[", shown[0])
    assert shown[1:] == ["no end|", ""]


def test_everything_is_restored_after_an_error() -> None:
    written = on_terminal("""
        made = []
        def fail(item):
            made.append(logging.StreamHandler())  # takes the stream that stands in sys
            raise SystemExit
        try:
            do_threaded_work([0], fail, progress=True)
        except SystemExit:
            assert restored() and made[0].stream is were[1]
            print("restored")
    """)
    assert screen(written)[-2:] == ["restored", ""]


def test_what_the_program_set_meanwhile_is_left() -> None:
    written = on_terminal("""
        import io
        mine = io.StringIO()
        def work(item):
            handler.stream = sys.stdout = mine
        do_threaded_work([0], work, progress=True)
        assert handler.stream is sys.stdout is mine
        assert sys.stderr is were[1]
        sys.stdout = were[0]
        print("left")
    """)
    assert screen(written)[-2:] == ["left", ""]


def test_bars_nest() -> None:
    written = on_terminal("""
        def outer(item):
            def inner(item):
                log.warning("inner")
            do_threaded_work(range(3), inner, name="inner", thread_info=False, progress=True)
        do_threaded_work(range(2), outer, 2, name="outer", thread_info=False, progress=True)
        assert restored()
    """)
    assert len(re.findall(r"LOG inner *\r?\n", written)) == 6
    assert written.index("inner:   0%") < written.index("LOG inner")
    assert "inner: 100%" in written
    assert "outer: 100%" in written


def test_a_stdout_that_is_no_terminal_is_left_alone() -> None:
    written = on_terminal(
        """
        def work(item):
            assert sys.stdout is were[0] and sys.stderr is not were[1]
            print("to the pipe")
        do_threaded_work([0], work, progress=True)
    """,
        stdout=subprocess.PIPE,
    )
    assert "to the pipe" not in written
    assert "1/1" in written


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
@pytest.mark.parametrize("work", [do_threaded_work, iter_threaded_work])
def test_nothing_is_shown_without_a_terminal(
    work: Any, stderr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    seen = list(work([0], lambda item: sys.stderr, progress=True))
    assert seen == [stderr]
    assert stderr is None or stderr.getvalue() == ""


@pytest.mark.parametrize("work", [do_threaded_work, iter_threaded_work])
def test_without_tqdm_the_error_says_what_to_install(work: Any, mocker: MockerFixture) -> None:
    mocker.patch.dict(sys.modules, {"tqdm": None})
    items = iter([1])
    with pytest.raises(ImportError, match=r"pip install 'threadlog\[progress\]'") as caught:
        work(items, str, progress=True)
    assert caught.value.name == "tqdm"
    assert list(items) == [1]
    assert work([], str) is not None  # tqdm is wanted by no one else
