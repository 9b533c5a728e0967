"""An active Brownian particle's score learned in several coordinates, and the entropy production that comes of it.

Run as ``python tests/benchmarks/active_brownian_coordinates.py [steps]``; without steps 3,000 of each fit. The particle
swims in a harmonic trap, in the stationary state, at two sets of parameters: slow, so that it crosses the origin often,
and the microswimmer of the default run, which circles on a thin ring. The score is learned

- ``heading as it is``: in the process's own coordinates, the angle a number like any other;
- ``local``: there, in the local frame of the default model;
- ``embedded heading``: there, the heading shown by cosine and sine;
- ``polar``: of distance, direction relative to the heading, and heading;
- ``turning frame``: of the position along the heading and across it, and the heading;

and carried back to Cartesian coordinates. Prints the relative error of the Cartesian score and of the score carried to
the turning frame against a transition mixture, made periodic, in percent; the total entropy production rate with its
standard error over its exact value v0^2 Dr / (D (k + Dr)), which holds with all variables even under time reversal, the
swimming direction among them; and CPU seconds. The path average of the medium's rate, which needs no score and tends to
the same value, shows how far the paths themselves are off. Writes ``active_brownian_coordinates.json`` into the working
directory.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from analysis import TransitionMixture, entropy_production_rate
from physcore.score import Local, LocalDenoising, Mapped, ScoreModel, Training, fit
from physcore.trajectory import frames
from physcore.transform import Affine, Composition, Inverted, Polar, Selected, TransformedProcess, transform_score
from simulations import ActiveBrownianParticle, simulate

POSITION = (0, 1)
TO_POLAR = Selected(bijection=Polar(), components=POSITION)
FROM_POLAR = Selected(bijection=Inverted(bijection=Polar()), components=POSITION)
AWAY = Affine(matrix=((1.0, 0.0, 0.0), (0.0, 1.0, -1.0), (0.0, 0.0, 1.0)))
RELATIVE = Composition(bijections=(TO_POLAR, AWAY))
TURNING = Composition(bijections=(TO_POLAR, AWAY, FROM_POLAR))
MODELS = {
    "heading as it is": Mapped(),
    "local": Local(),
    "embedded heading": Mapped(periodic=(2,)),
    "polar": Mapped(bijection=RELATIVE, periodic=(1, 2)),
    "turning frame": Mapped(bijection=TURNING, periodic=(2,)),
}
PATHS, FRESH, COMPARED = 40_000, 100_000, 2000
DT = 5e-3


def cases() -> dict[str, tuple[ActiveBrownianParticle, float, float]]:
    """Return particles, the time by which they are stationary, and the lag of the targets."""
    spread = {"initial_spread": 2.0}
    slow = ActiveBrownianParticle(
        speed=2.0, diffusivity=0.5, rotational_diffusivity=1.0, stiffness=1.0, initial_width=1.5, **spread
    )
    ring = ActiveBrownianParticle(initial_width=4.0, **spread)
    return {"slow": (slow, 4.0, 0.2), "ring": (ring, 16.0, 0.4)}


def dissipation(particle: ActiveBrownianParticle) -> float:
    """Return the exact total entropy production rate, all variables even."""
    relaxed = particle.stiffness + particle.rotational_diffusivity
    return particle.speed**2 * particle.rotational_diffusivity / (particle.diffusivity * relaxed)


def periodic(trajectories: xr.Dataset, margin: float = 2.0) -> xr.Dataset:
    """Return paths turned whole until they end between -pi and pi, those that end near these once more beyond."""
    last = trajectories["theta"].isel(time=-1)
    turned = trajectories.assign(theta=trajectories["theta"] - 2 * math.pi * (last / (2 * math.pi)).round())
    ends = turned["theta"].isel(time=-1).values
    parts = [turned]
    for sign in (1, -1):
        near = turned.isel(path=(sign * ends > math.pi - margin).nonzero()[0])
        parts.append(near.assign(theta=near["theta"] - sign * 2 * math.pi))
    joined = xr.concat(parts, "path")
    return joined.assign_coords(path=range(joined.sizes["path"]))


def relative(error: Tensor, exact: Tensor) -> float:
    return round(100 * float(error.square().sum() / exact.square().sum()), 4)


def measured(
    particle: ActiveBrownianParticle, score: ScoreModel, states: Tensor, exact: Tensor, fresh: xr.Dataset
) -> dict[str, Any]:
    """Return the errors of a score and the rates that come of it."""
    moment = torch.tensor(float(fresh["time"][-1]), dtype=torch.float64)
    with torch.no_grad():
        learned = score(states, moment)
    seen = TransformedProcess(process=particle, bijection=TURNING)
    image = TURNING.forward(states)
    turned, exact_turned = seen.score(image, moment, lambda x, t: learned), transform_score(TURNING, states, exact)
    rates = entropy_production_rate(particle, score, fresh)
    total, medium = (rates.sel(quantity=name) for name in ("total", "medium"))
    known = dissipation(particle)
    return {
        "Cartesian": relative(learned - exact, exact),
        "turning": relative(turned - exact_turned, exact_turned),
        "total / exact": round(float(total["value"].mean()) / known, 4),
        "standard error": round(float(total["standard_error"].mean()) / known, 4),
        "medium / exact": round(float(medium["value"].mean()) / known, 4),
    }


def main() -> None:
    """Learn in all coordinates and report."""
    torch.set_num_threads(1)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    table: list[dict[str, Any]] = []
    for case, (particle, stationary, lag) in cases().items():
        end = 1.5 * stationary
        settings = {"duration": end, "dt": DT}
        trajectories = simulate(particle, paths=PATHS, save_every=round(lag / DT), seed=1, **settings)
        moments = [stationary + (end - stationary) * share for share in (0.5, 1.0)]
        fresh = simulate(particle, paths=FRESH, save_times=moments, seed=2, **settings)
        reference = TransitionMixture(particle, periodic(trajectories.isel(time=slice(-3, None))))
        reference.prepare([end])
        states = frames(particle, periodic(fresh, margin=0.0).isel(time=[-1], path=slice(COMPARED)), torch.float64)[0]
        exact = reference.score(states, torch.tensor(end, dtype=torch.float64))
        print(f"\n{case}: {particle}, exact rate {dissipation(particle):.4f}, the reference's own relative error "
              f"{100 * (reference.error_estimate(end) or math.nan):.3f} %", flush=True)  # fmt: skip
        for name, model in MODELS.items():
            began = time.process_time()
            score = fit(
                particle,
                trajectories,
                objective=LocalDenoising(lag=lag),
                model=model,
                training=Training(steps=steps, batch=1024, first_time=stationary),
                seed=3,
            )
            took = time.process_time() - began
            row = {"case": case, "learned in": name, **measured(particle, score, states, exact, fresh)}
            table.append(row | {"seconds": round(took, 1)})
            print(table[-1], flush=True)
    Path("active_brownian_coordinates.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
