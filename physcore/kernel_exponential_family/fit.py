r"""Learning a deep kernel exponential family.

At each step the coefficients are those that are best for one half of a batch, and kernels, inducing points and ridge
are moved to lower the loss of the other half. After each step coefficients are fitted to more points and the loss on
held-out points is looked at; when it has not fallen for long, the parameters of its lowest value are taken. At the end
coefficients are fitted to all points, and the ridge alone is tuned on the held-out ones.

Source: Wenliang, Sutherland, Strathmann and Gretton, Learning deep kernels for exponential family densities (2019),
algorithm 1; the numbers are those of Song, Garg, Shi and Ermon, Sliced score matching (2019).
"""

import copy
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from physcore.errors import NumericalError
from physcore.kernel_exponential_family.directions import Directions
from physcore.kernel_exponential_family.family import DeepKernelExponentialFamily
from physcore.kernel_exponential_family.objectives import ExactFamilyMatching, FamilyObjective
from physcore.streams import Streams, random_seed, validated_seed

__all__ = ["FamilyTraining", "fit_family"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FamilyTraining:
    """How a deep kernel exponential family is learned.

    Arguments:
        inducing: Number of inducing points.
        batch: Points in a step, of which half fit the coefficients and half are judged by.
        learning_rate: Of Adam.
        gradient_limit: Largest norm of the gradient of all parameters.
        epochs: Passes through the training points at most.
        patience: Steps without a lower loss on the held-out points after which training ends.
        refit_points: Training points, drawn anew each time, to which coefficients are fitted for that loss.
        ridge_steps: Steps at the end in which the ridge alone is tuned.
        ridge_learning_rate: Of Adam in these.
        ridge_batch: Held-out points in each of them.
        precision: In which numbers are computed while learning; coefficients are always solved in double precision.

    Raises:
        ValueError: If a number is out of range.
    """

    inducing: int = 200
    batch: int = 200
    learning_rate: float = 0.01
    gradient_limit: float = 100.0
    epochs: int = 500
    patience: int = 200
    refit_points: int = 1000
    ridge_steps: int = 1000
    ridge_learning_rate: float = 1e-3
    ridge_batch: int = 100
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        least = {"inducing": 1, "batch": 2, "epochs": 1, "patience": 1, "refit_points": 1, "ridge_batch": 1}
        for name, number in (least | {"ridge_steps": 0}).items():
            if getattr(self, name) < number:
                raise ValueError(f"`{name}` must be at least {number}; got {getattr(self, name)}.")
        for name in ("learning_rate", "gradient_limit", "ridge_learning_rate"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"`{name}` must be positive and finite; got {getattr(self, name)}.")
        if self.precision not in ("float32", "float64"):
            raise ValueError(f"`precision` must be float32 or float64; got {self.precision!r}.")


def fit_family(
    training_points: Tensor,
    held_out: Tensor,
    *,
    objective: FamilyObjective | None = None,
    training: FamilyTraining | None = None,
    seed: int | None = None,
) -> DeepKernelExponentialFamily:
    """Learn the density of points.

    Arguments:
        training_points: Points to learn from, best centred and of unit covariance, shape ``(sample, component)``.
        held_out: Points to stop and to tune the ridge by, shape ``(sample, component)``.
        objective: What is minimised; ``ExactFamilyMatching()`` when None.
        training: Steps, batch, learning rate and the rest; ``FamilyTraining()`` when None.
        seed: Seed of parameters, batches and slices, 0 <= seed < 2^64; drawn when None.

    Returns:
        The density in double precision, on the device of the training points; its ``history`` is a Dataset of losses,
        with the step of the lowest loss, and its normaliser is not set.

    Raises:
        ValueError: If the points do not fit together, are not finite, or are fewer than a batch or the inducing points.
        NumericalError: If a loss is not finite; the step is named.
    """
    objective, training = objective or ExactFamilyMatching(), training or FamilyTraining()
    seed = validated_seed(random_seed() if seed is None else seed)
    _check(training_points, held_out, training)
    fit = _Fit(training_points, held_out, objective, training, seed)
    began = time.perf_counter()
    fit.learn()
    learned = time.perf_counter()
    fit.finalise()
    fit.family.history = fit.history(learned - began, time.perf_counter() - learned, seed)
    return fit.family.requires_grad_(False)


class _Fit:
    """A fit under way."""

    def __init__(
        self, points: Tensor, held_out: Tensor, objective: FamilyObjective, training: FamilyTraining, seed: int
    ) -> None:
        self.objective, self.training = objective, training
        self.points, self.held_out = (
            each.detach().to(getattr(torch, training.precision)) for each in (points, held_out)
        )
        streams = {name: Streams(seed, f"family/{name}") for name in ("parameters", "batches", "slices")}
        self._order = streams["batches"].generator()
        self._slices = streams["slices"].generator(device=points.device)
        chosen = torch.randperm(len(points), generator=streams["parameters"].generator(1))[: training.inducing]
        family = DeepKernelExponentialFamily(points[chosen], generator=streams["parameters"].generator())
        self.family = family.to(self.points)
        self.training_losses: list[float] = []
        self.validation_losses: list[float] = []
        self.best_step = 0

    def learn(self) -> None:
        """Take steps until the loss on the held-out points falls no more, and keep the parameters of its lowest."""
        limits, adam = self.training, torch.optim.Adam(self.family.parameters(), lr=self.training.learning_rate)
        batches = self._batches(len(self.points), limits.batch // 2)
        best, parameters = math.inf, copy.deepcopy(self.family.state_dict())
        for step in range(max(1, limits.epochs * (len(self.points) // limits.batch))):
            adam.zero_grad()
            loss = self._loss(self.points[next(batches)], self.points[next(batches)])
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.family.parameters(), limits.gradient_limit)
            adam.step()
            validation = self._validated()
            self.training_losses.append(float(loss.detach()))
            self.validation_losses.append(validation)
            if not (math.isfinite(self.training_losses[-1]) and math.isfinite(validation)):
                raise NumericalError(f"the loss is not finite in step {step}; try a lower `learning_rate`.")
            if validation < best:
                best, parameters, self.best_step = validation, copy.deepcopy(self.family.state_dict()), step
            elif step - self.best_step > limits.patience:
                break
        self.family.load_state_dict(parameters)

    def finalise(self) -> None:
        """Fit the coefficients to all points in double precision, with the ridge that the held-out points prefer."""
        single, self.family = self.family.requires_grad_(False), copy.deepcopy(self.family).double()
        equations = self.family.normal_equations(self._directions(self.points.double()))
        # In the eigenvectors of the Gram matrix every ridge costs a product.
        eigenvalues, vectors = torch.linalg.eigh(equations.gram / equations.points)
        target = vectors.mT @ (equations.target / equations.points)

        def coefficients(log_ridge: Tensor) -> Tensor:
            solved: Tensor = vectors @ (target / (eigenvalues.clamp(min=0.0) + 10.0**log_ridge))
            return -solved

        log_ridge = self.family.log_ridge.clone().requires_grad_()
        adam = torch.optim.Adam([log_ridge], lr=self.training.ridge_learning_rate)
        batches = self._batches(len(self.held_out), self.training.ridge_batch)
        for _ in range(self.training.ridge_steps):
            adam.zero_grad()
            alpha = coefficients(log_ridge).to(single.coefficients)
            loss = single.losses(self._directions(self.held_out[next(batches)]), alpha).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        with torch.no_grad():
            self.family.log_ridge.copy_(log_ridge)
            self.family.coefficients.copy_(coefficients(log_ridge))

    def history(self, learning: float, finalising: float, seed: int) -> xr.Dataset:
        """Return the losses as a Dataset with dimension ``step``."""
        columns = {
            "training_loss": (self.training_losses, "mean loss of half a batch with coefficients of the other half"),
            "validation_loss": (self.validation_losses, "mean loss of the held-out points"),
        }
        return xr.Dataset(
            {name: ("step", np.array(values), {"long_name": text}) for name, (values, text) in columns.items()},
            {"step": np.arange(len(self.training_losses))},
            {
                "objective": repr(self.objective),
                "training": repr(self.training),
                "seed": str(seed),
                "best_step": self.best_step,
                "learning_seconds": learning,
                "finalising_seconds": finalising,
            },
        )

    def _loss(self, fitted: Tensor, judged: Tensor) -> Tensor:
        """Return the loss of some points with the coefficients that others ask for."""
        equations = self.family.normal_equations(self._directions(fitted))
        coefficients = equations.coefficients(self.family.log_ridge)
        return self.family.losses(self._directions(judged), coefficients).mean()

    @torch.no_grad()
    def _validated(self) -> float:
        """Return the loss of the held-out points with coefficients fitted to some of the training points."""
        some = torch.randperm(len(self.points), generator=self._order)[: self.training.refit_points]
        return float(self._loss(self.points[some], self.held_out))

    def _directions(self, points: Tensor) -> Directions:
        return self.objective.directions(points, self._slices)

    def _batches(self, count: int, size: int) -> Iterator[Tensor]:
        """Yield the indices of batches, pass after pass in a new order."""
        while True:
            yield from torch.split(torch.randperm(count, generator=self._order), size)


def _check(points: Tensor, held_out: Tensor, training: FamilyTraining) -> None:
    for name, each in {"training_points": points, "held_out": held_out}.items():
        if each.ndim != 2 or not len(each):
            raise ValueError(f"`{name}` must have shape (sample, component); got {tuple(each.shape)}.")
        if not bool(torch.isfinite(each).all()):
            raise ValueError(f"`{name}` must be finite.")
    if points.shape[1] != held_out.shape[1]:
        raise ValueError(f"`held_out` must have {points.shape[1]} components; got {held_out.shape[1]}.")
    if len(points) < max(training.inducing, training.batch):
        raise ValueError(
            f"`training_points` must be at least as many as `inducing` ({training.inducing}) and `batch` "
            f"({training.batch}); got {len(points)}."
        )
