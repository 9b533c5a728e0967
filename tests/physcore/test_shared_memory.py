"""What ranks write into memory that they have in common is read by all, and each may change what it read."""

import os

import numpy as np
import pytest

from physcore.communicator import SerialCommunicator
from physcore.shared_memory import shared_array


def test_parts_are_read_as_a_whole_that_is_the_reader_s_own() -> None:
    expected = np.zeros((2, 3, 5000), np.float32)
    with shared_array(expected.shape, np.float32, SerialCommunicator()) as shared:
        assert shared is not None
        for corner, shape in (((0, 1, 7), (2, 2, 4000)), ((0, 0, 4007), (1, 1, 993))):
            part = np.random.default_rng(3).normal(size=shape).astype(np.float32)
            shared.write(part, corner)
            expected[tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))] = part
        mine, theirs = shared.read(), shared.read()
    np.testing.assert_array_equal(mine, expected)
    mine += 1
    np.testing.assert_array_equal(theirs, expected)
    assert not np.array_equal(mine, expected)


def test_no_descriptor_is_left_when_all_is_forgotten() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with shared_array((10,), np.float64, SerialCommunicator()) as shared:
        assert shared is not None
        assert shared.read().sum() == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_such_files_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with shared_array((10,), np.float64, SerialCommunicator()) as shared:
        assert shared is None


def test_a_file_that_cannot_be_so_large_is_not_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, size: int) -> None:
        raise OSError

    monkeypatch.setattr(os, "truncate", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with shared_array((10,), np.float64, SerialCommunicator()) as shared:
        assert shared is None
    assert len(os.listdir("/proc/self/fd")) == before
