"""Write active_swimmer_moments.csv: moments of the active swimmer from a fine Fokker-Planck solution.

Run as ``python data/active_swimmer_moments.py`` in the repository's root; takes about a minute.
"""

import csv
from pathlib import Path

import numpy as np

from analysis import FokkerPlanck
from simulations import ActiveSwimmer

TIMES = (1.0, 3.0, 5.0)


def main() -> None:
    """Solve, integrate over the grid, write the table."""
    reference = FokkerPlanck(ActiveSwimmer(friction=0.1, temperature=1.0), tolerance=1e-6)
    reference.prepare(TIMES)
    with open(Path(__file__).with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["time", "score_x_square", "score_v_square", "x_square", "v_square", "x_v", "entropy"])
        for time in TIMES:
            density = reference.density(time)
            x, v = density["x"].values, density["v"].values
            weight = density.values * (x[1] - x[0]) * (v[1] - v[0])
            moments = [
                np.sum(weight * x[:, None] ** 2),
                np.sum(weight * v**2),
                np.sum(weight * np.outer(x, v)),
                -np.sum(weight * np.log(np.maximum(density.values, np.finfo(float).tiny))),
            ]
            table.writerow([f"{number:.7g}" for number in (time, *reference.score_norm(time), *moments)])


if __name__ == "__main__":
    main()
