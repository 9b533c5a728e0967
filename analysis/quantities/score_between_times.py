r"""A reference's score at all times, from those at which it was computed.

.. math:: s(x, t) = (1 - a)\,s(x, t_i) + a\,s(x, t_{i + 1}), \qquad a = \frac{t - t_i}{t_{i + 1} - t_i}

Error: of second order in the distance of the times over that in which the law changes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.score.score_function import ScoreFunction

__all__ = ["ScoreBetweenTimes", "at_all_times"]


@dataclasses.dataclass(frozen=True)
class ScoreBetweenTimes:
    """A score that is linear in time between some times.

    Arguments:
        score_at: The score at these times; where it knows nothing of a state, 0 is given.
        times: The times, increasing; before the first and after the last it stays.
    """

    score_at: ScoreFunction
    times: tuple[float, ...]

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the score; see ``ScoreFunction.score``."""
        moment = float(np.clip(float(time), self.times[0], self.times[-1]))
        after = min(int(np.searchsorted(self.times, moment, side="right")), len(self.times) - 1)
        earlier, later = self.times[max(after - 1, 0)], self.times[after]
        share = (moment - earlier) / (later - earlier) if later > earlier else 0.0
        found = torch.zeros_like(state)
        for weight, known in ((1 - share, earlier), (share, later)):
            if weight > 0:
                found += weight * torch.nan_to_num(self.score_at.score(state, torch.tensor(known, dtype=torch.float64)))
        return found


def at_all_times(
    reference: Reference, saved: Sequence[float], last: float, communicator: Communicator | None = None
) -> tuple[ScoreFunction, float]:
    """Return a reference's score at all times up to some, and the first time from which it is known.

    Arguments:
        reference: The reference; it is prepared for the times that it needs.
        saved: Times of the simulated frames, increasing.
        last: The last time that will be asked for.
        communicator: Ranks that share what the reference has to do; serial when None.
    """
    times = reference.supporting_times([time for time in saved if time <= last * (1 + 1e-9)])
    if times is None:
        return reference, float(saved[0])
    reference.prepare(times, communicator)
    return ScoreBetweenTimes(reference, tuple(times)), float(times[0])
