"""The alarm of a cell: its evidence by hand, and two networks whose reasons are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import torch
from torch import Tensor, nn

from pipeline.common.files import sha256_file, write_csv, write_json
from pipeline.data import protocol
from pipeline.data import store as stores
from pipeline.data.store import Store, open_store
from pipeline.measure import identification, reliance
from pipeline.model import CamClassifier, build

SETTINGS = {"batch_size": 16, "important_share": 0.2, "max_concepts": 3, "exemplars": 2}
RED, GREEN = 0, 1  # the cause, and what goes along with the label in the known source
SIDE = 32


def write(folder: Path, *, annotated: bool) -> Store:
    """Grey images; a red square in every positive; a green one in known positives and half of the unseen."""
    table = tiny_cells.rows()
    table["annotators"] = int(annotated)
    labels, known = table["label"].to_numpy(), (table["source"] == "site_a").to_numpy()
    marked = np.where(known, labels == 1, np.arange(len(table)) // 2 % 2 == 0)
    rng = np.random.default_rng(0)
    shape = (len(table), SIDE, SIDE)
    masks = {"causal": np.zeros(shape, np.uint8), "shortcut": np.zeros(shape, np.uint8)}
    for kind, there in (("causal", labels == 1), ("shortcut", marked)):
        for row in np.flatnonzero(there):
            y, x = rng.integers(0, SIDE - 8, 2) // 16 * 16 + (0 if kind == "causal" else 8)
            masks[kind][row, y : y + 8, x : x + 8] = 255
    images = np.full((len(table), 3, SIDE, SIDE), 60, np.uint8)
    images[:, RED][masks["causal"] > 0] = 220
    images[:, GREEN][masks["shortcut"] > 0] = 220
    (folder / "truth").mkdir(parents=True)
    arrays = {"images": images, "maps": masks["causal"] * np.uint8(annotated)}
    for name, array in (arrays | {f"truth/{kind}": mask for kind, mask in masks.items()}).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_csv(folder / "manifest.csv", table)
    open_set = protocol.build(tiny_cells.PROTOCOL, "subject")
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    sizes = {"image_size": SIDE, "channels": 3, "crop": "none", "max_megapixels": 4, "max_megabytes": 64}
    info = {"dataset": "tiny", "title": "Tiny", "notice": None, "phantom": True, "task": "iris_attack"}
    stores.seal(folder, {**info, "n": len(table), "preprocessing": sizes})
    return open_store(folder)


class Colours(nn.Module):
    """How red and how green each 4 px square is, more than blue."""

    out_channels = 2

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 2, H / 4, W / 4)."""
        return nn.functional.avg_pool2d(images[:, :2] - images[:, 2:], 4)


def network(colour: int) -> CamClassifier:
    """Decides by the squares of one colour alone."""
    model = build("compact", in_channels=3).eval()
    model.features = Colours()
    model.head = nn.Linear(2, 2)
    model.mean.zero_()
    model.std.fill_(1)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[1, colour] = 100
        model.head.bias.copy_(torch.tensor([1.0, 0.0]))
    return model


@pytest.mark.parametrize("annotated", [True, False])
@pytest.mark.parametrize(("colour", "really"), [(RED, "cause"), (GREEN, "shortcut")])
def test_a_planted_reason_is_found(tmp_path: Path, colour: int, really: str, annotated: bool) -> None:
    store = write(tmp_path / "tiny", annotated=annotated)
    found = identification.measure(network(colour), store, SETTINGS)
    table = found.tables["alarm"]
    assert list(table) == [*reliance.COLUMNS, *reliance.TRUTH]
    assert len(table) > 0
    assert set(table["predicted"]) == {1}  # nothing speaks for class 0
    assert set(table["truth"]) == set(table["verdict"]) == {really}
    assert set(table["evidence"]) == {"maps sources fill" if annotated else "sources fill"}
    assert table["weight"].sum() == pytest.approx(1)
    assert (table["known_auroc_min"] == 1).all()
    assert ((table["unseen_auroc_min"] == 1) == (really == "cause")).all()
    assert (table["margin_fall"] > 0.4).all()  # a region is a fifth of what speaks for a class
    if annotated:
        assert (table["inside_maps"] > 0.9 if really == "cause" else table["inside_maps"] < 0.1).all()
        assert table["n_maps"].sum() == 6  # positives in validation
    assert found.results["shortcut_weight"] == pytest.approx(float(really == "shortcut"))


