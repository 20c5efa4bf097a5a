"""Configs in files: TOML, JSON, YAML, and the standard library's ini files."""

import json
import logging
import logging.config
import logging.handlers
import sys
import textwrap

import pytest

from configs import set_up, state
from threadlog.config import ConfigError, dictConfig, fileConfig, load

__all__ = ["set_up"]  # a fixture

WANTED = {
    "version": 1,
    "formatters": {"brief": {"format": "%(levelname)s %(message)s ü"}},
    "handlers": {
        "file": {
            "class": "threadlog.handlers.FileHandler",
            "filename": "app.log",
            "permissions": "0640",
            "formatter": "brief",
        }
    },
    "root": {"level": "INFO", "handlers": ["file"]},
}
TOML = """
version = 1
[formatters.brief]
format = "%(levelname)s %(message)s ü"
[handlers.file]
class = "threadlog.handlers.FileHandler"
filename = "app.log"
permissions = "0640"
formatter = "brief"
[root]
level = "INFO"
handlers = ["file"]
"""
YAML = """
version: 1
formatters:
  brief: {format: "%(levelname)s %(message)s ü"}
handlers:
  file: &file
    class: threadlog.handlers.FileHandler
    filename: app.log
    permissions: "0640"
    formatter: brief
root:
  level: INFO
  handlers: [file]
"""
FORMS = {"toml": TOML, "json": json.dumps(WANTED), "yaml": YAML, "yml": YAML}


def test_a_mark_at_the_beginning_is_no_text(tmp_path):
    (tmp_path / "a.toml").write_text(TOML, "utf-8-sig")
    assert load(tmp_path / "a.toml") == WANTED


