"""sentry-sdk: the grouping of events is the same with the toggle, and they say who logged."""

import json

import pytest

from integration.pages import Page, run
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)

COMMANDS = Page("sentry").commands()
GROUPING = ("level", "logger", "logentry", "fingerprint")


def run_program(command, folder):
    done = json.loads(run(f"{command} 2> errors", folder))
    return [json.loads(line) for line in lines(folder / "events.jsonl")], done


def exceptions(event):
    """Return what Sentry groups exceptions by: type, value and the functions of the stack."""
    return [
        [value["type"], value["value"], [f["function"] for f in value["stacktrace"]["frames"]]]
        for value in event.get("exception", {}).get("values", [])
    ]


def grouping(event):
    return [exceptions(event), *(event.get(name) for name in GROUPING)]


def wanted(number, text, raised):
    entry = {"message": f"{text}%d", "formatted": f"{text}{number}", "params": [number]}
    return [raised, "error", "adder", entry, None]


def what_is_wrong(events, done, method):
    """Return what is wrong with the *events*; *done*: number, pid and tid of who logged."""
    parent = done[0][1]
    came = {}
    for event in events:
        came.setdefault(event["logentry"]["formatted"], []).append(event)
    if len(came) != 2 * len(done) or len(events) != len(came):
        return f"{len(events)} events, {len(came)} different ones"
    raised = [["ZeroDivisionError", "division by zero", ["fail"]]]
    for number, pid, tid in done:
        has_exception = pid == parent or method == "fork"
        for text, exception in (
            ("no such item: ", []),
            ("failed with ", raised if has_exception else []),
        ):
            if f"{text}{number}" not in came:
                return f"{number}: missing"
            (event,) = came[f"{text}{number}"]
            if grouping(event) != wanted(number, text, exception):
                return f"{number}: {grouping(event)} is not {wanted(number, text, exception)}"
            info = event["extra"].get("thread_info")
            if info is not None and not info.startswith(f"pid {pid} tid {tid} "):
                return f"{number}: {info!r} is not {pid}, {tid}"
            if event["sent_by"] != (pid if method == "fork" else parent):
                return f"{number}: sent by {event['sent_by']}"
            crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
            if f"begin {number}" not in crumbs or any("[pid" in crumb for crumb in crumbs):
                return f"{number}: breadcrumbs {crumbs}"
    return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_grouping_and_who_logged(page, tmp_path, command):
    _, _, method, *toggle = command.split()
    events, done = run_program(command, tmp_path)
    assert len(done) == 20
    assert what_is_wrong(events, done, method) == ""
    errors = (tmp_path / "errors").read_text()
    assert errors.count("[pid ") == (60 if toggle else 0)  # it is shown elsewhere
    is_shown = ["thread_info" in event["extra"] for event in events]
    assert is_shown.count(True) == (40 if toggle else 20)  # a child's are stamped


def test_the_toggle_changes_no_group(page, tmp_path):
    groups = []
    for command in COMMANDS[:2]:
        events, _ = run_program(command, tmp_path)
        (tmp_path / "events.jsonl").unlink()
        groups.append(sorted(json.dumps(grouping(event)) for event in events))
    assert groups[0] == groups[1]


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


SABOTAGE = [
    ('"no such item: %d", number', 'f"no such item: {number}"'),  # no template
    ("    threadlog.start_logging_from_children()\n", ""),
    ("return [number, os.getpid()", "return [number, os.getppid()"),
    ('"no such item: %d"', '"[pid 1] no such item: %d"'),
]


@pytest.mark.parametrize(("old", "new"), SABOTAGE)
def test_the_judge_sees_sabotage(page, tmp_path, old, new):
    change(tmp_path / "app.py", old, new)
    assert what_is_wrong(*run_program(COMMANDS[1], tmp_path), "spawn")


def test_a_forked_child_is_sent_twice_without_before_send(page, tmp_path):
    change(tmp_path / "app.py", 'each_from_its_own_process if method == "fork" else None', "None")
    events, done = run_program("python app.py fork", tmp_path)
    assert what_is_wrong(events, done, "fork") == "60 events, 40 different ones"


def test_behind_a_queue(page, tmp_path):
    change(
        tmp_path / "app.py",
        'format="%(message)s")',
        'format="%(message)s", handlers=[threadlog_queue()])',
    )
    change(
        tmp_path / "app.py",
        "def fail(",
        "def threadlog_queue():\n"
        "    from threadlog.handlers import QueueHandler\n"
        "    return QueueHandler(handlers=[logging.StreamHandler()])\n\n"
        "def fail(",
    )
    events, done = run_program(COMMANDS[1], tmp_path)
    assert what_is_wrong(events, done, "spawn") == ""


INIT = """
def init():
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=ToFile,
        before_send=each_from_its_own_process,
    )

def main("""


def test_children_with_sentry_of_their_own(page, tmp_path):
    path = tmp_path / "app.py"
    change(
        path, 'each_from_its_own_process if method == "fork" else None', "each_from_its_own_process"
    )
    change(path, "\ndef main(", INIT)
    change(path, "get_context(method))", "get_context(method), init)")
    events, done = run_program(COMMANDS[0], tmp_path)
    assert what_is_wrong(events, done, "fork") == ""  # as with fork, each child sends its own
