"""The pages of docs/howto/programs are the source of what the tests here run.

A block after `<!-- file: NAME -->` is a file. A `console` block shows commands, each after `$ `,
and what they print; a `text` block, too, shows what is printed.
"""

import os
import pathlib
import re
import subprocess
import sys

PAGES = pathlib.Path(__file__).parents[2] / "docs" / "howto" / "programs"
_FILE = re.compile(r"^<!-- file: (\S+) -->\n+```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Page:
    def __init__(self, name):
        self.text = (PAGES / f"{name}.md").read_text("utf-8")
        self.files = dict(_FILE.findall(self.text))
        assert self.files, f"{name}.md shows no file"

    def write_files(self, folder):
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def blocks(self, language):
        return [text for name, text in _BLOCK.findall(self.text) if name == language]

    def commands(self):
        """Return the command lines of the console blocks, `pip install` left out."""
        lines = "".join(self.blocks("console")).replace("\\\n", "").splitlines()
        commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [command for command in commands if not command.startswith("pip install")]


def environment(**more):
    """Return the environment in which `python`, and what is installed beside it, is this one."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **more}


def run(command, folder, *, timeout=60, **more):
    """Return what the command line prints, on stdout and stderr together. It must succeed."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
