"""The verb ``fit``: from trajectories to a time-dependent score."""

import dataclasses
import functools
import json
import time
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.batches import TrajectoryBatches
from physcore.score.checkpoint import latest_checkpoint, write_checkpoint
from physcore.score.history import History
from physcore.score.model import ScoreModel
from physcore.score.objectives import LocalDenoising, Objective, Samples
from physcore.score.optimization import Optimization
from physcore.score.parametrizations import Local, Parametrization
from physcore.score.pool import SamplePool
from physcore.score.training import Training
from physcore.stopping import NEVER, StopRequest
from physcore.storage.manifest import differences
from physcore.streams import Streams, random_seed, validated_seed

__all__ = ["fit"]

VALIDATION_SAMPLES = 16_384
STEPS_BETWEEN_STOP_CHECKS = 50


def fit(
    process: Process,
    trajectories: xr.Dataset,
    *,
    objective: Objective | None = None,
    model: Parametrization | None = None,
    training: Training | None = None,
    seed: int | None = None,
    device: str | torch.device = "cpu",
    checkpoints: str | Path | None = None,
    communicator: Communicator | None = None,
    stop: StopRequest = NEVER,
) -> ScoreModel:
    """Learn the time-dependent score of a process from its trajectories.

    Arguments:
        process: The process that made the trajectories.
        trajectories: Dataset with dimensions ``path`` and ``time``, as ``simulate`` returns it.
        objective: What is minimised; ``LocalDenoising()`` when None.
        model: The parametrisation and its network; ``Local()`` when None.
        training: Steps, batch, learning rate and the rest; ``Training()`` when None.
        seed: Seed of parameters and batches, 0 <= seed < 2^64; drawn when None.
        device: Where to train; trajectories are held there.
        checkpoints: Folder for the states of an unfinished fit. One that holds a state of the same fit is continued,
            to the same result as without the interruption.
        communicator: Ranks that share each batch; serial when None. Every rank returns the same score.
        stop: Asked every few steps.

    Returns:
        The score with averaged parameters; its ``history`` is a Dataset of losses, whose attribute ``objective`` tells
        the lags that were chosen.

    Raises:
        DataFileError: If the trajectories do not fit the process or the objective.
        NumericalError: If a loss or gradient is not finite; the step is named.
        ValueError: If a setting is out of range, or the checkpoints belong to another fit.
        Stopped: If a stop was requested; the next call with the same checkpoints continues.
    """
    objective, model, training = objective or LocalDenoising(), model or Local(), training or Training()
    communicator = communicator or SerialCommunicator()
    seed = validated_seed(communicator.broadcast(random_seed() if seed is None else seed))
    device = torch.device(device)
    settings = {"objective": repr(objective), "model": repr(model), "training": repr(training), "seed": str(seed)}
    batches = TrajectoryBatches(process, trajectories, training, device)
    objective = objective.fitted(batches.pilot)
    time_range = batches.time_range(objective.schedule)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed, "fit/parameters").generator().initial_seed())
        score = model.build(process, batches.pilot, objective.schedule, time_range).to(device)
    trainer = Trainer(
        pool=SamplePool(batches=batches, objective=objective, model=score, seed=seed, communicator=communicator),
        optimization=Optimization(score, training),
        seed=seed,
        settings=settings | {"paths": trajectories.sizes["path"]},
        communicator=communicator,
        folder=None if checkpoints is None else Path(checkpoints),
        stop=stop,
    )
    return trainer.run()


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """A fit under way.

    Arguments:
        pool: Where samples come from, and the objective with them.
        optimization: Score, averaged score, optimiser and learning-rate schedule.
        seed: Seed of the batches and noises.
        settings: What fixes the fit; checkpoints of other settings are refused.
        communicator: Ranks that share each batch.
        folder: Folder of the checkpoints, None for none.
        stop: Asked every few steps.
        step: Steps done.
        elapsed: Seconds of training.
        total: Sum of this rank's losses since the last record.
        history: What was recorded.
    """

    pool: SamplePool
    optimization: Optimization
    seed: int
    settings: dict[str, str | int]
    communicator: Communicator
    folder: Path | None
    stop: StopRequest
    step: int = 0
    elapsed: float = 0.0
    total: Tensor = dataclasses.field(init=False)
    history: History = dataclasses.field(default_factory=History)

    def run(self) -> ScoreModel:
        """Train from the newest checkpoint, or from the start, to the last step."""
        training = self.optimization.training
        self._resume()
        began = time.perf_counter() - self.elapsed
        bar = tqdm(
            total=training.steps,
            initial=self.step,
            desc="fit",
            unit="step",
            disable=None if self.communicator.rank == 0 else True,
        )
        with bar:
            while self.step < training.steps:
                self.total += self._advance()
                self.step += 1
                self.elapsed = time.perf_counter() - began
                bar.update()
                if self.step % training.validate_every == 0 or self.step == training.steps:
                    bar.set_postfix(loss=f"{self._record():.4g}")
                if self.step % training.checkpoint_every == 0 and self.step < training.steps:
                    self._save()
                if self.step % STEPS_BETWEEN_STOP_CHECKS == 0 and self.communicator.any(self.stop.requested):
                    self._save()
                    self.stop.check("the fit", requested=True)
        score = self.optimization.result()
        about = {"settings": json.dumps(self.settings), "objective": repr(self.pool.objective)}
        score.history = self.history.dataset(about)
        return score

    def _advance(self) -> Tensor:
        """Do one optimiser step and return this rank's part of the mean loss."""
        samples = self.pool.samples(self.step)
        noise = Streams(self.seed, f"fit/probes/{self.communicator.rank}").generator(self.step, self.device)
        # Ranks have equal parts, together the batch or a few samples more.
        together = len(samples) * self.communicator.size
        loss = self._losses(self.optimization.score, samples, noise).sum() / together
        try:
            self.optimization.step(loss, self.communicator)
        except ArithmeticError as error:
            raise NumericalError(
                f"training diverged at step {self.step + 1}: {error}; try a lower learning_rate."
            ) from error
        return loss.detach().double()

    def _losses(self, score: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        losses = self.pool.objective.loss(score, samples, generator)
        return losses if samples.importance is None else losses * samples.importance

    @property
    def device(self) -> torch.device:
        """Where the training takes place."""
        return self.pool.batches.states.device

    @functools.cached_property
    def _held_out(self) -> Samples:
        return self.pool.held_out(VALIDATION_SAMPLES)

    @torch.no_grad()
    def _record(self) -> float:
        """Add an entry to the history and return its training loss."""
        training = self.optimization.training
        probes = Streams(self.seed, "fit/probes of validation").generator(0, self.device)
        losses = self._losses(self.optimization.averaged, self._held_out, probes).double()
        summed = self.total.cpu().numpy().reshape(1)
        self.communicator.sum_in_place(summed)
        recorded = self.history.steps[-1] if self.history.steps else 0
        mean_loss = float(summed[0]) / (self.step - recorded)
        self.history.record(
            self.step,
            training_loss=mean_loss,
            validation_loss=float(losses.mean()),
            validation_standard_error=float(losses.std()) / len(losses) ** 0.5,
            learning_rate=training.learning_rate_after(self.step),
            elapsed=self.elapsed,
        )
        self.total.zero_()
        return mean_loss

    def _save(self) -> None:
        summed = self.total.cpu().numpy().reshape(1)
        self.communicator.sum_in_place(summed)
        if self.folder is None or self.communicator.rank > 0:
            return
        content = {
            "settings": self.settings,
            "step": self.step,
            "total": float(summed[0]),
            "elapsed": self.elapsed,
            "history": dataclasses.asdict(self.history),
            "optimization": self.optimization.state(),
        }
        write_checkpoint(self.folder, self.step, content)

    def _resume(self) -> None:
        # A GPU keeps the running loss to itself until it is recorded; fetching it each step would stall it.
        self.total = torch.zeros((), dtype=torch.float64, device=self.device)
        content = None if self.folder is None else latest_checkpoint(self.folder, self.device)
        self.communicator.barrier()
        if content is None:
            return
        changed = differences(content["settings"], self.settings)
        if changed:
            raise ValueError(f"{self.folder} holds an unfinished fit with other settings ({'; '.join(changed)}).")
        self.step, self.elapsed = content["step"], content["elapsed"]
        self.history = History(**content["history"])
        self.optimization.restore(content["optimization"])
        if self.communicator.rank == 0:
            self.total += content["total"]
