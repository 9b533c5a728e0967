"""Threads do the same work side by side, each taking what is left of it."""

import threading

import pytest
import torch

from physcore.stepping import Threads


def test_all_threads_share_what_there_is_to_do_and_their_numbers_are_added() -> None:
    met, left = threading.Barrier(3), iter(range(100))

    def work() -> int:
        met.wait(600)  # all of them are at work at once, or this fails
        return sum(left)

    with Threads(3) as threads:
        assert threads.begin(work)() == sum(range(100))


def test_the_next_work_begins_before_the_last_is_waited_for() -> None:
    go = threading.Event()
    with Threads(2) as threads:
        first = threads.begin(lambda: int(go.wait(600)))
        second = threads.begin(lambda: 10)
        go.set()
        assert (second(), first()) == (20, 2)


def test_a_single_thread_is_the_caller_and_works_at_once() -> None:
    done: list[threading.Thread] = []

    def work() -> int:
        done.append(threading.current_thread())
        return 7

    with Threads(1) as threads:
        wait = threads.begin(work)
        assert done == [threading.current_thread()]
        assert wait() == wait() == 7
    assert Threads().count == torch.get_num_threads()


def test_an_error_is_raised_by_who_waits_and_no_thread_is_left_behind() -> None:
    def work() -> int:
        raise ArithmeticError("diverged")

    with Threads(2) as threads, pytest.raises(ArithmeticError, match="diverged"):
        threads.begin(work)()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("physcore")]
