"""A density as a file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from physcore.errors import DataFileError
from physcore.kernel_exponential_family import DeepKernelExponentialFamily, load_family, save_family


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_density_survives_a_file(
    family: DeepKernelExponentialFamily, points: Tensor, tmp_path: Path, dtype: torch.dtype
) -> None:
    family = family.to(dtype)
    family.log_normalizer.fill_(0.7)
    save_family(family, tmp_path / "density.pt")
    loaded = load_family(tmp_path / "density.pt")
    assert loaded.inducing.dtype is dtype
    assert torch.equal(loaded.score(points), family.score(points))
    assert torch.equal(loaded.log_density(points), family.log_density(points))


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no such file"):
        load_family(tmp_path / "density.pt")
    torch.save({"format": 2}, tmp_path / "score.pt")
    with pytest.raises(DataFileError, match="no kernel exponential family"):
        load_family(tmp_path / "score.pt")
