"""Which data sets are shown together, which doses there are, and what stands beside methods."""

from pathlib import Path

import numpy as np
import pytest
from fake_results import FLOORS, params, write_all

from pipeline.common.config import Params
from pipeline.data.store import open_store
from pipeline.present.bounds import with_bounds
from pipeline.present.draws import Joined, doses, joined
from pipeline.present.results import gather

VARIANT = {"draw_of": "toy_0", "variant": "shortcut says nothing"}
FACE = {"name": "face", "shortcut": "local"}


def phantoms(**about: dict) -> Params:
    """toy_0 and its draws, each drawn by its own settings of a generator."""
    settings = params(datasets=len(about), seeds=1, about={name: own["data"] for name, own in about.items()})
    raw = settings.model_dump()
    for name, own in about.items():
        raw["datasets"][name]["root"] = f"data/raw/phantoms/{name}"
        raw["phantoms"]["tasks"][name] = {**FACE, **own["drawn"]}
    return Params(**raw)


def test_plain_draws_are_one_and_each_variant_is_apart() -> None:
    about = {"toy_1": {"draw_of": "toy_0"}, "toy_2": VARIANT, "toy_3": VARIANT, "toy_4": {"draw_of": "other"}}
    assert joined(params(datasets=5, about=about).datasets) == {
        "toy_0": Joined(("toy_0", "toy_1"), "toy_0", ""),
        "toy_0_shortcut_says_nothing": Joined(("toy_2", "toy_3"), "toy_0", "shortcut says nothing"),
        "other": Joined(("toy_4",), "other", ""),
    }


def test_doses_differ_in_agreement_alone_and_rise() -> None:
    settings = phantoms(
        toy_0={"data": {}, "drawn": {"shortcut_agreement": 0.9}},
        toy_1={"data": VARIANT, "drawn": {"shortcut_agreement": 0.5, "seed": 4}},
        toy_2={"data": {**VARIANT, "variant": "always"}, "drawn": {"shortcut_agreement": 1.0}},
        toy_3={"data": {**VARIANT, "variant": "elsewhere"}, "drawn": {"shortcut": "global"}},
        toy_4={"data": {**VARIANT, "variant": "other network"}, "drawn": {"shortcut_agreement": 0.9}},
    )
    found = doses(settings, joined(settings.datasets), "toy_0")
    assert list(found.items()) == [
        ("toy_0_shortcut_says_nothing", 0.5), ("toy_0", 0.9), ("toy_0_always", 1.0)
    ]  # fmt: skip


def test_data_that_no_generator_drew_have_no_dose() -> None:
    settings = params()
    assert doses(settings, joined(settings.datasets), "toy_0") == {}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    settings = phantoms(
        toy_0={"data": {}, "drawn": {"shortcut_agreement": 0.9}},
        toy_1={"data": {"draw_of": "toy_0"}, "drawn": {"shortcut_agreement": 0.9, "seed": 4}},
        toy_2={"data": VARIANT, "drawn": {"shortcut_agreement": 0.5}},
    )
    monkeypatch.chdir(tmp_path)
    write_all(settings)
    return settings


def test_floors_and_ceilings_stand_beside_methods(written: Params) -> None:
    stores = {name: open_store(Path("data/prepared") / name) for name in written.datasets}
    grid, values = gather(written, stores)
    wider, more = with_bounds(grid, values, written)
    assert list(grid.datasets) == ["toy_0", "toy_0_shortcut_says_nothing"]
    assert grid.datasets["toy_0_shortcut_says_nothing"].title.endswith(", shortcut says nothing")
    ceiling = "cross_entropy, shortcut says nothing"
    plain = wider.beside[wider.beside["dataset"] == "toy_0"]
    assert plain.groupby("method")["draw"].agg(list).to_dict() == {
        **{name: ["toy_0", "toy_1"] for name in FLOORS}, ceiling: ["toy_2"],
    }  # fmt: skip
    assert [wider.label(name) for name in ("block_means", ceiling, "divergence_shuffled", "cyborg")] == [
        "block_means (floor)", f"{ceiling} (ceiling)", "divergence_shuffled (control)", "cyborg",
    ]  # fmt: skip
    strata = more["strata"]
    own = strata[(strata["dataset"] == "toy_0") & (strata["method"] == ceiling)]
    there = strata[(strata["draw"] == "toy_2") & (strata["method"] == "cross_entropy")]
    assert len(own)
    np.testing.assert_array_equal(own["auroc"], there["auroc"])
    assert len(more["alignment"]) == len(values["alignment"])  # floors have no maps


def test_without_floors_there_are_none(written: Params) -> None:
    for path in Path("evaluate").glob("*/floors/record.json"):
        path.unlink()
    stores = {name: open_store(Path("data/prepared") / name) for name in written.datasets}
    assert with_bounds(*gather(written, stores), written)[0].floors == frozenset()
