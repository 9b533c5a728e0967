"""Quantities of a comparison: closed forms of a linear process, any number of ranks and pieces, and what is refused."""

import dataclasses
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, FokkerPlanck, GaussianFit, Reference, Reversal, evaluate, kernel_stein_discrepancy
from analysis.command import check_stops
from analysis.comparison import Comparison
from analysis.quantities import blocks as blocks_module
from analysis.quantities.calibration import calibration
from analysis.quantities.quantity import Quantity
from analysis.quantities.score_between_times import at_all_times
from analysis.table import quantity_tables
from physcore import Communicator
from physcore.process import Process
from physcore.registry import build, names
from physcore.score import ScoreModel
from physcore.score.components import Components, Selection
from physcore.score.model import Prepared, Rows, ScoreFrame
from physcore.storage.netcdf import read_tree, write_tree
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, simulate

ROTATION = 1.0
TRAP = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=ROTATION)  # starts in its stationary law, N(0, 1)
TIMES = [0.0, 0.5, 1.0]
REVERSED = {"energy-distance", "sliced-wasserstein-distance", "reversed-density"}


@dataclasses.dataclass(frozen=True)
class Plain(ScoreFrame):
    """No frame at all."""

    learned: Components

    def weight(self, score: Tensor) -> Tensor:
        return self.learned.take(score)

    def unweight(self, weighted: Tensor) -> Tensor:
        return self.learned.place(weighted)

    def rows(self, rows: Rows) -> "Plain":
        return self


