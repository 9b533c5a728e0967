r"""Relative score errors of a study, averaged over the cells that differ in something else.

.. math:: \bar\epsilon = \frac1n \sum_{i=1}^n \epsilon_i, \qquad
          \sigma_{\bar\epsilon} = \sqrt{\frac{1}{n (n - 1)} \sum_{i=1}^n \left(\epsilon_i - \bar\epsilon\right)^2}

over the :math:`n` cells that share a place on the axes of interest: repetitions with other seeds, as a rule. The
scatter holds the noise of the training, which the standard error within one cell does not know. A cell alone keeps
its own standard error.
"""

from collections.abc import Sequence

import xarray as xr

__all__ = ["study_axes", "study_error"]


def study_axes(study: xr.Dataset, *, repetitions: bool = True) -> list[str]:
    """Return the names of the axes of a study.

    Arguments:
        study: Joined results, as ``open_study`` reads them.
        repetitions: Whether an axis along which the seed alone varies is one of them. It always is where there is no
            other.
    """
    axes = [str(dim) for dim in study["state"].dims]
    others = [name for name in axes if repetitions or study[name].attrs["keys"] != "seed"]
    return others or axes


def study_error(
    study: xr.Dataset, along: Sequence[str] | None = None, *, reference: str, selection: str | None = None
) -> xr.Dataset:
    """Return relative score errors along some axes of a study, as means over the others.

    Arguments:
        study: Joined results, as ``open_study`` reads them.
        along: Names of the axes to keep, in this order; all but repetitions with other seeds when None.
        reference: Name of the reference.
        selection: Components to look at; when None ``full``, or ``driven`` where no cell learned the full score.

    Returns:
        Dataset with the dimensions ``along`` and ``time``: mean error ``value`` over the cells that have one, its
        ``standard_error``, NaN where there is none, and their number ``cells``. Times at which no cell has a value
        are left out; attributes name the selection and the axes that were averaged over.

    Raises:
        ValueError: If there are no comparisons, or an axis, the reference or the selection is unknown.
    """
    if "value" not in study or "reference" not in study.dims:
        raise ValueError("`study` must hold comparisons; give its run the section `compare`.")
    axes = study_axes(study)
    along = study_axes(study, repetitions=False) if along is None else list(along)
    unknown = [name for name in along if name not in axes]
    if unknown:
        raise ValueError(f"`along` must name axes of the study, {', '.join(axes)}; got {unknown}.")
    if reference not in study["reference"]:
        raise ValueError(f"`reference` must be one of {list(study['reference'].values)}; got {reference!r}.")
    errors = study[["value", "standard_error"]].sel(reference=reference)
    if selection is None:
        selection = "full" if errors["value"].sel(selection="full").notnull().any() else "driven"
    if selection not in study["selection"]:
        raise ValueError(f"`selection` must be one of {list(study['selection'].values)}; got {selection!r}.")
    errors = errors.sel(selection=selection)
    others = [name for name in axes if name not in along]
    cells = errors["value"].notnull().sum(others)
    mean = errors["value"].mean(others)
    squares = ((errors["value"] - mean) ** 2).sum(others)
    scatter = (squares / (cells * (cells - 1)).where(cells > 1)) ** 0.5
    alone = errors["standard_error"].where(errors["value"].notnull()).mean(others)
    result = xr.Dataset({"value": mean, "standard_error": scatter.where(cells > 1, alone), "cells": cells})
    kept = result.sel(time=(cells > 0).any([*along])).transpose(*along, "time")
    kept["value"].attrs = {"long_name": "relative score error", "units": "1"}
    kept["standard_error"].attrs = {"long_name": "standard error of value", "units": "1"}
    kept["cells"].attrs = {"long_name": "cells that were averaged over"}
    return kept.assign_attrs(reference=reference, selection=selection, averaged=" ".join(others))
