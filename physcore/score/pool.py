"""Samples made many steps ahead, from which each step of a fit takes its part.

What a sample holds does not depend on the parameters, so samples are made for many steps in one sweep, and shuffled
where they come side by side. What the model makes of them is made for a few steps at a time, as many as stay in a
processor's cache. A step is then the network's own work.
"""

import dataclasses

import torch

from physcore.communicator import Communicator
from physcore.score.importance import TimeProposal
from physcore.score.model import ScoreModel
from physcore.score.objectives import Objective, Sampler, Samples
from physcore.score.source import Source
from physcore.score.training import Training
from physcore.streams import Streams

__all__ = ["SamplePool"]

MOST_STEPS = 64
LARGEST_POOL = 16_000_000  # numbers
HELD_OUT_SAMPLES = 16_384
PILOT_SAMPLES = 65_536
CACHED_NUMBERS = 65_536  # states of the samples that are prepared at once on a CPU


@dataclasses.dataclass(kw_only=True)
class SamplePool:
    """Makes the samples of a fit, the same for the same seed and step wherever it starts.

    Arguments:
        source: Where simulated states come from.
        objective: What makes samples of them.
        model: What prepares them.
        training: Size of a step and of a round, and how times are drawn.
        seed: Seed of the fit.
        communicator: Ranks that share each step's samples; each makes its own.
    """

    source: Source
    objective: Objective
    model: ScoreModel
    training: Training
    seed: int
    communicator: Communicator
    proposal: TimeProposal | None = dataclasses.field(init=False, default=None)
    _sampler: Sampler = dataclasses.field(init=False)
    _index: int = dataclasses.field(init=False, default=-1)
    _samples: Samples = dataclasses.field(init=False)
    _piece: int = dataclasses.field(init=False, default=-1)
    _prepared: Samples = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._sampler = self.objective.sampler(self.source.held_out.process)
        if self.training.importance_sampling:
            self.proposal = self._measured()

    @property
    def steps(self) -> int:
        """Number of steps that one pool serves."""
        numbers = self.training.batch * self.source.held_out.process.dimension**2
        return max(1, min(MOST_STEPS, self.training.steps_per_round, LARGEST_POOL // numbers))

    @property
    def steps_prepared(self) -> int:
        """Number of steps whose samples are prepared at once."""
        device, dimension = self.source.held_out.states.device, self.source.held_out.process.dimension
        few = max(1, CACHED_NUMBERS * self.communicator.size // (self.training.batch * dimension))
        return min(self.steps, few) if device.type == "cpu" else self.steps

    @torch.no_grad()
    def samples(self, step: int) -> Samples:
        """Return this rank's samples of a step."""
        index, place = divmod(step, self.steps)
        if index != self._index:
            self._samples, self._index, self._piece = self._made(index), index, -1
        mine = len(self._samples) // self.steps
        piece, place = divmod(place, self.steps_prepared)
        together = mine * self.steps_prepared
        if piece != self._piece:
            samples = self._samples.rows(slice(piece * together, (piece + 1) * together))
            self._prepared, self._piece = self.objective.prepared(self.model, samples), piece
        return self._prepared.rows(slice(place * mine, (place + 1) * mine))

    @torch.no_grad()
    def held_out(self) -> Samples:
        """Return samples of held-out paths, always the same."""
        batches = self.source.held_out
        generator = Streams(self.seed, "fit/validation").generator(0, batches.states.device)
        states = -(-HELD_OUT_SAMPLES // self.objective.samples_per_state)
        batch = batches.draw(states, batches.held_out_paths, self.objective, generator)
        return self.objective.prepared(self.model, self._sampler(batch, generator))

    @torch.no_grad()
    def _made(self, index: int) -> Samples:
        rank, ranks = self.communicator.rank, self.communicator.size
        batches = self.source.round(index // -(-self.training.steps_per_round // self.steps))
        device = batches.states.device
        # The states are the same on every rank; each makes the samples of its own part.
        wanted = -(-self.training.batch // ranks) * self.steps
        states = -(-wanted // self.objective.samples_per_state)
        common = Streams(self.seed, "fit/batch").generator(index, device)
        batch = batches.draw(states * ranks, batches.training_paths, self.objective, common, self.proposal)
        own = Streams(self.seed, f"fit/noise/{rank}").generator(index, device)
        samples = self._sampler(batch.rows(slice(rank * states, (rank + 1) * states)), own)
        if len(samples) == wanted and self.objective.samples_per_state == self.objective.states_per_time == 1:
            return samples
        # Samples of one state, or of one time, lie side by side, and would otherwise meet in one step.
        order = torch.randperm(len(samples), generator=own, device=device)[:wanted]
        return samples.rows(order)

    def _measured(self) -> TimeProposal:
        """Return the proposal for the losses of the score as it stands, the same on every rank."""
        batches = self.source.round(0)
        device = batches.states.device
        generator = Streams(self.seed, "fit/pilot").generator(0, device)
        states = -(-PILOT_SAMPLES // self.objective.samples_per_state)
        with torch.no_grad():
            batch = batches.draw(states, batches.training_paths, self.objective, generator)
            samples = self.objective.prepared(self.model, self._sampler(batch, generator))
        losses = self.objective.loss(self.model, samples, generator).detach()
        density = TimeProposal.measured(batches.places(self.objective, samples.time), losses).density
        common = self.communicator.broadcast(density.tolist())
        return TimeProposal(torch.tensor(common, dtype=torch.float64, device=device))
