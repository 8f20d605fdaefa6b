"""A finished run's tables are computed again from its scores, and a number that was changed is found."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from fake_results import params, write_all

from benchmarks import recompute
from pipeline.present.illustrations import Illustrations
from pipeline.report import report

DRAWS = {"toy_1": {"draw_of": "toy_0"}}  # twice three seeds: six units, which have a p
CELL = "evaluate/toy_1/compact/cyborg/2"
TABLES = "reports/tables"
GAINS = "generalisation_differences.csv"
CLOSED = "role == 'test_closed'"
TWIN = f"{CLOSED} and region == 'cause' and fill == 'twin' and test == 'without'"
CHANGED = [  # file, which row of it, column, change, and the table that it makes wrong
    (f"{CELL}/scores.csv", f"{CLOSED} and label == 1", "logit_difference", -99, "metrics.csv"),
    (f"{CELL}/strata.csv", "stratum == 'conflict' and scope == 'novel'", "auroc", 1e-7, "strata.csv"),
    (
        f"{CELL}/counterfactuals.csv",
        TWIN,
        "auroc",
        1e-6,
        "evidence.csv",
    ),
    (f"{TABLES}/evidence.csv", "beside == 'floor'", "mean", 1e-7, "evidence.csv"),
    (f"{TABLES}/generalisation.csv", "scope == 'macro'", "n", 1, "generalisation.csv"),
    (f"{TABLES}/evidence_differences.csv", "p == p", "p", 1e-7, "evidence_differences.csv"),
    (f"{TABLES}/{GAINS}", "p == p", "adjusted", 1e-7, GAINS),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two draws of one data set, without figures."""
    folder = tmp_path_factory.mktemp("finished")
    settings = params(datasets=2, seeds=3, about=DRAWS)
    for name in ("difference_salience", "divergence_shuffled"):
        del settings.methods[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Illustrations, "jobs", lambda self: [])
        write_all(settings)
        report(settings)
    named = {"datasets": {name: DRAWS.get(name, {}) for name in settings.datasets}}
    (folder / "params.yaml").write_text(yaml.safe_dump(named))
    return folder


def test_numbers_are_found_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recompute.main(finished) == ""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and not any(": 0 numbers" in line for line in lines)
    table = pd.read_csv(finished / "reports/tables/evidence_differences.csv")
    assert table["p"].notna().all()


@pytest.mark.parametrize(("file", "which", "column", "change", "wrong"), CHANGED)
def test_a_changed_number_is_found(
    finished: Path, tmp_path: Path, file: str, which: str, column: str, change: float, wrong: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    table = recompute.read(folder / file)
    table.loc[table.query(which).index[0], column] += change
    table.to_csv(folder / file, index=False)
    assert f"{wrong} is wrong by" in recompute.main(folder)


@pytest.mark.parametrize("shown", ['data-value="', '">'])
def test_a_changed_number_of_the_page_is_found(finished: Path, tmp_path: Path, shown: str) -> None:
    """Its value, by which tables sort, or what is read."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    path = folder / "reports" / "index.html"
    changed, count = re.subn(
        rf"(<td class=\"number[^>]*?{shown})0\.", r"\g<1>7.", path.read_text(encoding="utf-8"), count=1
    )
    path.write_text(changed, encoding="utf-8")
    assert count == 1 and "index.html is wrong by" in recompute.main(folder)


def test_a_folder_without_results_is_told_in_one_line(tmp_path: Path) -> None:
    assert "run `make repro` first" in recompute.main(tmp_path)


def test_auroc_of_pairs_by_hand() -> None:
    images = pd.DataFrame(
        {"label": [1, 1, 0, 0], "logit_difference": [3.0, 1.0, 2.0, 1.0], "marked": [1, 0, 1, 0]}
    )
    assert recompute.auroc(images) == {"": 0.625, "same": 0.75, "aligned": 1.0, "conflict": 0.0}
    assert list(recompute.auroc(images.assign(marked=float("nan")))) == [""]


def test_ties_are_counted_although_files_hold_ten_digits() -> None:
    thirds = pd.Series([0.3333333333, 0.3333333333, 0.6666666667, 0.6666666667, -0.3333333333, -0.6666666667])
    exact = pd.Series([1, 1, 2, 2, -1, -2])
    assert recompute.sign_flips(thirds) == recompute.sign_flips(exact)


def test_holm_by_hand() -> None:
    p = pd.Series([0.03, float("nan"), 0.01, 0.04])
    assert recompute.holm(p).tolist()[::2] == [0.06, 0.03] and recompute.holm(p)[3] == 0.06


def test_a_variant_is_the_ceiling_of_what_it_varies() -> None:
    frame = pd.DataFrame([{"dataset": "toy_half", "method": "cyborg", "draw": "half", "value": 0.7}])
    known = pd.DataFrame([{"draw": "half", "base": "toy", "variant": "half"}])
    ceiling = recompute.with_ceilings(frame, known).iloc[1]
    assert ceiling.to_dict() == {"dataset": "toy", "method": "cyborg, half", "draw": "half", "value": 0.7}
