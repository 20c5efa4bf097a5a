"""The command line: `python -m tests.soak`, from the root of the repository."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time

from . import eyes
from .storms import STORMS, Options
from .writers import fork


def main() -> int:
    given = _arguments()
    options = Options(given.seconds, given.kills, given.forks, given.rollovers, given.seed)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"soak: {python}, {os.cpu_count()} cores, seed {given.seed}", flush=True)
    if blind := eyes.prove():
        for text in blind:
            print(f"eyes: the judge {text}")
        return 1
    names = ", ".join(kind.__name__ for kind in eyes.SABOTEURS)
    print(f"eyes: caught are {names} and a glued fragment; an honest handler passes", flush=True)
    with _busy() if given.busy else contextlib.nullcontext():
        passed = [_run(name, options) for name in given.storm or STORMS]
    print("ok" if all(passed) else "FAILED")
    return 0 if all(passed) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Prove that the judge sees, then run storms over threadlog's file handlers.",
        epilog="A storm lasts for its time, and for as long as a count that is asked for takes.",
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each storm (%(default)s)")
    parser.add_argument("--storm", nargs="+", choices=STORMS, help="which ones (all)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice (the time)")
    parser.add_argument("--kills", type=int, default=5, help="at least, of each scene that kills")
    parser.add_argument("--forks", type=int, default=5, help="at least, of each scene that forks")
    parser.add_argument("--rollovers", type=int, default=5, help="at least, of each that rotates")
    parser.add_argument("--busy", action="store_true", help="keep each core busy besides")
    return parser.parse_args()


def _run(name: str, options: Options) -> bool:
    passed = True
    for scene, figures in STORMS[name](options):
        print(f"{scene}: {figures.show()}: {'FAILED' if figures.faults else 'ok'}", flush=True)
        for fault in figures.faults:
            print(f"    {fault}", flush=True)
        passed = passed and not figures.faults
    return passed


@contextlib.contextmanager
def _busy():
    def burn(parent: int) -> None:
        while os.getppid() == parent:
            pass

    burners = [fork(burn, os.getpid()) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()


if __name__ == "__main__":
    sys.exit(main())
