"""structlog over the standard library's loggers, with who wrote it as keys of each event."""

import json
import re

import pytest

from integration.pages import Page, run
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)

COMMANDS = Page("structlog").commands()
FILE, QUEUE = COMMANDS


def program_says(output):
    assert output.startswith("{"), output  # nothing else, on stderr
    return json.loads(output)


def events(folder):
    return [json.loads(line) for line in lines(folder / "app.jsonl")]


def what_is_wrong(came, done):
    """Return what is wrong with the events that *came*; *done*: number, pid and tid of each."""
    wanted = [
        {
            "event": f"added up {number}",
            "level": "info",
            "process": pid,
            "native_id": tid,
            "work_item": None,
            "log_context": {"request": f"r-{number}"},
            "number": number,
            "tags": ["a", "ä"],
        }
        for number, pid, tid in done
    ]
    came = sorted((event for event in came if "number" in event), key=lambda event: event["number"])
    for event in came:
        thread, info = event.pop("threadName"), event.pop("thread_info")
        event.pop("taskName", None)  # Python 3.11 does not know it
        who = (
            f"pid {event['process']} tid {event['native_id']} {thread} request=r-{event['number']}"
        )
        if info != who or type(event.pop("thread_number")) is not int:
            return f"{info!r} is not {who!r}"
        if (thread in ("adder_0", "adder_1")) is not (event["number"] < 100):
            return f"not its thread: {event}"
    return "" if came == wanted else f"{came} is not {wanted}"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_event_says_who_wrote_it(page, tmp_path, command):
    printed = program_says(run(command, tmp_path))
    came = events(tmp_path)
    assert len(came) == 202
    assert len(list(tmp_path.glob("app.jsonl.*"))) >= 1
    failed = [event for event in came if event["event"] == "failed"]
    assert [[event["process"], event["native_id"]] for event in failed] == printed["failed"]
    for event in failed:
        assert event["exception"].startswith("Traceback (most recent call last):\n")
        assert event["exception"].endswith("ZeroDivisionError: division by zero")
    assert what_is_wrong(came, printed["done"]) == ""


def test_the_judge_sees_what_is_lost_doubled_or_anothers(page, tmp_path):
    done = program_says(run(FILE, tmp_path))["done"]
    came = events(tmp_path)

    def wrong(change):
        changed = [dict(event) for event in came]
        change(changed)
        return what_is_wrong(changed, done)

    assert wrong(lambda changed: None) == ""
    assert wrong(lambda changed: changed.pop(0))
    assert wrong(lambda changed: changed.append(dict(changed[0])))
    for name in ("process", "native_id", "threadName", "thread_info", "log_context", "tags"):
        assert wrong(lambda changed, name=name: changed[0].update({name: -1}))


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def without_children(folder):
    change(folder / "app.py", "    with ProcessPoolExecutor(2", "    with ThreadPoolExecutor(2")
    change(folder / "app.py", ", multiprocessing.get_context", "")
    change(folder / "app.py", '("spawn")', "")


def with_wrapped_events(folder):
    change(
        folder / "log_setup.py",
        "            structlog.stdlib.render_to_log_kwargs,",
        "            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,",
    )


@pytest.mark.parametrize("command", [FILE, QUEUE])
def test_wrapped_events_have_the_named_fields(page, tmp_path, command):
    with_wrapped_events(tmp_path)
    done = program_says(run(command, tmp_path))["done"]
    came = {
        event["number"]: (event["process"], event["native_id"], event["log_context"]["request"])
        for event in events(tmp_path)
        if "number" in event
    }
    assert came == {number: (pid, tid, f"r-{number}") for number, pid, tid in done}


def test_the_toggle(page, tmp_path):
    """As a member of JSON, as a prefix of the console's lines, and not where it is there."""
    with_wrapped_events(tmp_path)
    without_children(tmp_path)
    start = "threadlog.start_logging_from_children()"
    change(tmp_path / "app.py", start, f"threadlog.start_logging_with_thread_info()\n    {start}")
    run(FILE, tmp_path)
    for event in events(tmp_path):
        who = f"pid {event['process']} tid {event['native_id']} {event['threadName']}"
        assert event["thread_info"].startswith(who)

    for path in tmp_path.glob("app.jsonl*"):
        path.unlink()
    change(
        tmp_path / "log_setup.py", "processors.JSONRenderer()", "dev.ConsoleRenderer(colors=False)"
    )
    change(tmp_path / "log_setup.py", "            structlog.processors.format_exc_info,\n", "")
    done = program_says(run(FILE, tmp_path))["done"]
    shown = re.findall(
        r"^\[pid (\d+) tid (\d+) \S+ request=r-(\d+)\] \[info +\] added up \3 ",
        "\n".join(lines(tmp_path / "app.jsonl")),
        re.MULTILINE,
    )
    assert sorted((int(n), int(pid), int(tid)) for pid, tid, n in shown) == sorted(map(tuple, done))