class Stretched(ScoreModel):
    """The stationary score of the trap, stretched by one plus a number."""

    def __init__(
        self,
        stretch: float = 0.0,
        process: Process = TRAP,
        time_range: tuple[float, float] = (0.0, 1.0),
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        self.stretch = torch.nn.Parameter(torch.tensor(stretch, dtype=torch.float64))

    @property
    def options(self) -> dict[str, Any]:
        return {}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        return Prepared(-state.unsqueeze(-1), time.unsqueeze(-1), Plain(self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        return self.learned.take((1 + self.stretch) * prepared.features[..., 0])


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(
        TRAP, paths=4000, duration=1.0, dt=0.125, save_every=1, scheme="exact-linear", dtype="float64", seed=1
    )


def quantities(*chosen: str, **options: Any) -> dict[str, Quantity]:
    return {name: build("physcore.quantities", name, options.get(name, {})) for name in chosen}


def every() -> dict[str, Quantity]:
    small = {"bins": 8}
    return quantities(
        *names("physcore.quantities"),
        **{"log-density-error": {"paths": 64}, "probability-current": small, "mean-local-velocity": small},
        **{"reversed-density": small, "score-difference": small},
    )


def evaluated(
    data: xr.Dataset, chosen: dict[str, Quantity], score: ScoreModel | None = None, **more: Any
) -> xr.DataTree:
    more = {"shown": TIMES, "reversal": Reversal(paths=2048, dt=0.1), "blocks": 8, **more}
    return evaluate(
        score or Stretched(), {"exact": Exact(TRAP)}, data.isel(path=slice(2000)), chosen, start=data, **more
    )


@pytest.fixture(scope="module")
def whole(data: xr.Dataset) -> xr.DataTree:
    return evaluated(data, every())


def close(group: xr.Dataset, known: Any, name: str = "value") -> None:
    """Hold an estimate against what is known, within five standard errors, which are small enough to tell."""
    error = "standard_error" if name == "value" else f"{name}_standard_error"
    assert (np.abs(group[name] - known) < 5 * group[error] + 1e-9).all()
    assert np.isfinite(group[name]).all()
    assert float(group[error].max()) < 0.2


def test_every_registered_quantity_is_a_group_of_the_same_layout(whole: xr.DataTree) -> None:
    assert set(whole.children) == set(names("physcore.quantities"))
    assert "value" in whole.to_dataset()
    for name, node in whole.children.items():
        group = node.to_dataset()
        assert group["value"].dims[0] == "score", name
        for other in ("standard_error", "block_standard_error"):
            assert group[other].dims == group["value"].dims, (name, other)
        for variable in ("value", "standard_error", "block_standard_error"):
            assert {"long_name", "units"} <= group[variable].attrs.keys(), (name, variable)
        np.testing.assert_array_equal(group["time"], whole["time"])
        assert np.isfinite(group["value"]).any(), name
        assert not (group["standard_error"] < 0).any()


def test_stationary_linear_answers(whole: xr.DataTree) -> None:
    stein = whole["stein-identities"].to_dataset().sel(score="exact")
    close(stein, stein["expected"])
    close(
        whole["fisher-information"].to_dataset().sel(score="exact"),
        xr.DataArray(np.eye(2), dims=("component", "other")),
    )
    rate = whole["entropy-production-rate"].to_dataset().sel(score="learned")
    close(rate.sel(quantity="total"), 2 * ROTATION**2)
    close(rate.sel(quantity="system"), 0.0)
    assert rate.attrs["parity"] == "all variables even under time reversal"
    entropy = whole["entropy"].to_dataset()
    close(entropy.sel(score="exact"), 1 + math.log(2 * math.pi))
    close(entropy.sel(score="learned"), 1 + math.log(2 * math.pi))
    assert entropy.attrs["method"] == "learned: integral of the rate; exact: mean log density"


def test_the_binned_current_and_velocity_are_those_of_the_rotation(whole: xr.DataTree) -> None:
    velocity = whole["mean-local-velocity"].to_dataset().sel(score="learned", time=TIMES)
    sure = velocity["density"] > 0.05
    # The velocity of a rotation is (-y, x) up to its sense, and linear: its mean in a bin that of the states there.
    for direction, along, sign in (("x0", "x1", -1), ("x1", "x0", 1)):
        wanted = sign * ROTATION * velocity[along]
        width = float(np.diff(velocity[along]).max())
        off = (velocity["value"].sel(direction=direction) - wanted).where(sure)
        assert float(np.abs(off).max()) < width / 2 + 1e-9
    current = whole["probability-current"].to_dataset().sel(score="learned", time=TIMES)
    np.testing.assert_allclose(
        current["value"],
        (velocity["value"].fillna(0.0) * velocity["density"]).transpose(*current["value"].dims),
        atol=1e-12,
    )
    volume = float(np.prod([np.diff(current[name])[0] for name in ("x0", "x1")]))
    assert (np.abs((current["density"].sum(("x0", "x1")) * volume) - 1) < 0.02).all()


def test_the_exact_score_has_no_residual_no_difference_and_no_error_of_its_density(whole: xr.DataTree) -> None:
    assert float(whole["path-residual"]["value"].max()) < 1e-4  # of second order in the spacing of the frames
    assert float(np.abs(whole["score-difference"]["value"]).max()) < 1e-6
    assert float(whole["log-density-error"]["value"].sel(statistic="mean square").max()) < 1e-8


def learned_difference(tree: xr.DataTree) -> xr.Dataset:
    return tree["score-difference"].to_dataset().sel(score="exact")


def test_a_stretched_score_is_seen_by_all_that_can_see_it(data: xr.Dataset) -> None:
    eps = 0.2
    seen = evaluated(data, every(), Stretched(eps))
    np.testing.assert_allclose(seen["value"].sel(selection="full"), eps**2, rtol=1e-6)
    learned = {name: node.to_dataset().isel(score=0) for name, node in seen.children.items()}
    stein = learned["stein-identities"]
    assert float(stein["deviation"].sel(moment="x0", component="x0").mean()) < -5
    close(stein, (1 + eps) * stein["expected"])
    close(learned["fisher-information"], (1 + eps) ** 2 * xr.DataArray(np.eye(2), dims=("component", "other")))
    # The velocity gains eps x: E|nu|^2 / D = 2 rotation^2 + 2 eps^2.
    close(learned["entropy-production-rate"].sel(quantity="total"), 2 * ROTATION**2 + 2 * eps**2)
    bound = float(learned["path-residual"]["value"].sel(selection="full", time=1.0))
    assert bound > 0.8 * eps**2 / (1 + eps) ** 2  # of an error of eps s on a score of (1 + eps) s
    slope = learned_difference(seen).sel(component="x0", time=1.0)
    np.testing.assert_allclose(slope["value"], eps * slope["reference_score"], rtol=1e-6)


def test_reversed_samples_of_the_exact_score_lie_at_the_floor(whole: xr.DataTree) -> None:
    for name in ("energy-distance", "sliced-wasserstein-distance"):
        group = whole[name].to_dataset().isel(score=0).sel(time=TIMES[:-1])
        error = np.hypot(group["standard_error"], group["floor_standard_error"])
        assert (np.abs(group["value"] - group["floor"]) < 5 * error).all()
        assert group.attrs["held"] < 5
    density = whole["reversed-density"].to_dataset().isel(score=0).sel(time=TIMES)
    spread = np.hypot(density["standard_error"], density["simulated_standard_error"])
    deviation = ((density["value"] - density["simulated"]) / spread).where(density["simulated"] > 0.02)
    assert float(np.abs(deviation).max()) < 5


def test_reversed_samples_of_a_stretched_score_do_not(data: xr.Dataset) -> None:
    apart = evaluated(data, quantities(*REVERSED), Stretched(0.8))
    group = apart["sliced-wasserstein-distance"].to_dataset().isel(score=0).sel(time=0.0)
    assert float(group["value"] - group["floor"]) > 8 * float(group["standard_error"])
    energy = apart["energy-distance"].to_dataset().isel(score=0).sel(time=0.0)
    assert float(energy["value"]) > 8 * float(energy["standard_error"])


def test_a_reversal_goes_on_to_the_initial_law_before_the_trained_times(data: xr.Dataset) -> None:
    late = evaluated(data, quantities("energy-distance"), Stretched(0.0, time_range=(0.5, 1.0)))
    group = late["energy-distance"].to_dataset().isel(score=0)
    assert np.isfinite(group["value"].sel(time=[0.0, 0.5])).all()
    assert abs(float(group["value"].sel(time=0.0))) < 5 * float(group["standard_error"].sel(time=0.0))
    assert np.isnan(late["value"].sel(time=0.0)).all()


def test_e11_all_quantities_are_the_same_for_any_number_of_ranks(
    data: xr.Dataset, in_ranks: Callable[..., list[Any]]
) -> None:
    def small(ranks: Communicator | None) -> xr.DataTree:
        part = data.isel(path=slice(300), time=slice(None, None, 4))
        reversal = Reversal(paths=1030, dt=0.25)  # two blocks of paths
        return evaluate(
            Stretched(0.1),
            {"exact": Exact(TRAP)},
            part,
            every(),
            shown=TIMES,
            reversal=reversal,
            blocks=3,
            communicator=ranks,
        )

    alone = small(None)
    assert set(alone.children) == set(names("physcore.quantities"))
    for result in (*in_ranks(2, small), *in_ranks(3, small)):
        for name, node in result.subtree_with_keys:
            xr.testing.assert_identical(node.to_dataset(inherit=False), alone[name].to_dataset(inherit=False))


def test_a_block_that_does_not_fit_is_taken_in_pieces(
    data: xr.Dataset, whole: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "NUMBERS_AT_ONCE", 2000)
    largest = 0

    def watched(process: Process, part: xr.Dataset, dtype: torch.dtype) -> Tensor:
        nonlocal largest
        states = real(process, part, dtype)
        largest = max(largest, states.numel())
        return states

    real = blocks_module.frames
    monkeypatch.setattr(blocks_module, "frames", watched)
    added = set(names("physcore.quantities")) - REVERSED
    result = evaluated(data, {name: one for name, one in every().items() if name in added - {"log-density-error"}})
    assert 0 < largest <= 2000
    for name, node in result.children.items():
        xr.testing.assert_allclose(node.to_dataset(), whole[name].to_dataset(), rtol=1e-9, atol=1e-12)


def test_a_comparison_survives_its_file(whole: xr.DataTree, tmp_path: Any) -> None:
    write_tree(whole, tmp_path / "comparison.nc")
    xr.testing.assert_equal(read_tree(tmp_path / "comparison.nc"), whole)
    opened = xr.open_datatree(tmp_path / "comparison.nc", decode_times=False)
    assert set(opened.children) == set(whole.children)
    opened.close()
    with xr.open_dataset(tmp_path / "comparison.nc", decode_times=False) as root:
        xr.testing.assert_equal(root.load(), whole.to_dataset())


def test_tables_show_every_quantity_with_its_convention(whole: xr.DataTree) -> None:
    tables = list(quantity_tables(whole, TIMES))
    assert len(tables) == len(whole.children)
    together = "\n".join(tables)
    assert "entropy production rate (all variables even under time reversal)" in together
    assert "simulated twice" in together
    assert "E[x0 s_x0], must be -1" in together
    assert max(map(len, together.splitlines())) < 100
    assert all("±" in table for table in tables)


def test_error_bars_are_calibrated_and_short_ones_are_noticed(whole: xr.DataTree) -> None:
    told = calibration(whole)
    # A statistic of pairs is degenerate where the score is right: its blocks tell nothing of its error.
    assert "kernel-stein-discrepancy" not in told["quantity"]
    assert whole["kernel-stein-discrepancy"]["block_standard_error"].isnull().all()
    assert "energy-distance" not in told["quantity"]  # its error is that of blocks already
    # Of 8 blocks a scatter is known to 27 %; entries with few states in a block are off by more.
    for name in ("stein-identities", "fisher-information", "entropy-production-rate", "probability-current"):
        assert abs(float(told["value"].sel(quantity=name)) - 1) < 3 * float(told["standard_error"].sel(quantity=name))
    short = whole.copy(deep=True)
    short["stein-identities"]["standard_error"] = short["stein-identities"]["standard_error"] / 4
    assert float(calibration(short)["value"].sel(quantity="stein-identities")) > 2.5
    assert calibration(xr.DataTree(whole.to_dataset())).sizes.keys() >= {"estimate", "quantity"}


class ScoreAlone(Reference):
    """A reference without a density."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return -state


SWIMMER = ActiveSwimmer()
REFUSED = {
    "log density without one": (TRAP, {"log-density-error": {}}, "log-density-error: none of the references"),
    "log density of an unknown reference": (
        TRAP,
        {"log-density-error": {"reference": "mine"}},
        "log-density-error: `reference`",
    ),
    "entropy without a start": (TRAP, {"entropy": {}}, "entropy: .*`initial`"),
    "infinite entropy production": (SWIMMER, {"entropy-production-rate": {}}, "entropy-production-rate: .*infinite"),
    "unknown parity": (TRAP, {"entropy-production-rate": {"parity": {"y": 1}}}, r"entropy-production-rate: .*\['y'\]"),
    "unknown plane": (TRAP, {"probability-current": {"variables": ["y"]}}, "probability-current: `variables`"),
    "one bin": (TRAP, {"score-difference": {"bins": 1}}, "score-difference: `bins`"),
    "unknown start": (TRAP, {"path-residual": {"start": "mine"}}, "path-residual: `start`"),
    "unknown scale": (TRAP, {"energy-distance": {"scales": {"y": 1.0}}}, "energy-distance: `scales`"),
}


@pytest.mark.parametrize(("process", "chosen", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_before_anything_is_computed(
    process: Process, chosen: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = simulate(process, paths=64, duration=1.0, dt=0.5, seed=1)
    monkeypatch.setattr(
        importlib.import_module("analysis.compare"), "block_sums", lambda *_, **__: pytest.fail("begun")
    )
    with pytest.raises(ValueError, match=said):
        evaluate(Stretched(process=process), {"alone": ScoreAlone()}, data, quantities(*chosen, **chosen), blocks=2)


@pytest.mark.parametrize("name", ["path-residual"])
def test_a_score_in_part_gives_no_more_than_it_holds(name: str) -> None:
    data = simulate(SWIMMER, paths=64, duration=1.0, dt=0.5, seed=1)
    driven = Stretched(process=SWIMMER, components="driven")
    with pytest.raises(ValueError, match=rf"{name}: .*'x'"):
        evaluate(driven, {"alone": ScoreAlone()}, data, quantities(name), blocks=2)
    held = evaluate(
        driven, {"alone": ScoreAlone()}, data, quantities("stein-identities", "fisher-information"), blocks=2
    )
    assert list(held["stein-identities"]["component"].values) == ["v"]


@pytest.mark.parametrize("times", [[1.0], [1.0, 1.0]], ids=str)
def test_a_reversal_needs_somewhere_to_stop(times: list[float]) -> None:
    with pytest.raises(ValueError, match="energy-distance needs two `times`"):
        check_stops(quantities("energy-distance"), Comparison(times=times))
    check_stops(quantities("energy-distance"), Comparison(times=times, reversal=Reversal(times=[0.0, 1.0])))
    check_stops(quantities("entropy"), Comparison(times=times))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantities": ["entropy", {"name": "entropy"}]}, "twice"),
        ({"quantities": [{"bins": 3}]}, "`name`"),
        ({"reversal": {"paths": 1}}, "`reversal.paths`"),
        ({"reversal": {"dt": -1.0}}, "`reversal.dt`"),
        ({"reversal": {"times": [1.0]}}, "`reversal.times`"),
    ],
    ids=str,
)
def test_d6_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Comparison(**{key: Reversal(**value) if key == "reversal" else value for key, value in settings.items()})


def test_references_stand_beside_the_learned_score(data: xr.Dataset) -> None:
    references = {"fit": GaussianFit(TRAP, data.isel(path=slice(2000, None))), "exact": Exact(TRAP)}
    part = data.isel(path=slice(1000))
    chosen = quantities("log-density-error", "entropy", **{"log-density-error": {"reference": "exact", "paths": 16}})
    tree = evaluate(Stretched(), references, part, chosen, shown=[1.0], blocks=4)
    assert list(tree["log-density-error"]["score"].values) == ["learned", "fit"]
    mean = tree["log-density-error"].to_dataset().sel(score="fit", statistic="mean", time=1.0)
    assert 0 < float(mean["value"]) + 5 * float(mean["standard_error"]) < 0.1


def test_a_stein_discrepancy_passes_the_exact_score_and_not_a_stretched_one(
    data: xr.Dataset, whole: xr.DataTree
) -> None:
    right = whole["kernel-stein-discrepancy"].to_dataset().sel(time=TIMES)
    assert float(right["p_value"].min()) > 1e-3
    assert float(np.abs(right["value"] / right["standard_error"]).max()) < 5
    assert float(right["states"].min()) == 1000
    chosen = quantities("kernel-stein-discrepancy", **{"kernel-stein-discrepancy": {"paths": 500, "replicates": 200}})
    wrong = evaluated(data, chosen, Stretched(0.8))["kernel-stein-discrepancy"].to_dataset().sel(time=TIMES)
    assert float(wrong.sel(score="learned")["p_value"].max()) < 0.02
    states = data.isel(path=slice(0, 2000, 4)).sel(time=[0.5])
    alone = kernel_stein_discrepancy(TRAP, Stretched(0.8), states, replicates=200).isel(time=0)
    for name in ("value", "standard_error", "v_statistic", "p_value", "states"):
        np.testing.assert_allclose(wrong[name].sel(score="learned", time=0.5), alone[name], rtol=1e-9)


def test_states_run_backwards_by_references_too_each_with_a_row_of_its_own(data: xr.Dataset) -> None:
    part = data.isel(path=slice(2000), time=slice(None, None, 2))
    references = {
        "exact": Exact(TRAP),
        "fokker-planck": FokkerPlanck(TRAP, cells=(32, 32)),
        "gaussian-fit": GaussianFit(TRAP, part),
    }
    reversal = Reversal(paths=512, dt=0.25, scores=["learned", *references])
    found = evaluate(
        Stretched(1.5), references, part, quantities("energy-distance"), shown=[0.25, 1.0], reversal=reversal, blocks=8,
        start=data,
    )["energy-distance"].to_dataset().sel(time=0.25)  # fmt: skip
    assert list(found["score"].values) == reversal.scores
    far = (found["value"] - found["floor"]) / np.hypot(found["standard_error"], found["floor_standard_error"])
    assert float(far.sel(score="learned")) > 8
    assert float(np.abs(far.sel(score=list(references))).max()) < 5
    with pytest.raises(ValueError, match=r"`reversal.scores` names 'kernel-density'; there are learned, exact"):
        evaluated(data, quantities("energy-distance"), reversal=Reversal(scores=["kernel-density"]))


def test_a_score_between_times_is_linear_and_stays_beyond_them() -> None:
    class Rising(Exact):
        def score(self, state: Tensor, time: Tensor | float) -> Tensor:
            return torch.full_like(state, float(time) ** 2)

        def supporting_times(self, times: Sequence[float]) -> list[float]:
            return list(times)

    score, first = at_all_times(Rising(TRAP), [1.0, 2.0, 4.0, 8.0], 4.0)
    assert first == 1.0
    state = torch.zeros(3, 2)
    for time, expected in ((0.5, 1.0), (1.0, 1.0), (1.5, 2.5), (2.0, 4.0), (3.0, 10.0), (4.0, 16.0), (5.0, 16.0)):
        torch.testing.assert_close(score.score(state, torch.tensor(time)), torch.full_like(state, expected))
