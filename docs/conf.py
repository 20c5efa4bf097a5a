"""Sphinx settings: MyST pages, reference text from the docstrings, warnings are errors."""

import re

from threadlog import __version__

project = "threadlog"
author = "The threadlog maintainers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
maximum_signature_line_length = 80

# Names outside this package have no target here: the standard library's inventory would have to be
# fetched, and a build must not fail because another site is down.
nitpick_ignore_regex = [("py:.*", r"(?!threadlog\.).*")]

html_show_copyright = False
html_theme = "furo"
html_title = f"threadlog {release}"


def setup(app):
    app.connect("autodoc-process-docstring", as_restructured_text)


def as_restructured_text(*arguments):
    """Translate what our docstrings, written for editors, do otherwise than Sphinx.

    They write code as `name`; and a paragraph with two or more lines that begin with
    `*argument*: ` is a list.
    """
    lines = arguments[-1]
    text = re.sub(r"`([^`]+)`", lambda code: f"``{code[1].strip()}``\\ ", "\n".join(lines))
    paragraphs = text.split("\n\n")
    for place, paragraph in enumerate(paragraphs):
        before, *items = re.split(r"^(?=\*\w+\*: )", paragraph, flags=re.MULTILINE)
        if len(items) > 1:
            items = [f"- {item.strip()}".replace("\n", "\n  ") for item in items]
            paragraphs[place] = "\n".join([before, *items])
    lines[:] = "\n\n".join(paragraphs).split("\n")
