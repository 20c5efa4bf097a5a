"""The table of what each Python's own dictConfig takes: each of its cells is from a run."""

import logging
import logging.config
import pathlib
import platform
import re

import pytest

import threadlog
from configs import set_up
from threadlog.config import dictConfig

__all__ = ["set_up"]  # a fixture

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "reference" / "config.md"
SECTION = PAGE.read_text("utf-8").partition("## What each Python takes")[2]
VERSIONS = re.findall(r"\b3\.\d+\.\d+\b", SECTION)

CONSOLE = {"class": "logging.StreamHandler"}
MEMORY = {"class": "logging.handlers.MemoryHandler", "capacity": 5}
QUEUE = "threadlog.handlers.QueueHandler"


def handler(name):
    return logging._handlers[name]


def with_handler(entry, **more):
    return {"handlers": {"h": entry, "console": CONSOLE, **more}, "root": {"handlers": ["h"]}}


def queue_is_read():
    """Return whether what is logged is written, without anybody starting something."""
    made = handler("h")
    if made.listener is None:
        return False
    return isinstance(made.listener, threadlog.handlers.QueueListener) or (
        made.listener._thread is not None
    )


def own_queue():
    return handler("h").listener is not None and handler("h")._is_own


def formatter():
    return handler("h").formatter


def formatted(**entry):
    return {**with_handler({**CONSOLE, "formatter": "f"}), "formatters": {"f": entry}}


def filtered(**entry):
    return {**with_handler({**CONSOLE, "filters": ["f"]}), "filters": {"f": entry}}


WHO = "threadlog.ThreadInfoFormatter"

# Each row's config, and whether it has had its effect.
ROWS = {
    "filter by `()`": (
        filtered(**{"()": "threadlog.ThreadInfoFilter"}),
        lambda: type(handler("h").filters[0]) is threadlog.ThreadInfoFilter,
    ),
    "filter by `class`": (
        filtered(**{"class": "threadlog.ThreadInfoFilter"}),
        lambda: type(handler("h").filters[0]) is threadlog.ThreadInfoFilter,
    ),
    "filter as an object": (
        with_handler({**CONSOLE, "filters": [threadlog.ThreadInfoFilter()]}),
        lambda: len(handler("h").filters) == 1,
    ),
    "formatter by `()` with arguments of its own": (
        formatted(**{"()": WHO, "escape": True}),
        lambda: formatter().escape,
    ),
    "formatter by `class`": (
        formatted(**{"class": WHO, "format": "%(message)s"}),
        lambda: type(formatter()) is threadlog.ThreadInfoFormatter,
    ),
    "and arguments of its own": (
        formatted(**{"class": WHO, "escape": True}),
        lambda: formatter().escape,
    ),
    "`defaults` of a formatter": (
        formatted(format="%(message)s %(who)s", defaults={"who": "nobody"}),
        lambda: formatter()._style._defaults == {"who": "nobody"},
    ),
    "file handler by `class` with arguments of its own": (
        with_handler(
            {
                "class": "threadlog.handlers.FileHandler",
                "filename": "x",
                "permissions": "0640",
                "delay": True,
            }
        ),
        lambda: handler("h").permissions == 0o640,
    ),
    "`flushLevel` as text": (
        with_handler({**MEMORY, "flushLevel": "WARNING"}),
        lambda: handler("h").flushLevel == logging.WARNING,
    ),
    "queue handler by `class`: `handlers` by name": (
        with_handler({"class": QUEUE, "handlers": ["console"]}),
        queue_is_read,
    ),
    "and `capacity`": (
        with_handler({"class": QUEUE, "handlers": ["console"], "capacity": 5}),
        own_queue,
    ),
    "and `handlers` as dicts in place": (
        with_handler({"class": QUEUE, "handlers": [CONSOLE]}),
        own_queue,
    ),
    "queue handler by `()`: `handlers` by name": (
        with_handler({"()": QUEUE, "handlers": ["console"]}),
        own_queue,
    ),
    "and `handlers` by `cfg://`, its name before theirs": (
        with_handler({"()": QUEUE, "handlers": ["cfg://handlers.z"]}, z=CONSOLE),
        own_queue,
    ),
    "and its name after theirs": (
        with_handler({"()": QUEUE, "handlers": ["cfg://handlers.console"]}),
        own_queue,
    ),
    "standard queue handler by `class`": (
        with_handler({"class": "logging.handlers.QueueHandler", "handlers": ["console"]}),
        queue_is_read,
    ),
    "the key `threadlog`": (
        {"threadlog": {"thread_info": True}},
        threadlog.is_logging_with_thread_info,
    ),
    "a key that is misspelt is told": ({"handler": {}}, lambda: False),
}


def outcome(configure, row):
    """Return the cell: "yes", "refused" or, if it did not have its effect, "no"."""
    config, has_effect = ROWS[row]
    try:
        configure({"version": 1, "disable_existing_loggers": False, **config})
    except ValueError:
        answer = "refused"
    else:
        answer = "yes" if has_effect() else "no"
    if row.endswith("is told"):
        answer = {"refused": "yes"}.get(answer, answer)
    return answer


def table():
    lines = [line.strip("| ") for line in SECTION.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    names = [name for name in ("", *head) if name]
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def test_the_table_has_all_rows_and_its_words_have_a_meaning():
    assert list(table()) == list(ROWS)
    words = {cell for row in table().values() for cell in row.values()}
    assert words == {"yes", "no", "refused"}


@pytest.mark.parametrize("row", ROWS)
def test_this_python_s_own(set_up, row):
    if platform.python_version() not in VERSIONS:
        pytest.skip(f"the table is of {', '.join(VERSIONS)}")
    version = ".".join(platform.python_version_tuple()[:2])
    assert table()[row][version] == outcome(logging.config.dictConfig, row)


@pytest.mark.parametrize("row", ROWS)
def test_threadlog_s(set_up, row):
    assert table()[row]["threadlog"] == outcome(dictConfig, row) == "yes"


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ({"()": QUEUE, "handlers": ["console"]}, "write 'cfg://handlers.console'"),
        ({"()": QUEUE, "handlers": ["cfg://handlers.z"]}, "a name that comes later"),
        ({"()": QUEUE, "handlers": [CONSOLE]}, "use threadlog.config.dictConfig"),
    ],
)
def test_where_it_is_refused_the_error_says_what_to_write(set_up, entry, hint):
    with pytest.raises(ValueError, match="Unable to configure handler 'h'") as raised:
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, **with_handler(entry, z=CONSOLE)}
        )
    assert hint in str(raised.value.__cause__)
    assert "\n" not in str(raised.value.__cause__)


def print_rows():
    """Print this Python's column, and threadlog's."""
    for row in ROWS:
        cells = []
        for configure in (logging.config.dictConfig, dictConfig):
            cells.append(outcome(configure, row))
            dictConfig({"version": 1, "disable_existing_loggers": False})
        print(f"{row}: {cells}")


if __name__ == "__main__":
    print_rows()
