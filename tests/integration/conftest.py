"""Real programs, installed from PyPI, set up as their pages in docs/howto/programs say."""

import pathlib

import pytest

from integration.pages import Page

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def page(request, tmp_path):
    """The page that the test module's name says, its files written in *tmp_path*."""
    name = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    found = Page(name)
    found.write_files(tmp_path)
    return found
