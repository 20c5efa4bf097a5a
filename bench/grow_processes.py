"""How many records per second 1 to 8 processes bring into one file: `shared_file`'s contenders."""

import functools

import contenders as who
import measure
import shared_file

QUESTION = "Processes"
PROCESSES = (1, 2, 4, 6, 8)
RECORDS = 40_000  # of all processes together
ROUNDS = 5
LEFT_OUT = (who.FAST_SIZE_SHOWN,)


def main() -> None:
    arguments = measure.arguments(__doc__)
    counts, records, rounds = PROCESSES, RECORDS, ROUNDS
    if arguments.quick:
        counts, records, rounds = (1, 2, 8), RECORDS // 5, 1
    points = {}
    for processes in counts:
        ways = {
            name: functools.partial(
                shared_file.records_per_second, name, processes, records // processes
            )
            for name in shared_file.CONTENDERS
            if name not in LEFT_OUT
        }
        points[processes] = measure.by_stopwatch(ways, rounds)
    measure.hand_in(arguments, [], [measure.curve(QUESTION, "processes", "records/s", points)])


if __name__ == "__main__":
    main()
