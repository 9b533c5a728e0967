"""Statistical tests of the random streams: their 32-bit draws, in several orders, through a battery of tests.

Run as ``python tests/benchmarks/generator_quality.py [order ...] [--long]``; prints a table and writes
``generator_quality.json``. It uses PractRand's ``RNG_test`` where that is on the path, else ``dieharder``. The orders,
each of them unlimited:

- ``paths``: one draw of each path after another, as the time loop consumes them, segment by segment;
- ``along``: all draws of one path's segment, then those of the next path;
- ``first``: the first draw alone of every path and segment, which is the work of the seeding;
- ``seeds``: a few draws of a few paths of the seeds 0, 1, 2, ...

``python tests/benchmarks/generator_quality.py --stream paths`` writes the draws of one order to standard output
instead, for any other battery that reads them, as in ``... --stream paths | RNG_test stdin32``.

Sources: Brown, Eddelbuettel and Bauer, Dieharder: a random number test suite (2003); Doty-Humphrey, PractRand (2014).
"""

import argparse
import itertools
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from alternating_runs import Row, table, write

from physcore.streams import STEPS_PER_SEGMENT, Bits, Streams

ORDERS = ("paths", "along", "first", "seeds")
PATHS = 4096
# Tests that dieharder calls good, a few seconds each, with the size of those that come in sizes.
TESTS = (
    (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (8, 0), (9, 0), (11, 0), (12, 0), (13, 0), (15, 0), (16, 0), (100, 0),
    (101, 0), (102, 0), (200, 4), (201, 3), (202, 5),
)  # fmt: skip
LONG_TESTS = (
    (17, 0), (200, 9), (203, 4), (203, 32), (204, 0), (205, 0), (206, 0), (207, 0), (208, 0), (209, 0),
)  # fmt: skip
SUSPICIOUS = 1e-3


def draws(order: str, seed: int) -> Iterator[Bits]:
    """Yield the draws of an order without end, an array at a time.

    Arguments:
        order: One of ``ORDERS``.
        seed: Seed of the streams, the first one of the order ``seeds``.
    """
    streams = Streams(seed, "noise")
    for count in itertools.count():
        if order == "paths":
            yield streams.bits(range(PATHS), count, STEPS_PER_SEGMENT)
        elif order == "along":
            yield streams.bits(range(count * PATHS, (count + 1) * PATHS), 0, STEPS_PER_SEGMENT).T
        elif order == "first":
            yield streams.bits(range(PATHS), count, 1)
        else:
            yield Streams(seed + count, "noise").bits(range(256), 0, 16)


def stream(order: str, seed: int) -> None:
    """Write the draws of an order to standard output until nobody reads any more."""
    try:
        for bits in draws(order, seed):
            sys.stdout.buffer.write(bits.tobytes())
    except BrokenPipeError:
        sys.stderr.close()


def fed(words: list[str], order: str, seed: int) -> str:
    """Return what a program prints that reads the draws from its standard input."""
    feeder = subprocess.Popen(
        [sys.executable, __file__, "--stream", order, "--seed", str(seed)], stdout=subprocess.PIPE
    )
    try:
        return subprocess.run(words, stdin=feeder.stdout, capture_output=True, text=True, check=True).stdout
    finally:
        feeder.kill()
        feeder.wait()


def by_dieharder(order: str, long: bool) -> Iterator[Row]:
    """Yield the result of each test of dieharder, every test on draws of its own seed.

    A test with a suspicious p-value is done again, on other draws: what chance did it does not do twice.
    """
    for number, (test, size) in enumerate(TESTS + (LONG_TESTS if long else ())):
        for attempt in range(2):
            rows = list(one_test(order, test, size, 1_000_000 * (number + 1) + 1000 * attempt))
            yield from rows
            if all(SUSPICIOUS < row["p"] < 1 - SUSPICIOUS for row in rows):
                break


def one_test(order: str, test: int, size: int, seed: int) -> Iterator[Row]:
    """Yield the p-values of one test of dieharder."""
    shown = ["test_name", "ntuple", "tsamples", "psamples", "pvalues"]
    words = ["dieharder", "-g", "200", "-c", ",", "-d", str(test), *(["-n", str(size)] if size else [])]
    began = time.perf_counter()
    said = fed([*words, *(word for name in shown for word in ("-D", name))], order, seed)
    for line in said.splitlines():
        name, ntuple, samples, repeats, p = (word.strip() for word in line.split(","))
        row = {"order": order, "test": name, "size": int(ntuple), "samples": int(samples) * int(repeats)}
        yield row | {"seed": seed, "p": float(p), "seconds": round(time.perf_counter() - began, 1)}


def by_practrand(order: str, long: bool) -> Iterator[Row]:
    """Yield the last summary of PractRand."""
    said = fed(["RNG_test", "stdin32", "-tlmax", "256GB" if long else "8GB"], order, 7)
    yield {"order": order, "test": "PractRand", "said": said.strip().splitlines()[-2].strip(), "log": said}


def verdict(rows: list[Row]) -> Row:
    """Return how many p-values there are, the most extreme one, and how often chance alone goes as far.

    A p-value near 0 or near 1 is as suspicious as the other. Of n independent ones the most extreme, e, is surpassed by
    chance with probability 1 - (1 - 2 e)^n; derived.
    """
    values = [row["p"] for row in rows if "p" in row]
    if not values:
        return {}
    extreme = min(min(p, 1 - p) for p in values)
    chance = -math.expm1(len(values) * math.log1p(-2 * extreme)) if extreme < 0.5 else 1.0
    return {"order": rows[0]["order"], "p_values": len(values), "most_extreme": extreme, "by_chance": chance}


def main() -> None:
    """Write a stream, or run a battery on all orders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="*", default=list(ORDERS), help="orders to test, all if none")
    parser.add_argument("--long", action="store_true", help="the slow tests too, some six minutes an order")
    parser.add_argument("--stream", choices=ORDERS, help="write this order to standard output")
    parser.add_argument("--seed", type=int, default=7, help="seed of the written stream")
    chosen = parser.parse_args()
    if chosen.stream:
        stream(chosen.stream, chosen.seed)
        return
    battery = by_practrand if shutil.which("RNG_test") else by_dieharder
    if battery is by_dieharder and not shutil.which("dieharder"):
        raise SystemExit("There is neither PractRand's RNG_test nor dieharder; try: apt-get install dieharder")
    report: dict[str, Any] = {}
    for order in chosen.orders:
        if order not in ORDERS:
            parser.error(f"unknown order {order!r}; known: {', '.join(ORDERS)}")
        report[order] = list(battery(order, chosen.long))
        table(order, report[order])
    report["verdicts"] = [verdict(rows) for rows in report.values()]
    table("verdicts", report["verdicts"])
    write("generator_quality", report, ("physcore", "numpy"))


if __name__ == "__main__":
    main()
