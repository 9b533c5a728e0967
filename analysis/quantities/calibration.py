r"""How reliable error bars are: the standard error that paths predict against what the scatter of blocks shows.

.. math:: \sigma_{\rm blocks}^2 = \frac{1}{B (B - 1)} \sum_{b=1}^B \left(a_b - \bar a\right)^2, \qquad
          \frac{\sigma_{\rm blocks}}{\sigma} \approx 1 \pm \frac{1}{\sqrt{2 (B - 1)}}

for the values :math:`a_b` of independent blocks, where these are nearly normal. A ratio that lies beyond says that
the error bars are too short or too long.

Source: standard error of a standard deviation: Cochran, Sampling Techniques (1977), section 2.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr

__all__ = ["calibration"]

BOTH = ("standard_error", "block_standard_error")


def calibration(comparison: xr.DataTree) -> xr.Dataset:
    """Return predicted and observed standard errors of all estimates of a comparison.

    Arguments:
        comparison: What ``evaluate`` returned.

    Returns:
        Dataset with dimension ``quantity``: ``value``, the root mean square over the estimates of a quantity of the
        observed over the predicted standard error, with ``standard_error``, that of estimates of which all are
        dependent; and with dimension ``estimate`` all ``predicted`` and ``observed`` ones, and ``of``, the index of
        their quantity. Estimates without a scatter are left out.
    """
    predicted, observed, of, values, errors = [], [], [], [], []
    names: list[str] = []
    for name, group in _groups(comparison):
        expected, seen = (np.asarray(group[key].values, dtype=np.float64).ravel() for key in BOTH)
        known = np.isfinite(expected) & np.isfinite(seen) & (expected > 0) & (seen > 0)
        if not known.any() or np.allclose(expected[known], seen[known], rtol=1e-3):  # the errors are those of blocks
            continue
        ratios = seen[known] / expected[known]
        predicted.append(expected[known])
        observed.append(seen[known])
        of.append(np.full(len(ratios), len(names)))
        names.append(name)
        values.append(np.sqrt(np.mean(ratios**2)))
        errors.append(values[-1] / np.sqrt(2 * (int(group.attrs["blocks"]) - 1)))
    empty = [np.zeros(0)]
    texts = {
        "value": ("quantity", np.array(values), "observed over predicted standard error, root mean square"),
        "standard_error": ("quantity", np.array(errors), "standard error of value"),
        "predicted": ("estimate", np.concatenate(predicted or empty), "standard error predicted from paths"),
        "observed": ("estimate", np.concatenate(observed or empty), "standard error seen in the scatter of blocks"),
        "of": ("estimate", np.concatenate(of or empty).astype(np.int64), "index of the quantity"),
    }
    return xr.Dataset(
        {name: (dim, numbers, {"long_name": text, "units": "1"}) for name, (dim, numbers, text) in texts.items()},
        {"quantity": np.array(names, dtype=str)},
        {"blocks": int(comparison.attrs.get("blocks", 0))},
    )


def _groups(comparison: xr.DataTree) -> Iterator[tuple[str, xr.Dataset]]:
    yield "score error", comparison.to_dataset()
    for name, group in comparison.children.items():
        if set(BOTH) <= set(group.data_vars):
            yield name, group.to_dataset()
