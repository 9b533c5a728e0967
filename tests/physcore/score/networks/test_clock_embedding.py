"""The embedding of the clock."""

import torch

from physcore.score.networks.clock_embedding import ClockEmbedding


def test_octaves_bring_fast_changes_of_time_to_order_one() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        embedding = ClockEmbedding(clock=1, width=8).double()
    seen: list[torch.Tensor] = []
    embedding.layers[0].register_forward_hook(lambda module, given, result: seen.append(given[0]))
    assert embedding(torch.tensor([[-1.0], [1.0], [0.5], [0.53]]).double()).shape == (4, 8)
    first, last, before, after = seen[0]
    assert (first - last).abs().max() > 1
    assert (before - after).abs().max() > 0.9
    assert (embedding.frequency - torch.pi * torch.tensor([0.5, 1, 2, 4, 8, 16])).abs().max() < 1e-5
