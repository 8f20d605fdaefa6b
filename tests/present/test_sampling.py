"""Intervals of tables: that what is resampled is what was recorded, and of the same images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_results import FLOORS, params, write_all

from pipeline.data.store import open_store
from pipeline.present.bounds import with_bounds
from pipeline.present.comparisons import compare, summarise
from pipeline.present.results import AT, Grid, gather
from pipeline.present.sampling import Bootstrap, Compared
from pipeline.score.bootstrap import Resamples

SETTINGS = params(datasets=2, seeds=2, about={"toy_1": {"draw_of": "toy_0"}})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, dict[str, pd.DataFrame], Bootstrap]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("recorded"))
        write_all(SETTINGS)
        stores = {name: open_store(Path("data/prepared") / name) for name in SETTINGS.datasets}
        grid, values = with_bounds(*gather(SETTINGS, stores), SETTINGS)
        return grid, values, Bootstrap(values["scores"], stores, grid)


class AsTheyAre(Resamples):
    """Every draw, seed and image once."""

    def __init__(self, seeds: list[int], subjects: list[np.ndarray]) -> None:
        super().__init__(seeds, subjects, resamples=1)
        self.places = [np.array([draw]) for draw in range(len(seeds))]
        self.seeds = [np.ones((1, n), np.float32) for n in seeds]
        self.images = [np.ones((1, len(own)), np.uint8) for own in subjects]


def test_without_resampling_it_is_what_was_recorded(recorded: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scope, source and stratum, of methods and floors."""
    monkeypatch.setattr("pipeline.present.sampling.Resamples", AsTheyAre)
    grid, values, sampler = recorded
    fresh = Bootstrap.__new__(Bootstrap)
    vars(fresh).update(grid=grid, images=sampler.images, plans={}, found={})
    metrics = values["metrics"][values["metrics"]["metric"] == "auroc"].assign(stratum="")
    for table in (metrics, values["strata"].rename(columns={"auroc": "value"})):
        found = summarise(table, AT, grid, fresh)
        assert {"cyborg", *FLOORS} <= set(found["method"]) and {"familiar", "novel"} <= set(found["scope"])
        np.testing.assert_allclose(found["low"], found["mean"], atol=1e-6)
        np.testing.assert_allclose(found["high"], found["mean"], atol=1e-6)
        expected = table.groupby([*found.columns[:3], *AT])["value"].mean()
        keys = pd.MultiIndex.from_frame(found[[*found.columns[:3], *AT]])
        np.testing.assert_allclose(found["mean"], expected.loc[keys])


def test_a_method_differs_from_its_like_by_nothing(recorded: tuple) -> None:
    """Differences are paired in draws, seeds and images: equal scores have an interval of no width."""
    _, values, sampler = recorded
    metrics = values["metrics"][values["metrics"]["metric"] == "auroc"].assign(stratum="")
    same = metrics[metrics["method"] == "cyborg"]
    pair = [("cyborg", "cyborg")]
    found = compare(same, AT, pair, 0.95, sampler=sampler)
    assert len(found) and (found[["value", "low", "high"]] == 0).all(axis=None)


def test_subjects_widen_an_interval(recorded: tuple) -> None:
    """Of a number of which no scores are known, draws and seeds alone vary."""
    grid, values, sampler = recorded
    closed = values["metrics"].query("metric == 'auroc' and scope == 'closed'").assign(stratum="")
    widths = [
        (rows["high"] - rows["low"])[rows["method"] == "cyborg"].item()
        for rows in (
            summarise(part, ["quantity"], grid, sampler)
            for part in (closed.assign(quantity="a"), closed.assign(quantity="a", scope=""))
        )
    ]
    assert widths[0] > widths[1] > 0


def test_one_number_alone_has_no_interval(recorded: tuple) -> None:
    """Nothing varies: neither units nor, where no scores are known, images."""
    _, values, sampler = recorded
    closed = values["metrics"].query("metric == 'auroc' and scope == 'closed'").assign(stratum="")
    one = closed[closed["method"] == "cyborg"].head(1)
    value, low, high = sampler.of(one.assign(scope=""))
    assert value == one["value"].item() and np.isnan([low, high]).all()
    value, low, high = sampler.of(one)
    assert low < value < high


def test_a_missing_unit_is_left_out_of_both(recorded: tuple) -> None:
    _, values, sampler = recorded
    closed = values["metrics"].query("metric == 'auroc' and scope == 'closed'").assign(stratum="")
    lost = (closed["method"] == "cyborg") & (closed["draw"] == "toy_1") & (closed["seed"] == 0)
    (found,) = compare(
        closed[~lost], ["scope"], [("cyborg", "cross_entropy")], 0.95, sampler=sampler
    ).to_dict("records")
    assert found["pairs"] == 3 and found["low"] < found["value"] < found["high"]


def test_pairs_are_those_of_the_strata(recorded: tuple) -> None:
    images = recorded[2].images["toy_0"]
    (every,) = images.pairs(Compared("closed"))
    assert every.counted.all() and images.pairs(Compared("held_out", "nowhere")) == []
    parts = [
        images.pairs(Compared("closed", "", name))[0].counted for name in ("same", "aligned", "conflict")
    ]
    assert (np.sum(parts, axis=0) == 1).all()
