"""What is wrong in a config: each thing with its path, all in one error, and nothing changed."""

import logging
import logging.handlers
import os
import pickle

import pytest

import threadlog
from configs import problems_of, set_up
from threadlog.config import ConfigError, check, dictConfig

__all__ = ["set_up"]  # a fixture

HERE = __name__


def config(**sections):
    return {"version": 1, "disable_existing_loggers": False, **sections}


def handlers(**entries):
    return config(handlers=entries, root={"handlers": list(entries)})


def console(**more):
    return {"class": "logging.StreamHandler", **more}


def file(name, cls="threadlog.handlers.FileHandler", **more):
    return {"class": cls, "filename": name, **more}


ROTATING = "threadlog.handlers.RotatingFileHandler"


def make(**arguments):
    return logging.NullHandler()


class Strict(logging.Handler):
    def __init__(self, host, *, port=1):
        super().__init__()


NAMES = config(formatters={"brief": {}}, filters={"only": {}}, handlers={"console": console()})

ONE_AT_A_TIME = {
    # what stands at the top
    "no dict": ([], ["a logging config must be a dict, not []"]),
    "no version": ({}, ["version: write 1, the version of logging's schema"]),
    "version": ({"version": "1"}, ["version: write 1, the version of logging's schema, not '1'"]),
    "section": (config(handler={}), ["handler: did you mean handlers?"]),
    "far from all": (
        config(zzz={}),
        [
            "zzz: there is no such key; the keys here are formatters, filters, handlers, version,"
            " loggers, root, incremental, disable_existing_loggers, threadlog"
        ],
    ),
    "section's type": (config(loggers=[]), ["loggers: must be a dict, not []"]),
    "entry's type": (config(handlers={"a": "b"}), ["handlers.a: must be a dict, not 'b'"]),
    "name's type": (config(handlers={1: {}}), ["handlers: a name here must be text, not 1"]),
    "flag": (config(incremental="no"), ["incremental: must be true or false, not 'no'"]),
    # keys of entries
    "argument": (
        handlers(file=file("a.log", ROTATING, maxByte=1)),
        ["handlers.file.maxByte: did you mean maxBytes?"],
    ),
    "argument in other case": (
        handlers(file=file("a.log", ROTATING, backup_count=1)),
        ["handlers.file.backup_count: did you mean backupCount?"],
    ),
    "key of a handler": (
        handlers(a=console(formater="brief")),
        ["handlers.a.formater: did you mean formatter?"],
    ),
    "far from all arguments": (
        handlers(a=console(colour=True)),
        ["handlers.a.colour: StreamHandler has no such argument; it takes stream"],
    ),
    "needed": (
        handlers(a={"class": f"{HERE}.Strict", "prot": 2}),
        ["handlers.a.prot: did you mean port?", "handlers.a: Strict needs host"],
    ),
    "key of a formatter": (
        config(formatters={"a": {"fmt": "%(message)s"}}),
        ["formatters.a.fmt: did you mean format?"],
    ),
    "key of a filter": (config(filters={"a": {"nam": "x"}}), ["filters.a.nam: did you mean name?"]),
    "key of a logger": (
        config(loggers={"a": {"propogate": False}}),
        ["loggers.a.propogate: did you mean propagate?"],
    ),
    "key of the root": (config(root={"handler": []}), ["root.handler: did you mean handlers?"]),
    "own key": (
        config(threadlog={"thread-info": True}),
        ["threadlog.thread-info: did you mean thread_info?"],
    ),
    "thread info": (
        config(threadlog={"thread_info": 1}),
        ["threadlog.thread_info: must be true, false or a prefix, not 1"],
    ),
    "own key's key": (
        config(threadlog={"thread_info": {"prefx": ""}}),
        ["threadlog.thread_info.prefx: did you mean prefix?"],
    ),
    # references
    "handler of a logger": (
        {**NAMES, "loggers": {"a": {"handlers": ["consle"]}}},
        ["loggers.a.handlers[0]: there is no handler 'consle'; did you mean 'console'?"],
    ),
    "handler, and there is none": (
        config(root={"handlers": ["console"]}),
        ["root.handlers[0]: there is no handler 'console'; no handler is defined"],
    ),
    "formatter": (
        {**NAMES, "handlers": {"a": console(formatter="brif")}},
        ["handlers.a.formatter: there is no formatter 'brif'; did you mean 'brief'?"],
    ),
    "filter": (
        {**NAMES, "handlers": {"a": console(filters=["zzz"])}},
        ["handlers.a.filters[0]: there is no filter 'zzz'; there are 'only'"],
    ),
    "sink": (
        handlers(
            q={"class": "threadlog.handlers.QueueHandler", "handlers": ["consol"]},
            console=console(),
        ),
        ["handlers.q.handlers[0]: there is no handler 'consol'; did you mean 'console'?"],
    ),
    "sink in place": (
        handlers(
            q={
                "class": "threadlog.handlers.QueueHandler",
                "handlers": [console(levl="INFO"), 3],
            }
        ),
        [
            "handlers.q.handlers[0].levl: did you mean level?",
            "handlers.q.handlers[1]: must be the name of a handler, not 3",
        ],
    ),
    "target": (
        handlers(m={"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "x"}),
        ["handlers.m.target: there is no handler 'x'; there are 'm'"],
    ),
    "cfg": (
        handlers(a=console(level="cfg://custom.lvl")) | {"custom": {"level": "INFO"}},
        ["handlers.a.level: custom has no 'lvl'; did you mean 'level'?"],
    ),
    "cfg in a circle": (
        handlers(a=console(stream="cfg://x.a")) | {"x": {"a": "cfg://x.b", "b": "cfg://x.a"}},
        ["handlers.a.stream: cfg://x.a leads to itself"],
    ),
    "cfg that is none": (
        handlers(a=console(stream="cfg://x..a")),
        ["handlers.a.stream: 'x..a' is no path such as handlers.mail.toaddrs[0]"],
    ),
    "records in a circle": (
        handlers(
            a={"class": "threadlog.handlers.QueueHandler", "handlers": ["b"]},
            b={"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "a"},
        )
        | {"root": {"handlers": ["a"]}},
        [
            "handlers.a: its records lead back to itself",
            "handlers.b: its records lead back to itself",
        ],
    ),
    # types
    "handlers of a logger": (
        {**NAMES, "root": {"handlers": "console"}},
        ["root.handlers: must be a list, not 'console'"],
    ),
    "filters of a handler": (
        handlers(a=console(filters="only")),
        ["handlers.a.filters: must be a list, not 'only'"],
    ),
    "level": (
        handlers(a=console(level="info")),
        ["handlers.a.level: there is no level 'info'; did you mean 'INFO'?"],
    ),
    "level's number as text": (
        config(root={"level": "20"}),
        ["root.level: there is no level '20'; write the number 20, without quotes"],
    ),
    "no letter after a field": (
        config(formatters={"a": {"format": "%(asctime) - %(name)s %(message)"}}),
        [
            "formatters.a.format: write %(asctime)s: a letter must follow",
            "formatters.a.format: write %(message)s: a letter must follow",
        ],
    ),
    "all arguments of one handler": (
        handlers(
            a=file("a.log", ROTATING, maxBytes="1", backupCount="3", permissions=7, mode="rw")
        ),
        [
            "handlers.a.mode: must be 'a', 'w' or 'x', not 'rw'",
            "handlers.a.permissions: 7 (0o7): write the octal number of a mode, at most 0o777, in"
            " which the owner may write; for example 0o640, or '0640' in a config file without"
            " octal numbers",
            "handlers.a.maxBytes: must be a whole number, not '1'",
            "handlers.a.backupCount: must be a whole number, not '3'",
        ],
    ),
    "a standard handler's": (
        handlers(
            a=file("a.log", "logging.handlers.RotatingFileHandler", maxBytes="1"),
            b=file("b.log", "logging.FileHandler", mode="rw"),
            c=file("c.log", "logging.handlers.TimedRotatingFileHandler", atTime="03:00"),
        ),
        [
            "handlers.a.maxBytes: must be a whole number, not '1'",
            "handlers.b.mode: must be 'a', 'w' or 'x', not 'rw'",
            "handlers.c.atTime: must be like datetime.time(3, 0), in TOML 03:00:00, not '03:00'",
        ],
    ),
    "level's type": (
        config(root={"level": 1.5}),
        [
            "root.level: there is no level 1.5; the levels are CRITICAL, FATAL, ERROR, WARN,"
            " WARNING, INFO, DEBUG, NOTSET, or a number"
        ],
    ),
    "propagate": (
        config(loggers={"a": {"propagate": "false"}}),
        ["loggers.a.propagate: must be true or false, not 'false'"],
    ),
    "format's type": (
        config(formatters={"a": {"format": 3}}),
        ["formatters.a.format: must be text, not 3"],
    ),
    "format": (
        config(formatters={"a": {"format": "{message}"}}),
        ["formatters.a.format: Invalid format '{message}' for '%' style"],
    ),
    "style": (
        config(formatters={"a": {"format": "{message}", "style": "|"}}),
        ["formatters.a.style: Style must be one of: %,{,$"],
    ),
    "stream": (
        handlers(a=console(stream="stdout")),
        ["handlers.a.stream: must be a stream such as 'ext://sys.stdout', not 'stdout'"],
    ),
    "size": (
        handlers(a=file("a.log", ROTATING, maxBytes="10MB")),
        ["handlers.a.maxBytes: must be a whole number, not '10MB'"],
    ),
    "capacity": (
        handlers(
            q={"class": "threadlog.handlers.QueueHandler", "handlers": [console()], "capacity": 0}
        ),
        ["handlers.q.capacity: must be a whole number above 0, not 0"],
    ),
    "overflow": (
        handlers(
            q={
                "class": "threadlog.handlers.QueueHandler",
                "handlers": [console()],
                "overflow": "drop",
            }
        ),
        [
            "handlers.q.overflow: must be one of 'block', 'drop_new', 'drop_old', 'direct',"
            " not 'drop'; did you mean 'drop_old'?"
        ],
    ),
    "queue": (
        handlers(q={"class": "logging.handlers.QueueHandler", "queue": 3}),
        ["handlers.q.queue: must be a queue, or the name of what makes one, not 3"],
    ),
    "listener": (
        handlers(q={"class": "logging.handlers.QueueHandler", "listener": "logging.Handler"}),
        ["handlers.q.listener: must be a QueueListener, not 'logging.Handler'"],
    ),
    "no sinks": (
        handlers(q={"class": "threadlog.handlers.QueueHandler"}),
        ["handlers.q: needs handlers, a list of those behind the queue"],
    ),
    "attributes": (handlers(a=console(**{".": 3})), ["handlers.a..: must be a dict, not 3"]),
    "prefix": (
        config(threadlog={"thread_info": {"prefix": "%(thread_inf)s"}}),
        [
            "threadlog.thread_info.prefix: prefix '%(thread_inf)s': no record has a field"
            " 'thread_inf'; did you mean 'thread_info'?"
        ],
    ),
    "switch": (
        config(threadlog={"children": "yes"}),
        ["threadlog.children: must be true or false, not 'yes'"],
    ),
    "twice the root": (
        config(root={"level": 10}, loggers={"": {}}),
        ["root: is the same logger as loggers."],
    ),
    "defaults": (
        config(formatters={"a": {"defaults": 1}}),
        ["formatters.a.defaults: must be a dict, not 1"],
    ),
    "mode": (
        handlers(a=file("a.log", mode=[]), b=file("a.log")),
        ["handlers.a.mode: must be 'a', 'w' or 'x', not []"],
    ),
    "no name of an argument": (
        handlers(a={"()": make, "a-b": 1}),
        ["handlers.a.a-b: make has no such argument"],
    ),
    # names
    "module": (
        handlers(a=console() | {"class": "loging.StreamHandler"}),
        ["handlers.a.class: there is no module 'loging'; did you mean 'logging.StreamHandler'?"],
    ),
    "submodule": (
        handlers(a=file("a.log", "threadlog.handler.FileHandler")),
        [
            "handlers.a.class: there is no 'threadlog.handler'; did you mean"
            " 'threadlog.handlers.FileHandler'?"
        ],
    ),
    "class": (
        handlers(a=file("a.log", "threadlog.handlers.FileHandlr")),
        [
            "handlers.a.class: there is no 'threadlog.handlers.FileHandlr'; did you mean"
            " 'threadlog.handlers.FileHandler'?"
        ],
    ),
    "attribute of a class": (
        handlers(a={"()": "logging.Handler.emt"}),
        ["handlers.a.(): logging.Handler has no 'emt'; did you mean 'emit'?"],
    ),
    "no module": (
        handlers(a=console() | {"class": "StreamHandler"}),
        [
            "handlers.a.class: there is no module 'StreamHandler'; did you mean"
            " 'logging.StreamHandler'?"
        ],
    ),
    "another module": (
        handlers(a=file("a.log", "logging.RotatingFileHandler")),
        [
            "handlers.a.class: there is no 'logging.RotatingFileHandler'; did you mean"
            " 'logging.handlers.RotatingFileHandler'?"
        ],
    ),
    "ext": (
        handlers(a=console(stream="ext://sys.stdot")),
        ["handlers.a.stream: there is no 'sys.stdot'; did you mean 'sys.stdout'?"],
    ),
    "no class": (
        handlers(a={"level": 10}),
        ["handlers.a: needs the key class, or (), with the name of what makes it"],
    ),
    "class and ()": (
        handlers(a=console() | {"()": make}),
        ["handlers.a.class: write either class or (), not both"],
    ),
    "no callable": (
        handlers(a={"class": "logging.INFO"}),
        ["handlers.a.class: must be the name of a class or function, not 'logging.INFO'"],
    ),
    "no handler": (
        handlers(a={"class": "logging.Formatter"}),
        ["handlers.a: Formatter is no handler: it has no method handle"],
    ),
    "no formatter": (
        config(formatters={"a": {"class": "logging.Filter"}}),
        ["formatters.a: Filter is no formatter: it has no method format"],
    ),
}


@pytest.mark.parametrize("case", ONE_AT_A_TIME)
def test_one_problem(set_up, case):
    given, wanted = ONE_AT_A_TIME[case]
    assert problems_of(given) == wanted


def test_the_real_cause_of_a_class_that_does_not_import(set_up, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_it.py").write_text("import not_installed\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit(0)\n")
    given = handlers(
        a={"class": "needs_it.Handler"},
        b={"class": "broken.Handler"},
        c={"class": "script.Handler"},
    )
    assert problems_of(given) == [
        "handlers.a.class: importing needs_it failed: ModuleNotFoundError: No module named"
        " 'not_installed'",
        "handlers.b.class: importing broken failed: ZeroDivisionError: division by zero",
        "handlers.c.class: importing script failed: SystemExit: 0",
    ]


def test_all_are_listed_in_one_error(set_up):
    given = config(
        formaters={},
        formatters={"brief": {"format": "%(mesage)s"}},
        filters={"only": {"()": "logging.Filtr"}},
        handlers={
            "file": file("a.log", ROTATING, maxByte=1, permissions="9"),
            "console": console(formatter="brief", filters=["onli"]),
        },
        loggers={"app": {"handlers": ["console", "fil"]}},
        root={"level": "INF", "handlers": ["console"]},
    )
    found = problems_of(given)
    paths = [problem.partition(":")[0] for problem in found]
    assert sorted(paths) == [
        "filters.only.()",
        "formaters",
        "formatters.brief.format",
        "handlers.console.filters[0]",
        "handlers.file.maxByte",
        "handlers.file.permissions",
        "loggers.app.handlers",
        "loggers.app.handlers[1]",
        "root.level",
    ]


def test_the_error_has_the_problems_as_data_and_pickles(set_up):
    with pytest.raises(ConfigError) as raised:
        check(config(zz={}, root={"level": "INF"}))
    again = pickle.loads(pickle.dumps(raised.value))
    assert isinstance(again, ValueError)
    assert again.problems == raised.value.problems
    assert [path for path, _ in again.problems] == ["root.level", "zz"]
    assert str(again) == str(raised.value)


def test_no_file_is_opened_for_a_check(set_up, tmp_path):
    kept = tmp_path / "kept.log"
    kept.write_text("kept")
    check(
        handlers(
            a=file(str(tmp_path / "a.log")),
            b=file(str(kept), "logging.FileHandler", mode="w"),
            c={"class": "threadlog.handlers.QueueHandler", "handlers": ["d"]},
            d=file(str(tmp_path / "d.log"), ROTATING),
        )
        | {"root": {"handlers": ["a", "b", "c"]}}
    )
    assert os.listdir(tmp_path) == ["kept.log"]
    assert kept.read_text() == "kept"


# Format fields


def shown_by(fmt, style="%", **more):
    return config(
        formatters={"f": {"format": fmt, "style": style}},
        handlers={"h": console(formatter="f")},
        root={"handlers": ["h"]},
        **more,
    )


NOBODY = "give the formatter defaults for it, or the handler a filter that sets it"


@pytest.mark.parametrize(
    ("fmt", "style", "wanted"),
    [
        ("%(request)s", "%", f"nothing supplies 'request' to handlers.h; {NOBODY}"),
        ("%(levelnam)-8s", "%", "nothing supplies 'levelnam' to handlers.h; did you mean"
                                " 'levelname'?"),
        ("{request!r:>10}", "{", f"nothing supplies 'request' to handlers.h; {NOBODY}"),
        ("{request.id} {args[0]}", "{", f"nothing supplies 'request' to handlers.h; {NOBODY}"),
        ("${request}", "$", f"nothing supplies 'request' to handlers.h; {NOBODY}"),
        ("%(thread_info)s", "%", "nothing supplies 'thread_info' to handlers.h;"
                                 " threadlog.ThreadInfoFilter does, in its filters"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_supplies(set_up, fmt, style, wanted):
    assert problems_of(shown_by(fmt, style)) == [f"formatters.f.format: {wanted}"]


class Sets(logging.Filter):
    def filter(self, record):
        record.request = 1
        return True


def with_filter(given, *path):
    place = given
    for key in path:
        place = place.setdefault(key, {})
    place["filters"] = ["who"]
    return given | {"filters": {"who": {"()": "threadlog.ThreadInfoFilter"}}}


def test_fields_that_somebody_supplies(set_up):
    wanted = "%(thread_info)s %(message)s %(asctime)s %(processName)s %(stack_info)s"
    check(shown_by(wanted.replace("%(thread_info)s", "100%%(no field)")))
    check(with_filter(shown_by(wanted), "handlers", "h"))
    check(with_filter(shown_by(wanted), "root"))
    check(with_filter(shown_by(wanted), "loggers", "app"))
    check(shown_by(wanted, threadlog={"thread_info": True}))
    with threadlog.logging_with_thread_info():
        check(shown_by(wanted))
    request = shown_by("%(request)s")
    request["handlers"]["h"]["filters"] = [Sets()]
    check(request)
    request = shown_by("%(request)s")
    request["formatters"]["f"]["defaults"] = {"request": "-"}
    check(request)
    behind = shown_by(wanted)
    behind["handlers"]["q"] = {"class": "threadlog.handlers.QueueHandler", "handlers": ["h"]}
    check(behind | {"root": {"handlers": ["q"]}})
    own = shown_by(wanted)
    own["formatters"]["f"]["class"] = "threadlog.ThreadInfoFormatter"
    check(own)


def test_a_filter_elsewhere_does_not_supply(set_up):
    given = with_filter(shown_by("%(thread_info)s"), "loggers", "app")
    given["loggers"]["app"]["propagate"] = False
    assert problems_of(given) == [
        "formatters.f.format: nothing supplies 'thread_info' to handlers.h;"
        " threadlog.ThreadInfoFilter does, in its filters"
    ]


def test_a_record_factory_of_the_program_supplies(set_up):
    before = logging.getLogRecordFactory()

    def factory(*args, **options):
        record = before(*args, **options)
        record.request = 1
        return record

    logging.setLogRecordFactory(factory)
    try:
        check(shown_by("%(request)s"))
    finally:
        logging.setLogRecordFactory(before)


# One file, two handlers


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (file("a.log"), file("a.log")),
        (file("a.log", ROTATING, maxBytes=9), file("./a.log", ROTATING, maxBytes=9)),
        (file("a.log", "logging.FileHandler"), file("b.log", "logging.FileHandler")),
        (file(os.devnull, "logging.FileHandler"), file(os.devnull, "logging.FileHandler")),
    ],
)
def test_handlers_that_share_a_file_or_have_different_ones(set_up, one, other):
    check(handlers(a=one, b=other))


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (
            file("a.log"),
            file("./a.log", "logging.FileHandler"),
            "only the file handlers of threadlog.handlers can share one: handlers.b is a"
            " logging.FileHandler",
        ),
        (file("a.log"), file("a.log", mode="w"), "with mode 'w' or 'x' a file cannot be shared"),
        (
            file("a.log"),
            file("a.log", ROTATING),
            "what rotates a file can only share it with another of the same class",
        ),
        (
            file("a.log", ROTATING, maxBytes=1),
            file("a.log", ROTATING, maxBytes=2),
            "the two must agree on maxBytes",
        ),
    ],
)
def test_handlers_that_cannot_share_a_file(set_up, one, other, why):
    assert problems_of(handlers(a=one, b=other)) == [
        f"handlers.b.filename: is the file of handlers.a, too; {why}"
    ]


def test_one_file_by_two_names(set_up, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    cls = "logging.handlers.WatchedFileHandler"
    given = handlers(a=file(tmp_path / "a.log", cls), b=file(str(tmp_path / "link" / "a.log"), cls))
    (problem,) = problems_of(given)
    assert problem.startswith("handlers.b.filename: is the file of handlers.a, too")


# One record, twice in one handler


def queue(*sinks, **more):
    return {"class": "threadlog.handlers.QueueHandler", "handlers": list(sinks), **more}


def test_a_handler_that_a_record_reaches_twice(set_up):
    twice = config(
        handlers={"c": console(), "q": queue("c"), "d": console()},
        loggers={"app": {"handlers": ["c", "d"]}, "app.db": {"handlers": ["d"]}},
        root={"handlers": ["q"]},
    )
    assert problems_of(twice) == [
        "loggers.app.handlers: a record reaches handlers.c twice, by loggers.app.handlers and by"
        " root.handlers behind handlers.q; write propagate: false in loggers.app, or take it out of"
        " one place",
        "loggers.app.db.handlers: a record reaches handlers.d twice, by loggers.app.db.handlers and"
        " by loggers.app.handlers; write propagate: false in loggers.app.db, or take it out of one"
        " place",
    ]
    assert problems_of(config(handlers={"c": console(), "q": queue("c", "c")})) == [
        "handlers.q: a record reaches handlers.c twice; take it out of one place"
    ]
    (problem,) = problems_of(
        config(
            handlers={
                "c": console(),
                "m": {"class": "logging.handlers.MemoryHandler", "capacity": 9, "target": "c"},
            },
            root={"handlers": ["c", "m"]},
        )
    )
    assert problem == (
        "root.handlers: a record reaches handlers.c twice, by root.handlers behind handlers.m and"
        " by root.handlers; take it out of one place"
    )


def test_a_handler_on_two_ways_of_which_a_record_takes_one(set_up):
    apart = config(
        handlers={"c": console()},
        loggers={"app": {"handlers": ["c"], "propagate": False}, "other": {}},
        root={"handlers": ["c", "c"]},
    )
    check(apart)
    filtered = config(
        filters={"a": {"name": "a"}, "b": {"name": "b"}},
        handlers={
            "c": console(),
            "qa": queue("c", filters=["a"]),
            "qb": queue("c", filters=["b"]),
        },
        root={"handlers": ["qa", "qb"]},
    )
    check(filtered)


# What real programs have must pass


def test_incremental_names_handlers_that_are_there(set_up):
    dictConfig(handlers(console=console()))
    assert problems_of({"version": 1, "incremental": True, "handlers": {"consle": {}}}) == [
        "handlers.consle: there is no handler 'consle'; did you mean 'console'?"
    ]


def test_any_arguments_of_a_factory_that_takes_any(set_up):
    check(handlers(a={"()": f"{HERE}.make", "whatever": 1}))
    check(handlers(a={"()": make, "class_": 1}))


class Colours(logging.StreamHandler):
    def emit(self, record):
        record.colour = "red"
        super().emit(record)


class Any(logging.Formatter):
    def __init__(self, *args, **more):
        super().__init__(*args)


def any_formatter(**arguments):
    return logging.Formatter(arguments["format"])


class OfHandlers(logging.handlers.QueueHandler):
    def __init__(self, handlers, respect_handler_level=False):
        super().__init__(None)
        self.sinks = [handlers[at] for at in range(len(handlers))]


class Severity(int):
    pass


FINE = {
    "a handler that sets fields": (
        shown_by("%(colour)s") | {"handlers": {"h": {"class": Colours, "formatter": "f"}}}
    ),
    "a formatter that takes anything": config(
        formatters={"f": {"class": f"{HERE}.Any", "format": "%(message)s", "colour": True}}
    ),
    "a function that makes a formatter": config(
        formatters={"f": {"()": any_formatter, "format": "%(message)s"}}
    ),
    "a queue handler with a constructor of its own": config(
        handlers={
            "q": {"()": OfHandlers, "handlers": ["cfg://handlers.console"]},
            "console": console(),
        },
        root={"handlers": ["q"]},
    ),
    "a null handler twice": config(
        handlers={"n": {"class": "logging.NullHandler"}},
        loggers={"app": {"handlers": ["n"]}},
        root={"handlers": ["n"]},
    ),
    "a prefix as text": config(threadlog={"thread_info": "%(threadName)s "}),
    "a logger's qualname": config(loggers={"app": {"qualname": "app"}}),
    "letters": config(
        formatters={
            "a": {"format": "100%% %(process)05d %(created).3f %(levelname)-8.8s %(lineno)x"}
        }
    ),
    "an enumeration's level": config(root={"level": Severity(20)}),
    "a set": config(handlers={"c": console()}, root={"handlers": {"c"}}),
    "a place for YAML's anchors": config(**{"x-common": {"level": "INFO"}}),
}


@pytest.mark.parametrize("case", FINE)
def test_what_some_programs_have(set_up, case):
    check(FINE[case])
    dictConfig(FINE[case])


def test_a_letter_that_does_not_fit(set_up):
    (problem,) = problems_of(config(formatters={"a": {"format": "%(levelname)d"}}))
    assert problem.startswith("formatters.a.format: '%(levelname)d' cannot be filled: ")


def test_a_logger_that_does_not_propagate_already(set_up):
    given = config(
        handlers={"c": console()},
        loggers={"tc.alone": {"handlers": ["c"]}},
        root={"handlers": ["c"]},
    )
    logging.getLogger("tc.alone").propagate = False
    try:
        check(given)
    finally:
        logging.getLogger("tc.alone").propagate = True
    assert len(problems_of(given)) == 1


def test_a_config_that_contains_itself(set_up):
    arguments = {"a": 1}
    arguments["self"] = [arguments]
    (problem,) = problems_of(handlers(a={"()": make, "whatever": arguments}))
    assert problem == "handlers.a.whatever.self[0]: contains itself"
