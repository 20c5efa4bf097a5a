"""python-json-logger on a file handler: a line is an object, with who wrote it in its fields."""

import json

import pytest

from integration.pages import run
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)


def program_says(output):
    assert output.startswith("{"), output  # nothing else, on stderr
    return json.loads(output)


def objects(folder):
    return [json.loads(line) for line in lines(folder / "app.jsonl")]


def what_is_wrong(records, done):
    """Return what is wrong with the *records*; *done*: number, pid and tid of each."""
    wanted = [
        {
            "message": f"added up\n{number}",
            "levelname": "INFO",
            "name": "adder",
            "pid": pid,
            "tid": tid,
            "log_context": {"request": f"r-{number}"},
            "number": number,
            "tags": ["a", "ä"],
        }
        for number, pid, tid in done
    ]
    came = sorted(
        (record for record in records if "number" in record), key=lambda record: record["number"]
    )
    for record in came:
        thread, time = record.pop("thread"), record.pop("asctime")
        if thread not in ("adder_0", "adder_1", "MainThread") or len(time) != 23:
            return f"thread or time of {record}"
    return "" if came == wanted else f"{came} is not {wanted}"


@pytest.fixture
def records_and_done(page, tmp_path):
    printed = program_says(run("python app.py", tmp_path))
    return objects(tmp_path), printed


def test_each_line_is_an_object_with_who_wrote_it(tmp_path, records_and_done):
    records, printed = records_and_done
    assert len(records) == 202
    assert what_is_wrong(records, printed["done"]) == ""
    assert len(list(tmp_path.glob("app.jsonl.*"))) >= 1


def test_tracebacks_of_the_parent_and_of_a_child(records_and_done):
    records, printed = records_and_done
    failed = [record for record in records if record["message"] == "failed"]
    assert [[record["pid"], record["tid"]] for record in failed] == printed["failed"]
    for record in failed:
        assert record["exc_info"].startswith("Traceback (most recent call last):\n")
        assert record["exc_info"].endswith("ZeroDivisionError: division by zero")
        assert record["exc_info"].count("Traceback") == 1


def test_the_judge_sees_what_is_lost_doubled_or_anothers(records_and_done):
    records, printed = records_and_done

    def wrong(change):
        changed = [dict(record) for record in records]
        change(changed)
        return what_is_wrong(changed, printed["done"])

    assert wrong(lambda changed: None) == ""
    assert wrong(lambda changed: changed.pop(0))
    assert wrong(lambda changed: changed.append(dict(changed[0])))
    for name in ("pid", "tid", "thread", "log_context", "number", "tags"):
        assert wrong(lambda changed, name=name: changed[0].update({name: -1}))


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_the_judge_sees_what_children_lose_without_it(page, tmp_path):
    change(tmp_path / "app.py", "    threadlog.start_logging_from_children()\n", "")
    printed = program_says(run("python app.py 2> errors", tmp_path))
    assert what_is_wrong(objects(tmp_path), printed["done"])


def test_the_toggle_adds_a_member(page, tmp_path):
    start = "threadlog.start_logging_from_children()"
    change(tmp_path / "app.py", start, f"threadlog.start_logging_with_thread_info()\n    {start}")
    printed = program_says(run("python app.py", tmp_path))
    records = objects(tmp_path)
    for record in records:
        info = record.pop("thread_info")
        assert info.startswith(f"pid {record['pid']} tid {record['tid']} {record['thread']}")
    assert what_is_wrong(records, printed["done"]) == ""
