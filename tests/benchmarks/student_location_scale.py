"""Location and scale of Student's law by score matching and by diffusion score matching, from several starts.

Run as ``python tests/benchmarks/student_location_scale.py [samples]``, by default 16. A sample is 300 draws with 5
degrees of freedom, location 25 and scale 10; samples are those of the seeds from 0 on, the first five are shown one by
one. The matrix of diffusion score matching is fixed beforehand, (1 + ((x - median) / (1.4826 MAD))^2)^p; that it has to
be is seen in the last table, where it moves with the model. Prints tables, and writes JSON and a figure of the losses
into the working directory.

Neither loss has a lowest value: with the location at a draw and the scale towards 0 it falls as the inverse square of
the scale, of a draw far out the more steeply the more it is weighed. What is found are local minima, from far starts
not always the one at the law.

The setting is that of Barp et al., Minimum Stein discrepancy estimators (2019), as far as it is known to us.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from physcore.score import (
    DiffusionScoreMatching,
    ImplicitScoreMatching,
    Objective,
    Pilot,
    Samples,
    ScoreModel,
    TailWeight,
    Uniform,
)
from physcore.score.model import Prepared
from physcore.score.parametrizations.frames import DiagonalFrame
from simulations import StudentDiffusion

DEGREES, LOCATION, SCALE, DRAWS = 5.0, 25.0, 10.0, 300
STARTS = ((25.0, 10.0), (0.0, 5.0), (100.0, 10.0), (-100.0, 10.0))
AGREEMENT = 1e-3
SHOWN = range(5)  # seeds of the samples that are shown one by one
LOCATIONS = torch.linspace(-150, 200, 141, dtype=torch.float64)
PLAIN = ImplicitScoreMatching(weighting=Uniform())
PROCESS = StudentDiffusion(degrees_of_freedom=DEGREES, scale=SCALE)


class LocationScale(ScoreModel):
    """The score of Student's law with location and scale to be found."""

    def __init__(self, location: float, scale: float) -> None:
        super().__init__(PROCESS, (0.0, 1.0))
        self.location = nn.Parameter(torch.tensor(location, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale), dtype=torch.float64))

    @property
    def options(self) -> dict[str, Any]:
        return {}

    @property
    def values(self) -> tuple[float, float]:
        """Location and scale."""
        return self.location.item(), self.log_scale.exp().item()

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        return Prepared(
            state.unsqueeze(-1), time.unsqueeze(-1), DiagonalFrame(torch.ones_like(state[:1]), self.learned)
        )

    def weighted(self, prepared: Prepared) -> Tensor:
        off = prepared.features[..., 0] - self.location
        return -(DEGREES + 1) * off / (DEGREES * (2 * self.log_scale).exp() + off.square())


def draws(seed: int = 0, number: int = DRAWS) -> Tensor:
    """Return draws of the law, shape ``(draw, 1)``."""
    return LOCATION + PROCESS.sample_stationary(number, torch.Generator().manual_seed(seed))


def weighted(state: Tensor, exponent: float = 1.0) -> DiffusionScoreMatching:
    """Return diffusion score matching with its weight measured on draws."""
    pilot = Pilot(process=PROCESS, times=torch.zeros(1, dtype=torch.float64), states=state.unsqueeze(0))
    return DiffusionScoreMatching(matrix=TailWeight(exponent=exponent)).fitted(pilot)


def loss(objective: Objective, model: ScoreModel, state: Tensor) -> Tensor:
    """Return the mean loss over draws."""
    samples = Samples(state=state.unsqueeze(1), time=torch.zeros(len(state), dtype=state.dtype))
    return objective.loss(model, samples, torch.Generator().manual_seed(1)).mean()


def estimate(objective: Objective, state: Tensor, start: tuple[float, float], steps: int = 200) -> tuple[float, float]:
    """Return location and scale at the minimum that L-BFGS reaches from a start; not finite where it runs away."""
    model = LocationScale(*start)
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(objective, model, state)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return model.values


def moving_weight(state: Tensor, location: float) -> float:
    """Return the loss of a model at a location, weighed by a matrix that has moved there with it."""
    objective = DiffusionScoreMatching(matrix=TailWeight(locations=(location,), scales=(SCALE,), exponent=1.0))
    with torch.no_grad():
        return float(loss(objective, LocationScale(location, SCALE), state))


