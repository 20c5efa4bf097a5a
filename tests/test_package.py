"""The package as a whole: its layers, its names, and what importing it brings along."""

import ast
import importlib.metadata
import pathlib
import subprocess
import sys

import pytest

import threadlog
import threadlog.config
import threadlog.handlers

SOURCE = pathlib.Path(threadlog.__file__).parent

# A module may import modules of lower layers only. `__init__` is the façade above them.
LAYERS = {
    "escape": 0,
    "nearest": 0,
    "errors": 0,
    "progress": 0,
    "standard": 0,
    "fastrecord": 0,
    "handlers.capabilities": 0,
    "handlers.bell": 0,
    "lifecycle": 0,
    "handlers.putting": 0,
    "children.address": 0,
    "children.frames": 0,
    "identity": 1,
    "rendering": 1,
    "level": 1,
    "config.naming": 1,
    "config.plan": 1,
    "config.calls": 2,
    "config.listening": 2,
    "config.making": 3,
    "config.files": 2,
    "handlers.append": 1,
    "handlers.compress": 1,
    "children.levels": 2,
    "filters": 2,
    "formatters": 3,
    "toggle": 4,
    "fast": 5,
    "workers": 5,
    "guard": 5,
    "handlers.file": 6,
    "ledger": 6,
    "uncaught": 6,
    "records": 6,
    "children.sender": 6,
    "handlers.rotation": 7,
    "handlers.backlog": 7,
    "children.delivery": 7,
    "children.forwarder": 7,
    "children.receiver": 7,
    "handlers.sinks": 8,
    "children.joining": 8,
    "handlers.listener": 9,
    "children.hosting": 9,
    "handlers.queue": 10,
    "children": 10,
    "handlers": 11,
    "pytest_plugin": 11,
    "switches": 11,
    "scripts": 12,
    "config.reading": 12,
    "config.fields": 12,
    "config.sharing": 12,
    "config.values": 12,
    "config.ways": 2,
    "config.judging": 13,
    "config.applying": 13,
    "config": 14,
    "__init__": 14,
    "cli": 15,
    "__main__": 16,
}


def module_name(path):
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(text):
    """Return the threadlog modules that a module's *text* imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, module = name.partition(".")
            if package == "threadlog":
                while module and module not in LAYERS:  # a name in a module, or in the façade
                    module = module.rpartition(".")[0]
                found.add(module or "__init__")
    return found


def climbing(modules):
    """Return the imports, among *modules* (name: text), that do not point down."""
    return [
        (name, imported)
        for name, text in modules.items()
        for imported in sorted(imports_of(text))
        if LAYERS[imported] >= LAYERS[name]
    ]


def test_imports_point_down():
    modules = {module_name(path): path.read_text() for path in SOURCE.rglob("*.py")}
    assert set(modules) == set(LAYERS)
    assert climbing(modules) == []


def test_the_design_page_lists_the_layers_in_their_order():
    page = pathlib.Path(__file__).parents[1].joinpath("docs", "design.md").read_text("utf-8")
    lines = page.partition("```text\n")[2].partition("```")[0].splitlines()
    names = [line.split()[0] for line in lines]
    assert set(names) == set(LAYERS) - {"__init__", "__main__", "handlers"}
    assert names == sorted(names, key=lambda name: LAYERS[name])


def test_the_layer_test_sees_an_import_that_climbs():
    assert climbing({"identity": "def late():\n    from threadlog import toggle\n"})
    assert climbing({"filters": "from threadlog.formatters import escape_line\n"})
    assert climbing({"toggle": "import threadlog\n"})
    assert climbing({"handlers.append": "from threadlog.handlers import file\n"})
    assert climbing({"handlers.file": "import threadlog.handlers.rotation\n"})


def loaded_by(module):
    code = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import {module}"
    command = [sys.executable, "-I", "-S", "-c", f"{code}; print(*sys.modules)"]
    return set(subprocess.check_output(command, text=True).split())


def test_importing_brings_nothing_heavy_along():
    loaded = loaded_by("threadlog")
    heavy = {"multiprocessing", "asyncio", "json", "concurrent.futures", "typing", "tqdm", "rich"}
    heavy |= {"socket", "logging.handlers", "argparse", "inspect", "subprocess"}
    heavy |= {"threadlog.children.hosting", "threadlog.records"}
    heavy |= {"threadlog.handlers"}  # for those who name it; it imports logging.handlers
    assert "threadlog.workers" in loaded
    assert heavy & (loaded - loaded_by("logging")) == set()  # logging itself brings some on 3.14


def test_importing_the_handlers_brings_nothing_but_logging_handlers_along():
    loaded = loaded_by("threadlog.handlers")
    heavy = {"multiprocessing", "asyncio", "json", "concurrent.futures", "typing", "gzip"}
    assert "threadlog.handlers.rotation" in loaded
    assert heavy & (loaded - loaded_by("logging.handlers")) == set()


@pytest.mark.parametrize("module", [threadlog, threadlog.config, threadlog.handlers])
def test_every_public_name_is_there_and_documented(module):
    for name in module.__all__:
        assert getattr(module, name).__doc__, name


@pytest.mark.parametrize("name", threadlog.__all__)
def test_a_public_name_is_imported_from_the_package(name):
    assert getattr(threadlog, name).__module__.startswith("threadlog.")


def test_version_and_requirements():
    metadata = importlib.metadata.metadata("threadlog")
    assert metadata["Version"] == threadlog.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    required = [r for r in metadata.get_all("Requires-Dist") or () if "extra ==" not in r]
    assert required == []
    assert (SOURCE / "py.typed").exists()


def test_the_typed_examples_run(tmp_path):
    import typing_examples

    typing_examples.consume()
    typing_examples.configured(str(tmp_path / "app.log"))
    typing_examples.log()
