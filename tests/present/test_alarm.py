"""What is said of the alarm's verdicts: shares and sentences by hand, pictures in the verdict's colour."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_store
from PIL import Image
from sklearn.metrics import roc_auc_score
from small_grid import grid

from pipeline.data.store import open_store
from pipeline.present import alarm, pictures

CONCEPTS = [  # method, seed, concept, weight, score, verdict, truth
    ("cross_entropy", 0, 1, 0.7, 0.9, "shortcut", "shortcut"),
    ("cross_entropy", 0, 2, 0.3, 0.2, "cause", "cause"),
    ("cross_entropy", 1, 1, 0.95, 0.5, "unclear", "shortcut"),
    ("cross_entropy", 1, 2, 0.05, 0.7, "shortcut", "cause"),
    ("cyborg", 0, 1, 1.0, 0.1, "cause", "cause"),
    ("cyborg", 1, 1, 1.0, 0.3, "cause", ""),
]


def alarms(**changes: object) -> pd.DataFrame:
    columns = ["method", "seed", "concept", "weight", "score", "verdict", "truth"]
    table = pd.DataFrame(CONCEPTS, columns=columns)
    about = {"dataset": "d", "draw": "d", "backbone": "b", "predicted": 1, "evidence": "maps sources fill"}
    seen = {"inside_maps": 0.5, "n_maps": 3, "margin_fall": 0.5, "known_auroc": 1.0, "unseen_auroc": 1.0}
    other = table.head(1).assign(predicted=0, weight=1.0, verdict="shortcut", truth="")  # of the other class
    return pd.concat(
        [table.assign(**about, **seen), other.assign(**{**about, "predicted": 0}, **seen)]
    ).assign(**changes)


def counterfactuals(**changes: object) -> pd.DataFrame:
    """Of cyborg alone; the mean of both seeds in known sources without the human region, blurred, is 0.8."""
    wanted = ("test_closed", "human", "blur", "without")
    rows = [(*wanted, 0.7, 0), (*wanted, 0.9, 1)]
    for place, other in enumerate(("val", "cause", "swap", "only")):
        rows.append((*wanted[:place], other, *wanted[place + 1 :], 0.1, 0))
    table = pd.DataFrame(rows, columns=["role", "region", "fill", "test", "auroc", "seed"])
    return table.assign(dataset="d", draw="d", backbone="b", method="cyborg").assign(**changes)


def test_shares_are_means_over_cells_of_class_1() -> None:
    found = alarm.shares(alarms()).set_index("method")
    expected = {"shortcut": 0.375, "cause": 0.15, "unclear": 0.475, "alarms": 1, "n": 2}
    assert found.loc["cross_entropy", list(expected)].to_dict() == pytest.approx(expected)
    assert found.loc["cyborg", ["shortcut", "cause", "unclear"]].tolist() == [0, 1, 0]
    assert found.loc["cyborg", "evidence"] == "maps sources fill"


def test_the_alarm_is_judged_where_the_truth_is_known() -> None:
    table = alarms()
    (row,) = alarm.judged(table).to_dict("records")
    assert row["auroc"] == pytest.approx(roc_auc_score([1, 0, 1, 0, 0], [0.9, 0.2, 0.5, 0.7, 0.1]))
    assert (row["n_shortcut"], row["n_cause"], row["found"]) == (2, 3, 0.5)
    assert row["false_alarms"] == pytest.approx(1 / 3)
    assert row["auroc_without_maps"] == 0.5  # all are alike but for their scores
    assert len(alarm.judged(table.assign(truth=""))) == 0
    assert list(alarm.judged(table.assign(truth="cause"))) == list(row)


def test_without_maps_only_sources_speak() -> None:
    one = alarms(inside_maps=0.0, unseen_auroc=0.5).head(1)
    assert alarm.without_maps(one).tolist() == [pytest.approx(0.5 + 0.5 * 2 / 3)]


@pytest.mark.parametrize(
    ("shares", "evidence", "covered", "told"),
    [
        (
            (0.6, 0.4),
            "maps sources fill",
            0.9,
            ["Mostly a shortcut (60 %)", "did not mark and that tell less"],
        ),
        ((0.2, 0.8), "maps fill", 0.5, ["In part a shortcut (20 %)", "did not mark.", "Unseen sources"]),
        ((0.0, 0.8), "sources fill", float("nan"), ["Mostly what holds in new sources", "Nobody marked"]),
        (
            (0.0, 0.8),
            "maps sources fill",
            0.75,
            ["AUROC is still 0.75 with the places that people marked covered"],
        ),
        ((0.0, 0.8), "maps sources fill", 0.7, ["no sign of a shortcut."]),
        ((0.09, 0.4), "maps sources fill", 0.5, ["Unclear: "]),
    ],
)
def test_sentences(shares: tuple[float, float], evidence: str, covered: float, told: list[str]) -> None:
    row = {"shortcut": shares[0], "cause": shares[1], "evidence": evidence, "covered": covered}
    said = alarm.sentence(row)
    assert ("decides by more" in said) == (covered >= 0.75)
    assert all(text in said for text in told)
    assert ("Nobody" in said) == ("maps" not in evidence)
    assert ("Unseen sources could not" in said) == ("sources" not in evidence)


def test_the_table_has_a_sentence_per_method_and_a_line_about_the_alarm() -> None:
    table = alarms(dataset=next(iter(grid().datasets)))
    found = alarm.table(table, counterfactuals(dataset=table["dataset"].iloc[0]), grid())
    words, itself = found.panels
    assert words.rows["method"].tolist() == ["cross_entropy", "cyborg"]
    assert words.rows["alarm in"].tolist() == ["1 of 2 cells", "0 of 2 cells"]
    assert words.rows["shortcut"].tolist() == ["38%", "0%"]
    assert words.rows["AUROC, marked places covered"].tolist() == ["–", "0.80"]
    assert "AUROC is still 0.80 with" in words.rows["in words"].iloc[1]
    assert words.rows["in words"].str.startswith(("In part a shortcut (38 %)", "Mostly what people")).all()
    assert itself.rows[["AUROC", "shortcuts", "causes"]].to_numpy().tolist() == [["0.833", 2, 3]]


def test_no_verdicts_are_no_panels() -> None:
    assert alarm.table(alarms().iloc[:0], counterfactuals().iloc[:0], grid()).panels == []


def test_boxes_have_the_colour_of_the_verdict(tmp_path: Path) -> None:
    store = open_store(tiny_store.write(tmp_path / "tiny", n=6))
    columns = ["predicted", "concept", "rank", "sample_id", "x", "y", "width", "height"]
    exemplars = pd.DataFrame(
        [(1, 1, 1, "tiny:001", 0.25, 0.5, 0.5, 0.25), (1, 2, 1, "tiny:003", 0, 0, 1, 1),
         (0, 1, 1, "tiny:000", 0, 0, 1, 1)],
        columns=columns,
    )  # fmt: skip
    table = alarms()
    cells = {
        name: (table[(table["method"] == name) & (table["seed"] == 0)], exemplars)
        for name in ("cross_entropy", "cyborg")
    }
    sheet = alarm.sheet(store, cells, side=64)
    assert sheet.picture.shape == (2 * 68 - 4, 6 * 68 - 4, 3)
    box = sheet.picture[32:48, 16:48]
    assert (box[0] == pictures.SHORTCUT).all() and (box[:, 0] == pictures.SHORTCUT).all()
    assert (sheet.picture[31, 16:48] != pictures.SHORTCUT).any()
    assert (sheet.picture[0, 3 * 68 : 3 * 68 + 64] == pictures.CAUSAL).all()
    assert (sheet.picture[:64, 68:132] == pictures.EMPTY).all()
    assert (sheet.picture[68 + 32, 16:48] == pictures.CAUSAL).all()
    assert [text for _, text, weight in sheet.columns if weight == "bold"] == ["concept 1", "concept 2"]


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    dataset = next(iter(grid().datasets))
    alarm.roc(alarms(dataset=dataset), grid(), dataset, tmp_path / "roc", 80)
    assert np.ptp(np.asarray(Image.open(tmp_path / "roc.png"))) > 0
    assert "all evidence" in (tmp_path / "roc.svg").read_text()