def test_real_data_tell_no_truth(tmp_path: Path) -> None:
    store = write(tmp_path / "tiny", annotated=True)
    store.info["phantom"] = False
    table = identification.measure(network(GREEN), store, SETTINGS).tables["alarm"]
    assert set(table["truth"]) == {""}
    assert table[reliance.TRUTH[:2]].isna().to_numpy().all()
    assert set(table["verdict"]) == {"shortcut"}


def test_a_model_that_says_nothing_has_no_concepts(tmp_path: Path) -> None:
    store, model = write(tmp_path / "tiny", annotated=True), network(RED)
    torch.nn.init.zeros_(model.head.weight)
    found = identification.measure(model, store, SETTINGS)
    assert list(found.tables["alarm"]) == [*reliance.COLUMNS, *reliance.TRUTH]
    assert len(found.tables["alarm"]) == 0
    assert np.isnan(found.results["shortcut_weight"])


def test_presence_tells_by_source() -> None:
    """Known sources against their own negatives; an unseen one without any against all unseen ones."""
    samples = pd.DataFrame(
        [
            ("val", "a", 0, 0.1), ("test_closed", "a", 1, 0.9), ("val", "b", 0, 0.5), ("val", "b", 1, 0.5),
            ("test_open", "x", 0, 0.2), ("test_open", "x", 1, 0.1), ("test_open", "y", 1, 0.3),
        ],
        columns=["role", "source", "label", "presence"],
    )  # fmt: skip
    found = samples[["presence", "presence"]].to_numpy()
    told = reliance.tellings(samples, pd.Series([1, 0]), found)
    np.testing.assert_allclose(told, [[0.75, 0.5, 1, 0], [0.25, 0, 1, 0]])
    closed = samples[samples["role"] != "test_open"]
    assert np.isnan(reliance.tellings(closed, pd.Series([1]), found[:4, :1])[0, 2:]).all()


def test_evidence_is_summed_over_regions() -> None:
    shown = pd.DataFrame(
        [
            (1, 1, 3.0, 1.0, 0.0, 0), (1, 1, 1.0, 0.0, 0.01, 1), (1, 2, 4.0, 0.1, 0.2, 1),
            (0, 1, 5.0, 0.03, 0.02, 0), (1, 3, 1.0, 0.19, 0.01, 0),
        ],
        columns=["predicted", "concept", "importance", "in_causal", "in_shortcut", "row"],
    )  # fmt: skip
    shown, fainter = shown.iloc[:4], shown
    assert reliance.salience_in(shown, "in_causal").to_dict() == {(0, 1): 0.03, (1, 1): 0.75, (1, 2): 0.1}
    assert reliance.weights(shown).to_dict() == {(0, 1): 1, (1, 1): 0.5, (1, 2): 0.5}
    areas = {"causal": np.array([0.1, 0.0]), "shortcut": np.array([0.01, 0.09])}
    truth = reliance.truths(fainter, areas)["truth"].to_dict()
    assert truth == {(0, 1): "", (1, 1): "cause", (1, 2): "shortcut", (1, 3): ""}


def test_falls_are_shares_of_the_margin() -> None:
    samples = pd.DataFrame({"predicted": [1, 1, 0], "margin": [4.0, 1.0, 2.0]})
    drops = pd.DataFrame({"image": [0, 1, 2], "concept": [1, 1, 1], "drop": [3.0, 1.0, -1.0]})
    assert reliance.falls(samples, drops).to_dict() == {(0, 1): -0.5, (1, 1): 0.8}
