"""Samples made many steps ahead, from which each step of a fit takes its part.

What a sample holds does not depend on the parameters, so it is made for many steps in one sweep and shuffled: a step
is then the network's own work.
"""

import dataclasses

import torch

from physcore.communicator import Communicator
from physcore.score.batches import TrajectoryBatches
from physcore.score.model import ScoreModel
from physcore.score.objectives import Objective, Sampler, Samples
from physcore.streams import Streams

__all__ = ["SamplePool"]

MOST_STEPS = 64
LARGEST_POOL = 16_000_000  # numbers


@dataclasses.dataclass(kw_only=True)
class SamplePool:
    """Makes the samples of a fit, the same for the same seed and step wherever it starts.

    Arguments:
        batches: Where simulated states come from.
        objective: What makes samples of them.
        model: What prepares them.
        seed: Seed of the fit.
        communicator: Ranks that share each step's samples; each makes its own.
    """

    batches: TrajectoryBatches
    objective: Objective
    model: ScoreModel
    seed: int
    communicator: Communicator
    _sampler: Sampler = dataclasses.field(init=False)
    _index: int = dataclasses.field(init=False, default=-1)
    _samples: Samples = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._sampler = self.objective.sampler(self.batches.process)

    @property
    def steps(self) -> int:
        """Number of steps that one pool serves."""
        numbers = self.batches.training.batch * self.batches.process.dimension**2
        return max(1, min(MOST_STEPS, LARGEST_POOL // numbers))

    def samples(self, step: int) -> Samples:
        """Return this rank's samples of a step."""
        index, place = divmod(step, self.steps)
        if index != self._index:
            self._samples, self._index = self._made(index), index
        mine = len(self._samples) // self.steps
        return self._samples.rows(slice(place * mine, (place + 1) * mine))

    @torch.no_grad()
    def held_out(self, samples: int) -> Samples:
        """Return samples of held-out paths, always the same."""
        generator = Streams(self.seed, "fit/validation").generator(0, self.batches.states.device)
        states = -(-samples // self.objective.samples_per_state)
        batch = self.batches.draw(states, self.batches.held_out_paths, self.objective, generator)
        return self.objective.prepared(self.model, self._sampler(batch, generator))

    @torch.no_grad()
    def _made(self, index: int) -> Samples:
        batches, rank, ranks = self.batches, self.communicator.rank, self.communicator.size
        device = batches.states.device
        # The states are the same on every rank; each makes the samples of its own part.
        wanted = -(-batches.training.batch // ranks) * self.steps
        states = -(-wanted // self.objective.samples_per_state)
        common = Streams(self.seed, "fit/batch").generator(index, device)
        batch = batches.draw(states * ranks, batches.training_paths, self.objective, common)
        own = Streams(self.seed, f"fit/noise/{rank}").generator(index, device)
        samples = self._sampler(batch.rows(slice(rank * states, (rank + 1) * states)), own)
        # Samples of one state lie side by side, and would otherwise meet in one step.
        order = torch.randperm(len(samples), generator=own, device=device)[:wanted]
        return self.objective.prepared(self.model, samples.rows(order))
