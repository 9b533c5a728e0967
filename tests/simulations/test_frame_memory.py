"""Memory for frames is lent, taken back and lent again."""

import torch

from physcore.stepping import Threads
from simulations.frame_memory import FrameMemory, new_memory


def test_what_is_given_back_is_lent_again_and_what_is_lent_is_nobody_else_s() -> None:
    memory = FrameMemory(torch.float64)
    first, second = memory.lend((2, 3, 1000)), memory.lend((2, 3, 1000))
    first.fill_(1.0)
    second.fill_(2.0)
    assert bool((first == 1.0).all())
    assert first.shape == (2, 3, 1000)
    assert first.dtype == torch.float64
    place = first.data_ptr()
    memory.give_back(first)
    assert memory.lend((2, 2, 500)).data_ptr() == place, "a smaller part of it fits too"
    assert memory.lend((2, 3, 1000)).data_ptr() not in (place, second.data_ptr())


def test_more_than_what_is_free_is_made_anew() -> None:
    memory = FrameMemory(torch.float32)
    memory.give_back(memory.lend((1, 1, 10)))
    assert memory.lend((2, 5, 100)).shape == (2, 5, 100)


def test_new_memory_of_any_size_is_there_when_waited_for() -> None:
    with Threads(2) as threads:
        for shape in ((1, 1, 1), (2, 101, 5000)):
            tensor, there = new_memory(shape, torch.float32, threads)
            there()
            assert tensor.shape == shape
            assert bool((tensor.flatten()[:: 4096 // 4] == 0).all())
