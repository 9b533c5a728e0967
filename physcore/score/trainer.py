"""A fit under way: steps, validations, checkpoints, and when it ends."""

import dataclasses
import functools
import json
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from physcore.communicator import Communicator
from physcore.errors import NumericalError
from physcore.score.checkpoint import BEST_SCORE, SNAPSHOTS, latest_checkpoint, save_score, write_checkpoint
from physcore.score.history import History
from physcore.score.model import ScoreModel
from physcore.score.objectives import Samples
from physcore.score.optimization import Optimization
from physcore.score.pool import SamplePool
from physcore.score.selection import Selection
from physcore.score.training import Training
from physcore.stopping import StopRequest
from physcore.storage.manifest import differences
from physcore.storage.publishing import publish_text
from physcore.streams import Streams

__all__ = ["Trainer"]

STEPS_BETWEEN_LOOKS = 50


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """A fit under way.

    Arguments:
        pool: Where samples come from, and the objective with them.
        optimization: Score, averaged score and optimiser.
        seed: Seed of the batches and noises.
        settings: What fixes the fit; checkpoints of other settings are refused.
        communicator: Ranks that share each batch.
        folder: Folder of the checkpoints, None for none.
        metrics: File of the history as comma-separated values, None for none.
        stop: Asked every few steps.
        step: Steps done.
        elapsed: Seconds of training.
        tally: Since the last entry of the history: sum of this rank's losses, then steps skipped, then of these those
            where each rank had something that is not finite; shape ``(2 + rank,)``.
        history: What was recorded.
        selection: The best parameters so far.
    """

    pool: SamplePool
    optimization: Optimization
    seed: int
    settings: dict[str, str | int]
    communicator: Communicator
    folder: Path | None
    metrics: Path | None
    stop: StopRequest
    step: int = 0
    elapsed: float = 0.0
    tally: Tensor = dataclasses.field(init=False)
    history: History = dataclasses.field(default_factory=History)
    selection: Selection = dataclasses.field(init=False)

    def run(self) -> ScoreModel:
        """Train from the newest checkpoint, or from the start, to the last step or until nothing improves."""
        training = self.training
        self._resume()
        began, before = time.perf_counter() - self.elapsed, self.step
        bar = tqdm(
            total=training.steps,
            initial=before,
            desc="fit",
            unit="step",
            disable=None if self.communicator.rank == 0 else True,
        )
        with bar:
            while self.step < training.steps and not self._exhausted:
                self._advance()
                self.step += 1
                self.elapsed = time.perf_counter() - began
                bar.update()
                validated = self.step % training.validate_every == 0 or self.step == training.steps
                if validated or self.step % STEPS_BETWEEN_LOOKS == 0:
                    self._look()
                if validated:
                    bar.set_postfix(loss=f"{self._record():.4g}")
                if self.step % training.checkpoint_every == 0 and self.step < training.steps:
                    self._save()
                if self.step % STEPS_BETWEEN_LOOKS == 0 and self.communicator.any(self.stop.requested):
                    self._save()
                    self.stop.check("the fit", requested=True)
        return self._result()

    @property
    def training(self) -> Training:
        """The settings."""
        return self.optimization.training

    @property
    def device(self) -> torch.device:
        """Where the training takes place."""
        return self.optimization.average.device

    @property
    def _exhausted(self) -> bool:
        return self.training.patience is not None and self.selection.waited >= self.training.patience

    def _advance(self) -> None:
        """Do one optimiser step and count its loss."""
        samples = self.pool.samples(self.step)
        noise = Streams(self.seed, f"fit/probes/{self.communicator.rank}").generator(self.step, self.device)
        losses = self._losses(self.optimization.score, samples, noise)
        # Ranks have equal parts, together the batch or a few samples more.
        loss = losses.sum() / (len(samples) * self.communicator.size)
        skipped, ranks = self.optimization.step(loss, self.step)
        counted = torch.where(skipped > 0, 0.0, loss.detach())
        # A GPU keeps the tally to itself until it is looked at; fetching it each step would stall it.
        self.tally += torch.cat([counted.reshape(1), skipped.reshape(1), ranks])

    def _losses(self, score: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        losses = self.pool.objective.loss(score, samples, generator)
        return losses if samples.importance is None else losses * samples.importance

    @property
    def _since(self) -> int:
        """Steps done since the last entry of the history."""
        return self.step - (self.history.steps[-1] if self.history.steps else 0)

    def _look(self) -> None:
        """End the fit if more steps were skipped than may be; every rank sees the same."""
        skipped, *ranks = self.tally[1:].tolist()
        if skipped > self.training.bad_steps or skipped == self._since:
            bad = ", ".join(str(rank) for rank, count in enumerate(ranks) if count) or "all together"
            best = "" if self.folder is None or self.selection.step == 0 else f"; {self.folder / BEST_SCORE} is kept"
            raise NumericalError(
                f"training diverged: loss or gradient were not finite, on rank {bad}, in {skipped:.0f} of the "
                f"{self._since} steps before step {self.step}{best}; try a lower learning_rate."
            )

    @functools.cached_property
    def _held_out(self) -> Samples:
        return self.pool.held_out()

    @torch.no_grad()
    def _validated(self) -> Tensor:
        """Return the loss of the averaged parameters for each held-out sample."""
        probes = Streams(self.seed, "fit/probes of validation").generator(0, self.device)
        return self._losses(self.optimization.averaged, self._held_out, probes).double()

    def _record(self) -> float:
        """Add an entry to the history and return its training loss."""
        losses = self._validated()
        summed, skipped = self._summed_loss(), float(self.tally[1])
        mean_loss = summed / (self._since - skipped)
        self.history.record(
            self.step,
            training_loss=mean_loss,
            validation_loss=float(losses.mean()),
            validation_standard_error=float(losses.std()) / len(losses) ** 0.5,
            learning_rate=self.training.learning_rate_after(self.step),
            skipped=skipped,
            elapsed=self.elapsed,
        )
        self.tally.zero_()
        best = self.selection.offer(self.step, self.optimization.average, losses)
        if self.communicator.rank == 0:
            if best and self.folder is not None and self.step < self.training.steps:  # then the result is at hand
                self.folder.mkdir(parents=True, exist_ok=True)
                save_score(self.optimization.averaged, self.folder / BEST_SCORE)
            if self.folder is not None and self.step in self.training.snapshot_steps:
                snapshots = self.folder / SNAPSHOTS
                snapshots.mkdir(parents=True, exist_ok=True)
                save_score(self.optimization.averaged, snapshots / f"step{self.step:08d}.pt")
            if self.metrics is not None:
                self.metrics.parent.mkdir(parents=True, exist_ok=True)
                publish_text(self.metrics, self.history.csv())
        return mean_loss

    def _summed_loss(self) -> float:
        summed = self.tally[:1].clone()
        self.communicator.sum_tensor(summed)
        return float(summed)

    def _result(self) -> ScoreModel:
        step, parameters = self.selection.result(self.step, self.optimization.average, self._validated())
        score = self.optimization.result(parameters)
        about = {"settings": json.dumps(self.settings), "objective": repr(self.pool.objective), "result_step": step}
        score.history = self.history.dataset(about)
        return score

    def _save(self) -> None:
        summed = self._summed_loss()
        if self.folder is None or self.communicator.rank > 0:
            return
        content = {
            "settings": self.settings,
            "step": self.step,
            "tally": [summed, *self.tally[1:].tolist()],
            "elapsed": self.elapsed,
            "history": dataclasses.asdict(self.history),
            "selection": self.selection.state(),
            "optimization": self.optimization.state(),
        }
        write_checkpoint(self.folder, self.step, content)

    def _resume(self) -> None:
        self.tally = torch.zeros(2 + self.communicator.size, dtype=torch.float64, device=self.device)
        self.selection = Selection(self.training.significance)
        content = None if self.folder is None else latest_checkpoint(self.folder, self.device)
        self.communicator.barrier()
        if content is None:
            return
        changed = differences(content["settings"], self.settings)
        if changed:
            raise ValueError(f"{self.folder} holds an unfinished fit with other settings ({'; '.join(changed)}).")
        self.step, self.elapsed = content["step"], content["elapsed"]
        self.history = History(**content["history"])
        self.selection = Selection(**content["selection"])
        self.optimization.restore(content["optimization"])
        counted = torch.tensor(content["tally"], dtype=torch.float64, device=self.device)
        ranks = min(len(counted), len(self.tally))  # the number of ranks may have changed
        self.tally[:ranks] = counted[:ranks]
        if self.communicator.rank > 0:
            self.tally[0] = 0.0
