"""Timing contestants against each other: in turns, so that what else the machine does falls on all of them alike.

Every contestant lives in a process of its own, with its own environment, threads and memory. A round times each of
them once; what counts are medians over the rounds, and ratios taken within a round. CPU seconds are those of all
threads of the contestant's process and of the programs it waited for.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Contestant", "Record", "Timing", "alternate", "options", "summary", "table", "timed", "write"]

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Timing:
    """What one run took.

    Arguments:
        cpu: CPU time of all threads, [s].
        wall: Time on the clock, [s].
    """

    cpu: float
    wall: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way of doing the work.

    Arguments:
        name: Name in the table.
        prepare: Called once in the contestant's process; returns what is timed. That may return a ``Timing`` of its
            own, which then counts. An ``ImportError`` leaves the contestant out.
        arguments: Arguments of ``prepare``.
        units: Units of work in one run, such as path-steps.
        environment: Environment variables of its process.
        cores: Processors its process may use, all when None.
        check: What to report of the result of the first, untimed run.
    """

    name: str
    prepare: Callable[..., Callable[[], Any]]
    arguments: tuple[Any, ...] = ()
    units: float = 1.0
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cores: int | None = None
    check: Callable[[Any], Row] | None = None


@dataclasses.dataclass
class Record:
    """What is known of a contestant: its timings, what its check said, or why it is absent."""

    contestant: Contestant
    timings: list[Timing] = dataclasses.field(default_factory=list)
    checked: Row = dataclasses.field(default_factory=dict)
    absent: str = ""


LONGEST_WARM_UP = 2.0  # seconds


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(run: Callable[[], Any]) -> tuple[Any, Timing]:
    """Run once; return the result and what it took."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = run()
    return result, Timing(_cpu_seconds() - cpu, time.perf_counter() - wall)


def _serve(connection: Connection, contestant: Contestant) -> None:
    """Answer each request for a run, in the contestant's process, until none comes any more."""
    if contestant.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: contestant.cores])
    try:
        run = contestant.prepare(*contestant.arguments)
        run()
        first, once = timed(run)
    except ImportError as error:
        connection.send(str(error))
        return
    connection.send(contestant.check(first) if contestant.check else {})
    del first
    while connection.recv():
        if once.wall < LONGEST_WARM_UP:
            run()  # a process that slept through the turns of the others has lost its caches and some of its pages
        result, timing = timed(run)
        connection.send(result if isinstance(result, Timing) else timing)
        del result


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def alternate(contestants: Sequence[Contestant], rounds: int) -> list[Record]:
    """Run every contestant once untimed, then once a round.

    Raises:
        EOFError: If a contestant's process died; its traceback stands above.
    """
    context = multiprocessing.get_context("spawn")
    records, lines = [Record(contestant) for contestant in contestants], []
    for record in records:
        ours, theirs = context.Pipe()
        with _environment({"OMP_NUM_THREADS": "1", **record.contestant.environment}):
            process = context.Process(target=_serve, args=(theirs, record.contestant), daemon=False)
            process.start()
        theirs.close()
        answer = ours.recv()
        if isinstance(answer, str):
            record.absent = answer
            print(f"{record.contestant.name} is left out: {answer}")
        else:
            record.checked = answer
        lines.append((process, ours))
    for _ in range(rounds):
        for record, (_, line) in zip(records, lines, strict=True):
            if not record.absent:
                line.send(True)
                record.timings.append(line.recv())
    for record, (process, line) in zip(records, lines, strict=True):
        if not record.absent:
            line.send(False)
        process.join()
    return records


def summary(records: Sequence[Record], unit: str) -> list[Row]:
    """Return a row for each contestant, with ratios to the first one taken within the rounds."""
    rows: list[Row] = []
    for record in records:
        if record.absent:
            rows.append({"name": record.contestant.name, "absent": record.absent})
            continue
        units, first = record.contestant.units, records[0]
        cpu = [timing.cpu / units * 1e9 for timing in record.timings]
        wall = [timing.wall / units * 1e9 for timing in record.timings]
        row: Row = {"name": record.contestant.name}
        for clock, values in (("cpu", cpu), ("wall", wall)):
            row |= {f"{clock}_ns": statistics.median(values), f"{clock}_low": min(values), f"{clock}_high": max(values)}
        row[f"{unit}s_per_cpu_s"] = 1e9 / row["cpu_ns"] if row["cpu_ns"] else None
        for clock in ("cpu", "wall"):
            pairs = zip(record.timings, first.timings, strict=False)
            ratios = [
                (getattr(own, clock) / units) / (getattr(other, clock) / first.contestant.units)
                for own, other in pairs
                if getattr(other, clock)
            ]
            row[f"{clock}_ratio"] = statistics.median(ratios) if ratios else None
        rows.append(row | {"runs": len(cpu)} | record.checked)
    return rows


def table(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table, a median with its lowest and highest value behind it."""
    print(f"\n{title}")
    hidden = ("_low", "_high", "absent")
    present = [{key: _shown(row, key) for key in row if not key.endswith(hidden)} for row in rows]
    columns = list(dict.fromkeys(key for row in present for key in row))
    lines = [columns, *([row.get(column, "") for column in columns] for row in present)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)), flush=True)


def _shown(row: Row, key: str) -> str:
    value, stem = row[key], key.rpartition("_")[0]
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    if f"{stem}_low" in row and key.endswith(("_ns", "_s")):
        text += f" [{row[f'{stem}_low']:.3g}-{row[f'{stem}_high']:.3g}]"
    return text


def machine(packages: Sequence[str]) -> Row:
    """Describe the machine and the versions of what is measured on it."""
    cpu = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    versions = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    with contextlib.suppress(OSError):
        compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False)
        versions["cc"] = compiler.stdout.partition("\n")[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_GB": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": versions,
    }


def write(name: str, sections: Mapping[str, Any], packages: Sequence[str] = ()) -> None:
    """Write a report as JSON into the working directory."""
    path = Path(f"{name}.json")
    text = json.dumps({"machine": machine(packages), **sections}, indent=1)
    path.write_text(text, encoding="utf-8")
    print(f"\nwrote {path}")


def options(description: str, sections: Sequence[str]) -> argparse.Namespace:
    """Read the command line of a benchmark: ``sections``, ``rounds`` and ``quick``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("sections", nargs="*", default=list(sections), help=f"of {', '.join(sections)}; all if none")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each contestant")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that all of it runs")
    chosen = parser.parse_args()
    for section in chosen.sections:
        if section not in sections:
            parser.error(f"unknown section {section!r}; known: {', '.join(sections)}")
    return chosen