@pytest.mark.parametrize("ending", FORMS)
def test_load(set_up, tmp_path, monkeypatch, ending):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"logging.{ending}"
    path.write_text(FORMS[ending], "utf-8")
    assert load(path) == load(str(path)) == WANTED
    dictConfig(load(path))
    logging.warning("hello")
    assert (tmp_path / "app.log").read_text("utf-8") == "WARNING hello ü\n"


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.toml", "x = = 3", "a.toml: Invalid value (at line 1, column 5)"),
        ("a.json", '{"x": 3,}', "a.json: "),
        ("a.json", '{"x": 3, "x": 4}', "a.json: has the key 'x' twice in one dict"),
        ("a.json", "[1]", "a.json: must hold a dict, not a list"),
        ("a.yaml", "a: [", "a.yaml: expected the node content, but found '<stream end>'"
                           " (at line 1, column 5)"),
        ("a.yaml", "a: {b: 1, b: 2}", "a.yaml: has the key 'b' twice in one dict (at line 1, column"
                                      " 4)"),
        ("a.json", "[" * 100_000, "a.json: "),
        ("b.ini", "[handlers]\nkeys=a\n[handler_a]\nclass=%(here)s", "b.ini: Bad value"),
        ("a.yaml", "a: &a [*a]", "version: write 1"),
        ("a.yml", "!!python/object/apply:os.getcwd []", "a.yml: could not determine a constructor"),
        ("a.yaml", "", "a.yaml: is empty"),
        ("a.ini", "nothing", "a.ini: File contains no section headers."),
        ("a.txt", "", "a.txt: the ending of its name must be one of .toml, .json, .yaml, .yml,"
                      " .ini, .cfg, .conf"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_config(tmp_path, monkeypatch, name, text, wanted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as raised:
        dictConfig(load(name))
    assert str(raised.value).startswith(wanted)


def test_yaml_takes_the_same_part_twice(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert load(path) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_without_the_extra_it_says_what_to_install(tmp_path, mocker):
    (tmp_path / "a.yaml").write_text("version: 1")
    mocker.patch.dict(sys.modules, yaml=None)
    with pytest.raises(ConfigError, match=r"pip install 'threadlog\[yaml\]'"):
        load(tmp_path / "a.yaml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "no.toml")
    with pytest.raises(FileNotFoundError):
        fileConfig(tmp_path / "no.ini")


# ini files

INI = """
[loggers]
keys=root,app

[handlers]
keys=file, memory,console

[formatters]
keys=brief,own

[logger_root]
level=INFO
handlers=file

[logger_app]
level=DEBUG
qualname=tc.app
propagate=0
handlers=memory

[handler_file]
class=threadlog.handlers.RotatingFileHandler
level=WARNING
formatter=brief
args=('%(here)s/app.log', 'a', 10*1024)
kwargs={'backupCount': 3, 'permissions': '0640'}

[handler_memory]
class=handlers.MemoryHandler
args=(10, ERROR)
target=console

[handler_console]
class=StreamHandler
args=(sys.stdout,)
formatter=own

[formatter_brief]
format=%(levelname)s %(message)s %(who)s
defaults={'who': 'nobody'}

[formatter_own]
class=threadlog.ThreadInfoFormatter
format={message}
style={
datefmt=%H:%M
"""


def described():
    _, handlers, _ = state()
    app, root = logging.getLogger("tc.app"), logging.root
    file, memory = handlers["file"], handlers["memory"]
    return [
        [type(file), file.baseFilename, file.maxBytes, file.backupCount, file.level],
        [type(memory), memory.capacity, memory.flushLevel, memory.target is handlers["console"]],
        [handlers["console"].stream, type(handlers["console"].formatter)],
        [file.formatter._fmt, handlers["console"].formatter.datefmt],
        [app.level, app.propagate, app.handlers == [memory], root.level, root.handlers == [file]],
    ]


def ini(tmp_path, text=INI):
    path = tmp_path / "logging.ini"
    path.write_text(textwrap.dedent(text))
    return path


@pytest.mark.parametrize("how", ["path", "stream", "load", "standard"])
def test_ini(set_up, tmp_path, how):
    path = ini(tmp_path, INI.replace("%(here)s", str(tmp_path)))
    if how == "path":
        fileConfig(path, disable_existing_loggers=False)
    elif how == "stream":
        with open(path) as stream:
            fileConfig(stream, disable_existing_loggers=False)
    elif how == "load":
        dictConfig(load(path) | {"disable_existing_loggers": False})
    elif sys.version_info >= (3, 12):
        logging.config.fileConfig(path, disable_existing_loggers=False)
    else:  # it came with Python 3.12
        path = ini(tmp_path, path.read_text().replace("defaults=", "no="))
        logging.config.fileConfig(path, disable_existing_loggers=False)
    import threadlog

    assert described() == [
        [
            threadlog.handlers.RotatingFileHandler,
            str(tmp_path / "app.log"),
            10240,
            3,
            logging.WARNING,
        ],
        [logging.handlers.MemoryHandler, 10, logging.ERROR, True],
        [sys.stdout, threadlog.ThreadInfoFormatter],
        ["%(levelname)s %(message)s %(who)s", "%H:%M"],
        [logging.DEBUG, False, True, logging.INFO, True],
    ]
    logging.getLogger("tc.app").handlers = []  # the memory of one that sys.stdout outlives


def test_ini_defaults_and_disabling(set_up, tmp_path):
    old = logging.getLogger("tc.old")
    fileConfig(ini(tmp_path), {"here": str(tmp_path)})
    assert old.disabled
    assert (tmp_path / "app.log").exists()
    logging.getLogger("tc.app").handlers = []


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ("keys=root,app", "keys=app", "loggers.keys: must name root, too"),
        (
            "[handler_console]",
            "[handler_consol]",
            "handlers.keys: there is no section [handler_console]; did you mean [handler_consol]?",
        ),
        ("[formatters]", "[formaters]", "formatters: needs the key keys, a list of names;"
                                        " did you mean [formaters]?"),
        ("class=StreamHandler", "klass=StreamHandler", "handler_console.class: is missing"),
        ("args=(10, ERROR)", "args=(10, os.getpid())", "handler_memory.args: os.getpid() is no"
         " plain value: nothing in a file is called or evaluated"),
        ("args=(10, ERROR)", "args=(10, __builtins__)", "handler_memory.args: __builtins__ is no"
         " plain value: nothing in a file is called or evaluated"),
        ("args=(10, ERROR)", "args=(10, ERROR, 1, 2, 3, 4)", "handler_memory.args: too many"
         " positional arguments"),
        ("args=(10, ERROR)", "args=10", "handler_memory.args: must be a tuple such as (10,),"
         " not 10"),
        ("kwargs={", "kwargs=[1] #{", "handler_file.kwargs: must be a dict such as {'mode': 'a'},"
         " not [1]"),
        ("target=", "tagret=", "handler_memory.tagret: did you mean target?"),
        ("qualname=", "qualnam=", "logger_app.qualnam: did you mean qualname?"),
        ("args=(10, ERROR)", "args=(10", "handler_memory.args: '(' was never closed"),
        ("propagate=0", "propagate=no", "logger_app.propagate: must be 0 or 1, not 'no'"),
        ("level=DEBUG", "level=DEBG", "loggers.tc.app.level: there is no level 'DEBG'; did you mean"
         " 'DEBUG'?"),
        ("formatter=own", "formatter=owm", "handlers.console.formatter: there is no formatter"
         " 'owm'; did you mean 'own'?"),
        ("'backupCount'", "'backupCont'", "handlers.file.backupCont: did you mean backupCount?"),
        ("Rotating", "Rotting", "handler_file.class: there is no"
         " 'threadlog.handlers.RottingFileHandler'; did you mean"
         " 'threadlog.handlers.RotatingFileHandler'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_ini_file(set_up, tmp_path, before, after, wanted):
    was = state()
    path = ini(tmp_path, INI.replace("%(here)s", str(tmp_path)).replace(before, after, 1))
    with pytest.raises(ConfigError) as raised:
        fileConfig(path)
    lines = str(raised.value).replace(" (<unknown>, line 1)", "")
    assert wanted in lines
    assert state() == was
    assert not (tmp_path / "app.log").exists()
