"""What `import threadlog` costs beside `import logging`: fresh interpreters, in turn.

Target: at most 1.5 times.
"""

import platform
import statistics
import subprocess
import sys

RUNS = 40


def seconds(module: str) -> float:
    code = (
        "import time; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code]))


def main() -> None:
    for module in ("logging", "threadlog"):  # the bytecode is written before the clock runs
        seconds(module)
    pairs = [(seconds("threadlog"), seconds("logging")) for _ in range(RUNS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"Python {platform.python_version()}, {RUNS} pairs, medians")
    print(f"import logging    {theirs * 1e3:7.2f} ms")
    print(f"import threadlog  {ours * 1e3:7.2f} ms")
    print(f"ratio             {statistics.median(a / b for a, b in pairs):7.2f}  (target: 1.5)")


if __name__ == "__main__":
    main()
