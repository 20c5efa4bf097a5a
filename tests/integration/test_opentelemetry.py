"""OpenTelemetry's log records have the thread and the process that logged as attributes."""

import json

import pytest

from integration.pages import Page, run
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)

COMMANDS = Page("opentelemetry").commands()
NO_TRACE = f"0x{0:032x}"


def records(folder):
    return [json.loads(line) for line in lines(folder / "otel.jsonl")]


def what_is_wrong(came, done):
    """Return what is wrong with the records that *came*; *done*: who logged each."""
    wanted = sorted([f"added up {number}", pid, ident, name] for number, pid, ident, name in done)
    if len(wanted) != 200:
        return f"numbers: {wanted}"
    shown = sorted(
        [record["body"], *(record["attributes"].get(name) for name in ATTRIBUTES)]
        for record in came
    )
    return "" if shown == wanted else f"{shown} is not {wanted}"


ATTRIBUTES = ("process.pid", "thread.id", "thread.name")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_record_says_who_logged(page, tmp_path, command):
    printed = json.loads(run(f"{command} 2> errors", tmp_path))
    came = records(tmp_path)
    assert what_is_wrong(came, printed["done"]) == ""
    traces = {record["body"]: record["trace_id"] for record in came}
    is_queued = "queue" in command
    assert printed["trace"] != NO_TRACE
    assert traces["added up 0"] == (NO_TRACE if is_queued else printed["trace"])
    assert {trace for body, trace in traces.items() if body != "added up 0"} == {NO_TRACE}
    errors = (tmp_path / "errors").read_text()
    assert errors.count("[pid ") == errors.count("\n") == (200 if "toggle" in command else 0)
    if is_queued or "toggle" in command:
        for record in came:
            pid = record["attributes"]["process.pid"]
            tid, name = record["attributes"]["native_id"], record["attributes"]["thread.name"]
            assert record["attributes"]["thread_info"] == f"pid {pid} tid {tid} {name}"


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


SABOTAGE = {
    "app.py": [
        ("with threadlog.logging_from_children(), \\\n            ", "with "),
        ("return [number, os.getpid()", "return [number, os.getppid()"),
    ],
    "otel.py": [
        ("record.thread\n", "__import__('threading').get_native_id()\n"),
        ("record.threadName", "'MainThread'"),
        ("record.process", "__import__('os').getpid()"),
        ("def format", "def not_format"),
    ],
}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(name, *pair) for name, pairs in SABOTAGE.items() for pair in pairs],
)
def test_the_judge_sees_sabotage(page, tmp_path, name, old, new):
    change(tmp_path / name, old, new)
    printed = json.loads(run("python app.py toggle 2> errors", tmp_path))
    assert what_is_wrong(records(tmp_path), printed["done"])


INSTRUMENT = """
    from opentelemetry.instrumentation.logging import LoggingInstrumentor
    LoggingInstrumentor().instrument(
        inject_trace_context=True, enable_log_auto_instrumentation=False
    )
"""


def test_the_trace_behind_a_queue(page, tmp_path):
    change(tmp_path / "app.py", "    handler = Handler(", f"{INSTRUMENT}    handler = Handler(")
    printed = json.loads(run("python app.py queue", tmp_path))
    came = records(tmp_path)
    assert what_is_wrong(came, printed["done"]) == ""
    (first,) = [record for record in came if record["body"] == "added up 0"]
    assert first["trace_id"] == NO_TRACE
    assert f"0x{first['attributes']['otelTraceID']}" == printed["trace"]


INSTRUMENT_ALL = """
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.instrumentation.logging import LoggingInstrumentor
    from otel import SemanticConventions
    set_logger_provider(provider)
    LoggingInstrumentor().instrument()
    for handler in logging.getLogger().handlers:
        handler.addFilter(SemanticConventions())
    logging.getLogger().setLevel(logging.INFO)
"""


def test_the_handler_of_the_instrumentation(page, tmp_path):
    change(tmp_path / "app.py", "    handler = Handler(logger_provider=provider)\n", INSTRUMENT_ALL)
    change(
        tmp_path / "app.py", "    logging.basicConfig(level=logging.INFO, handlers=[handler])\n", ""
    )
    printed = json.loads(run("python app.py", tmp_path))
    assert what_is_wrong(records(tmp_path), printed["done"]) == ""
