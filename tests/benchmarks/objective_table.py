"""Tables of the fits that ``objectives.py`` has left in a folder, as Markdown.

Run as ``python tests/benchmarks/objective_table.py FOLDER``.
"""

import itertools
import json
import math
import sys
from pathlib import Path

from objective_cases import CASES, YARDSTICK

__all__ = ["markdown", "slug"]

Points = list[tuple[float, float]]  # seconds and error of each fit, seconds rising


def markdown(folder: Path) -> str:
    """Return the table of errors and times, and behind it the reasons of what is not there."""
    names = [name for name in CASES if (folder / name).is_dir()]
    objectives = list(dict.fromkeys(each for name in names for each in CASES[name].contestants))
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    reasons = []
    for each in objectives:
        cells = []
        for name in names:
            at = folder / name / slug(each)
            refused = at / "refused.json"
            if refused.is_file():
                reasons.append(f"{name}, {each}: {json.loads(refused.read_text(encoding='utf-8'))['reason']}")
            cells.append(_cell(points(at), points(folder / name / slug(YARDSTICK)), refused.is_file()))
        lines.append(f"| {each} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *reasons])


def slug(objective: str) -> str:
    """Return the name of an objective's folder."""
    return objective.replace(", ", "+").replace(" ", "-")


def points(at: Path) -> Points:
    """Return seconds and error of an objective's fits."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in at.glob("part-*.json")]
    return sorted((cell["seconds"], cell["error"]) for cell in cells)


def seconds_to(fits: Points, goal: float) -> tuple[str, float]:
    """Return the seconds to an error, interpolated in the logarithms, and ``<`` if the first fit has reached it.

    Infinite where the last one has not.
    """
    if fits[0][1] <= goal:
        return "<" if fits[0][1] < goal else "", fits[0][0]
    for (t0, e0), (t1, e1) in itertools.pairwise(fits):
        if e1 <= goal:
            return "", t0 * (t1 / t0) ** (math.log(e0 / goal) / math.log(e0 / e1))
    return "", math.inf


def _cell(fits: Points, yardstick: Points, refused: bool) -> str:
    if not fits:
        return "no" if refused else ""
    text = f"{100 * fits[-1][1]:.2g}"
    if not yardstick:
        return text
    whole, goal = yardstick[-1]
    if fits[-1][0] < whole / 2:
        text += f" in {fits[-1][0] / whole:.1g}"
    sign, seconds = seconds_to(fits, goal)
    return text if math.isinf(seconds) else f"{text}, {sign}{seconds / whole:.2g}"


if __name__ == "__main__":
    print(markdown(Path(sys.argv[1])))
