"""What `import threadlog` costs beside `import logging`: fresh interpreters, in turn."""

import functools
import subprocess
import sys

import measure

QUESTION = "The import"
ROUNDS = 40


def seconds(module: str) -> float:
    code = (
        "import time; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code]))


def main() -> None:
    arguments = measure.arguments(__doc__)
    names = ("import logging", "import threadlog")
    ways = {name: functools.partial(seconds, name.removeprefix("import ")) for name in names}
    measure.by_stopwatch(ways, 1)  # the bytecode is written before the clock runs
    results = measure.by_stopwatch(ways, 10 if arguments.quick else ROUNDS)
    theirs, ours = names
    measure.hand_in(arguments, [measure.compare(QUESTION, results, ours, theirs, at_most=1.5)])


if __name__ == "__main__":
    main()
