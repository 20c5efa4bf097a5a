"""rich's RichHandler shows who wrote each line, as a handler and as a sink behind a queue."""

import json
import os
import pty
import re
import subprocess

import pytest

from integration.pages import Page, environment, run

pytestmark = pytest.mark.timeout(180)

LINE = re.compile(
    r"(?:\[.*?\])? +INFO +\[pid (\d+) tid (\d+) adder_[01]\] added up (\d+) +(\w+\.py):(\d+)"
)
ANSI = re.compile(r"\x1b\[[\d;]*m|\x1b\]8;.*?\x1b\\")
COMMANDS = Page("rich").commands()


def place(page, command):
    """Return where the program logs: the file, and the line in it."""
    name = command.split()[-1]
    return name, page.files[name].splitlines().index('    log.info("added up %d", number)') + 1


def first_pid(output):
    return int(re.search(r"\[pid (\d+)", output)[1])


def what_is_wrong(output, pid, where):
    """Return what is wrong with the lines, of which the last says who logged which number."""
    *shown, last = [line.rstrip() for line in output.splitlines()]
    wanted = dict(enumerate(json.loads(last)))
    came = {}
    for line in shown:
        if "added up" not in line:
            continue
        match = LINE.fullmatch(line)
        if match is None:
            return f"not as shown: {line!r}"
        if (match[4], int(match[5])) != where or int(match[1]) != pid:
            return f"not its place or process: {line!r}"
        came.setdefault(int(match[3]), []).append(int(match[2]))
    if came != {number: [tid] for number, tid in wanted.items()}:
        return f"{came} is not {wanted}"
    return "" if list(wanted) == list(range(200)) else f"numbers: {list(wanted)}"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_line_says_who_wrote_it(page, tmp_path, command):
    output = run(command, tmp_path)
    assert what_is_wrong(output, first_pid(output), place(page, command)) == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_terminal(page, tmp_path, command):
    terminal, end = pty.openpty()
    with open(terminal, "rb", buffering=0) as shown:
        process = subprocess.Popen(
            f"exec {command.partition(' ')[2]}",
            shell=True,
            cwd=tmp_path,
            env=environment(TERM="xterm-256color", COLUMNS="110"),
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=end,
        )
        os.close(end)
        output = b""
        try:
            while part := shown.read(65536):
                output += part
        except OSError:  # EIO: the program has ended
            pass
        finally:
            process.kill()
        process.wait()
    text = output.decode()
    assert "\x1b[" in text
    assert what_is_wrong(ANSI.sub("", text), process.pid, place(page, command)) == ""


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_traceback_of_rich_behind_the_queue(page, tmp_path):
    output = run(COMMANDS[1], tmp_path)
    assert re.search(r"ERROR +\[pid (\d+) tid \1 MainThread\] failed ", output)
    assert "╭─" in output
    assert output.count("ZeroDivisionError: division by zero") == 1


def test_the_judge_sees_a_wrong_thread_and_a_doubled_line(page, tmp_path):
    where = place(page, COMMANDS[0])
    output = run(COMMANDS[0], tmp_path)
    lines, pid = output.splitlines(), first_pid(output)
    assert what_is_wrong(output, pid, where) == ""
    assert what_is_wrong(output, pid + 1, where)
    assert what_is_wrong(output, pid, (where[0], where[1] + 1))
    assert what_is_wrong("\n".join([lines[0], *lines]), pid, where)
    assert what_is_wrong("\n".join(lines[1:]), pid, where)
    tid = LINE.fullmatch(lines[0].rstrip())[2]
    wrong = lines[0].replace(f"tid {tid}", "tid 1")
    assert what_is_wrong("\n".join([wrong, *lines[1:]]), pid, where)


def test_limit_markup_takes_the_prefix_for_a_tag(page, tmp_path):
    change(tmp_path / "app.py", "RichHandler()", "RichHandler(markup=True)")
    output = run(COMMANDS[0], tmp_path)
    assert "added up 0" in output
    assert "pid" not in output
    change(tmp_path / "app.py", "thread_info()", 'thread_info(prefix="%(thread_info)s: ")')
    assert re.search(r"INFO +pid \d+ tid \d+ adder_0: added up 0 ", run(COMMANDS[0], tmp_path))
