"""Means over the cells of a study and their standard errors."""

import numpy as np
import pytest
import xarray as xr

from analysis import study_error

DIMS = ("lag", "seed", "reference", "selection", "time")


def study(value: np.ndarray, own: float = 0.5) -> xr.Dataset:
    """Return joined results with errors of shape ``(lag, seed)``, twice as large at the second time."""
    spread = value[:, :, None, None, None] * np.array([1.0, 2.0])
    spread = np.broadcast_to(spread, (*value.shape, 1, 2, 2)).copy()
    return xr.Dataset(
        {
            "value": (DIMS, spread),
            "standard_error": (DIMS, np.full(spread.shape, own)),
            "state": (("lag", "seed"), np.isfinite(value).astype(np.int8)),
        },
        {
            "lag": ("lag", 0.1 + 0.1 * np.arange(len(value)), {"keys": "fit.objective.lag"}),
            "seed": ("seed", np.arange(value.shape[1]), {"keys": "seed"}),
            "reference": ["exact"],
            "selection": ["full", "driven"],
            "time": [1.0, 2.0],
        },
    )


def test_repetitions_are_averaged_with_the_standard_error_of_their_scatter() -> None:
    values = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    mean = study_error(study(values), reference="exact")
    assert mean["value"].dims == ("lag", "time")
    np.testing.assert_allclose(mean["value"].sel(time=1.0), [3, 4])
    np.testing.assert_allclose(mean["value"].sel(time=2.0), [6, 8])
    np.testing.assert_allclose(mean["standard_error"].sel(time=1.0), values.std(1, ddof=1) / np.sqrt(3))
    assert (mean["cells"] == 3).all()
    assert mean.attrs == {"reference": "exact", "selection": "full", "averaged": "seed"}


def test_the_standard_error_is_that_of_the_mean_of_independent_cells() -> None:
    draws = np.random.default_rng(3).normal(5, 1, (1000, 8))
    mean = study_error(study(draws), reference="exact").sel(time=1.0)
    z = (mean["value"].values - 5) / mean["standard_error"].values
    # Student's t of 7 degrees of freedom has variance 7/5.
    assert np.mean(z**2) == pytest.approx(7 / 5, rel=0.3)


def test_a_cell_alone_keeps_its_own_standard_error_and_a_place_without_one_has_none() -> None:
    mean = study_error(study(np.array([[1.0, np.nan], [np.nan, np.nan]])), reference="exact")
    np.testing.assert_array_equal(mean["value"].sel(time=1.0), [1, np.nan])
    np.testing.assert_array_equal(mean["standard_error"].sel(time=1.0), [0.5, np.nan])
    assert mean["cells"].sel(time=1.0).values.tolist() == [1, 0]


def test_axes_are_kept_as_asked_and_times_without_a_value_are_left_out() -> None:
    given = study(np.array([[1.0, 2.0], [3.0, 4.0]]))
    given["value"][..., 1] = np.nan
    given["value"].loc[{"selection": "full"}] = np.nan
    each = study_error(given, ["seed", "lag"], reference="exact")
    assert each["value"].dims == ("seed", "lag", "time")
    assert each["time"].values.tolist() == [1.0]
    assert each.attrs["selection"] == "driven", "the full score was not learned"
    np.testing.assert_array_equal(each["value"][..., 0], [[1, 3], [2, 4]])
    whole = study_error(given, [], reference="exact")
    assert float(whole["value"].squeeze()) == 2.5


def test_a_study_of_seeds_alone_has_them_for_its_axis() -> None:
    given = study(np.array([[1.0, 2.0], [3.0, 4.0]])).isel(lag=0, drop=True)
    assert study_error(given, reference="exact")["value"].dims == ("seed", "time")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"reference": "grid"}, "'exact'"),
        ({"reference": "exact", "along": ["lags"]}, "lag, seed"),
        ({"reference": "exact", "selection": "x"}, "driven"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(words: dict[str, str], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        study_error(study(np.ones((2, 2))), **words)


def test_a_study_without_comparisons_has_no_errors() -> None:
    with pytest.raises(ValueError, match="compare"):
        study_error(study(np.ones((2, 2))).drop_vars("value"), reference="exact")
