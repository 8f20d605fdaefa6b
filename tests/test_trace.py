"""From a number of the report to keys, files and images: what is said is what is there."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from fake_results import params
from reported import report_without_figures

from pipeline.common.errors import UserError
from pipeline.trace import trace

SETTINGS = params(datasets=1, seeds=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of a small finished grid, without figures."""
    return report_without_figures(tmp_path_factory.mktemp("traced"), SETTINGS)


@pytest.fixture
def reported(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The evidence table of a copy of it, which is the working directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return pd.read_csv("reports/tables/evidence.csv", keep_default_na=False)


def row_of(table: pd.DataFrame, method: str) -> int:
    wanted = (table["method"] == method) & (table["quantity"] == "closed_auroc")
    return int(table.index[wanted][0]) + 1


def test_a_number_leads_to_every_score_behind_it(
    reported: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    trace(SETTINGS, "evidence", row_of(reported, "cyborg"), Path("used.csv"))
    said = capsys.readouterr().out
    used = pd.read_csv("used.csv")
    keys = pd.read_csv("reports/tables/cells.csv").query("method == 'cyborg'")["train_key"]
    assert set(used["key"]) == set(keys) and all(f"key {key}" in said for key in keys)
    for seed in (0, 1):
        own = used[used["model"] == f"toy_0/compact/cyborg/{seed}"]
        scores = pd.read_csv(f"evaluate/toy_0/compact/cyborg/{seed}/scores.csv")
        assert own["logit_difference"].tolist() == scores["logit_difference"].tolist()
        assert own["image"].iloc[0] == f"data/raw/{scores['sample_id'].iloc[0][-3:]}.png"
    assert said.count("as recorded)") == 6 and "not as recorded" not in said


def test_a_file_that_was_changed_is_named(reported: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("evaluate/toy_0/compact/cyborg/1/metrics.csv")
    path.write_text(path.read_text() + "\n")
    trace(SETTINGS, "evidence", row_of(reported, "cyborg"))
    assert "evaluate/toy_0/compact/cyborg/1 (not as recorded: metrics.csv)" in capsys.readouterr().out


def test_floors_have_scores_of_their_own(reported: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    trace(SETTINGS, "evidence", row_of(reported, "block_means"), Path("used.csv"))
    assert "toy_0: block_means, without a network" in capsys.readouterr().out
    every = pd.read_csv("evaluate/toy_0/floors/scores.csv")
    assert len(pd.read_csv("used.csv")) == (every["floor"] == "block_means").sum()


@pytest.mark.usefixtures("reported")
@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("evidnce", 1, "did you mean 'evidence'"),
        ("evidence", 0, r"no row 0; it has 1 to \d+"),
        ("evidence", 10_000, "no row 10000"),
        ("concepts", 1, "its rows name no cells"),
    ],
)
def test_what_cannot_be_traced(table: str, row: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        trace(SETTINGS, table, row)


@pytest.mark.usefixtures("reported")
def test_scores_that_are_gone(reported: pd.DataFrame) -> None:
    Path("evaluate/toy_0/compact/cyborg/0/scores.csv").unlink()
    with pytest.raises(UserError, match="toy_0/compact/cyborg/0: its scores are not in evaluate/"):
        trace(SETTINGS, "evidence", row_of(reported, "cyborg"), Path("used.csv"))
    assert not Path("used.csv").exists()