def objectives(state: Tensor) -> dict[str, Objective]:
    """Return the objectives that are compared, with weights measured on draws."""
    return {"score matching": PLAIN, "diffusion, p = 1": weighted(state), "diffusion, p = 1/2": weighted(state, 0.5)}


def agree(found: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two estimates are the same to 1e-3."""
    return all(abs(first - second) < AGREEMENT for first, second in zip(found, other, strict=True))


def single_samples() -> list[dict[str, Any]]:
    """Print and return the estimates from every start on the first samples."""
    table: list[dict[str, Any]] = []
    for seed in SHOWN:
        state = draws(seed)
        print(f"sample {seed} of {DRAWS}, location {LOCATION:g}, scale {SCALE:g}")
        print(f"{'start':<16}" + "".join(f"{name:>24}" for name in objectives(state)))
        for start in STARTS:
            found = {name: estimate(objective, state, start) for name, objective in objectives(state).items()}
            cells = [f"({location:.6g}, {scale:.6g})" for location, scale in found.values()]
            print(f"{start!s:<16}" + "".join(f"{cell:>24}" for cell in cells), flush=True)
            table.append({"seed": seed, "start": start, **found})
    return table


def losses_over_locations(seed: int) -> dict[str, Tensor]:
    """Return the losses at locations, at the true scale, over that at the true location."""
    state, found = draws(seed), {}
    with torch.no_grad():
        for name, objective in objectives(state).items():
            values = [loss(objective, LocationScale(at, SCALE), state) for at in [LOCATION, *LOCATIONS.tolist()]]
            found[name] = torch.stack(values[1:]) - values[0]
    return found


def draw_losses(table: list[dict[str, Any]], path: Path) -> None:
    """Draw the losses of the first samples over the location, and where the estimates from every start end."""
    curves = {seed: losses_over_locations(seed) for seed in SHOWN}
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(curves[0])), curves[0], strict=True):
        for seed, found in curves.items():
            axes.plot(LOCATIONS, found[name], color=f"C{seed}", linewidth=1, label=f"sample {seed}")
        lowest = min(float(found[name].min()) for found in curves.values())
        for row in table:
            axes.plot(row[name][0], lowest, marker="|", color=f"C{row['seed']}", markersize=12)
        for location, _ in STARTS:
            axes.axvline(location, color="0.7", linewidth=0.8, linestyle=":")
        axes.set(title=name, xlabel="location", xlim=(LOCATIONS[0], LOCATIONS[-1]))
    figure.axes[0].set_ylabel("loss at scale 10, over that at (25, 10)")
    figure.axes[0].legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=150)


def many_samples(number: int) -> dict[str, Any]:
    """Print and return errors over samples, and from how many the first start's estimate is reached from each start."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for seed in range(number):
        state = draws(seed)
        for name, objective in objectives(state).items():
            found.setdefault(name, []).append([estimate(objective, state, start) for start in STARTS])
    print(f"{number} samples: root mean square errors from the first start, and samples that end there from each start")
    print(f"{'':<20}{'location':>10}{'scale':>10}" + "".join(f"{start!s:>16}" for start in STARTS))
    table = {}
    for name, samples in found.items():
        errors = torch.tensor([sample[0] for sample in samples]) - torch.tensor([LOCATION, SCALE])
        location, scale = errors.square().mean(0).sqrt().tolist()
        reached = [sum(agree(sample[k], sample[0]) for sample in samples) for k in range(len(STARTS))]
        print(f"{name:<20}{location:10.3f}{scale:10.3f}" + "".join(f"{count:>16}" for count in reached))
        table[name] = {"location": location, "scale": scale, "reached": reached}
    return table


def main() -> None:
    """Estimate from every start and report."""
    torch.set_num_threads(1)
    result: dict[str, Any] = {"single samples": single_samples()}
    draw_losses(result["single samples"], Path("student_location_scale.png"))
    result["many samples"] = many_samples(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
    losses = {location: moving_weight(draws(), location) for location in (25.0, 50.0, 100.0, 200.0)}
    print("loss at a location, where the matrix moves there with the model")
    print("".join(f"{location:>10g}" for location in losses))
    print("".join(f"{value:10.3f}" for value in losses.values()))
    Path("student_location_scale.json").write_text(json.dumps(result | {"moving": losses}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
