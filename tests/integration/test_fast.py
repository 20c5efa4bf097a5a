"""Programs with libraries that look into records, with fast logging from the first line on."""

import json

import pytest

from integration import test_opentelemetry, test_python_json_logger, test_sentry, test_structlog
from integration.pages import Page, run

pytestmark = pytest.mark.timeout(180)

# Python runs it at its start, in children that are spawned, too.
START = "import threadlog\nthreadlog.start_fast_logging()\n"
CHECK = """
import atexit, logging, pathlib, threadlog.fast
def note():
    pathlib.Path({path!r}).open("a").write(f"{{logging.Logger._log is threadlog.fast._log}}\\n")
atexit.register(note)
"""


@pytest.fixture
def fast(tmp_path, monkeypatch):
    """Have every Python program log fast. Returns whether they did."""
    folder, seen = tmp_path / "site", tmp_path / "seen"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(START + CHECK.format(path=str(seen)))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return lambda: set(seen.read_text().split()) == {"True"}


def write(name, folder):
    Page(name).write_files(folder)


@pytest.mark.parametrize("command", test_sentry.COMMANDS)
def test_sentry_groups_as_ever(tmp_path, fast, command):
    write("sentry", tmp_path)
    events, done = test_sentry.run_program(command, tmp_path)
    assert len(done) == 20
    assert test_sentry.what_is_wrong(events, done, command.split()[2]) == ""
    assert fast()


@pytest.mark.parametrize("command", test_opentelemetry.COMMANDS)
def test_opentelemetry_sees_who_logged(tmp_path, fast, command):
    write("opentelemetry", tmp_path)
    printed = json.loads(run(f"{command} 2> errors", tmp_path))
    came = test_opentelemetry.records(tmp_path)
    assert test_opentelemetry.what_is_wrong(came, printed["done"]) == ""
    assert fast()


def test_python_json_logger_finds_all_fields(tmp_path, fast):
    write("python-json-logger", tmp_path)
    printed = test_python_json_logger.program_says(run("python app.py", tmp_path))
    records = test_python_json_logger.objects(tmp_path)
    assert len(records) == 202
    assert test_python_json_logger.what_is_wrong(records, printed["done"]) == ""
    assert fast()


@pytest.mark.parametrize("command", test_structlog.COMMANDS)
def test_structlog_finds_all_fields(tmp_path, fast, command):
    write("structlog", tmp_path)
    printed = test_structlog.program_says(run(command, tmp_path))
    assert test_structlog.what_is_wrong(test_structlog.events(tmp_path), printed["done"]) == ""
    assert fast()
