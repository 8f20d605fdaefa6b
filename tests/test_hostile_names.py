"""Text that someone else wrote stays text: in a shell, a terminal, a spreadsheet, a figure and a page."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import planted_people
import pytest
import yaml
from fake_results import params, write_all
from hypothesis import given
from hypothesis import strategies as st
from small_grid import grid
from test_end_to_end import make_project

from pipeline import prepare
from pipeline.common.cli import exit_with
from pipeline.common.errors import UserError
from pipeline.common.spreadsheet import FORMULA, as_path, as_text, from_text
from pipeline.data.pseudonyms import Names
from pipeline.present import figures
from pipeline.present.illustrations import Illustrations
from pipeline.present.markup import markdown
from pipeline.present.results import DatasetNote
from pipeline.present.tables import Panel, Table
from pipeline.report import report
from pipeline.tracking.mlflow_store import plain

ROOT = Path(__file__).parents[1]
TITLE = "=1+1 [red]x[/red] :smile: $y^2$ <script>alert(1)</script>"


def dvc(folder: Path, *arguments: str) -> str:
    """All that a command of DVC printed; it must fail."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_no_shell_sees_the_key_of_a_data_set(tmp_path: Path) -> None:
    key = "x; touch pwned; ' $(touch pwned) '"
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["datasets"] = {key: raw["datasets"]["cxr"] | {"root": "films"}}
    folder = make_project(tmp_path / "project", raw)
    (folder / "films").mkdir()
    (folder / "films" / "x.png").touch()
    said = dvc(folder, "repro", "--single-item", f"prepare@{key}")
    assert "> python -m pipeline.prepare\n" in said
    assert f"prepare {key}: error: params.yaml: datasets.{key}.[key]: String should match pattern" in said
    assert not (folder / "pwned").exists()


def test_a_title_is_text_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    dataset = planted_people.settings().datasets["ward"].model_copy(update={"title": TITLE, "notice": "[b]n"})
    audit = {"counts": [], "findings": [], "quarantined": 0, "agreement": {"images": 0}, "looks": None}
    prepare.show("x[red]", dataset, audit)
    said = capsys.readouterr().out
    assert said.startswith(TITLE) and "[b]n" in said and "x[red]: 0 rows" in said


def test_a_file_name_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise UserError("\x1b[2J\x07 e\u0301\u202e.png: no image")

    with pytest.raises(SystemExit):
        exit_with(work, debug=False, name="predict")
    said = capsys.readouterr().err
    assert said == "predict: error: \\x1b[2J\\x07 e\u0301\\u202e.png: no image\n"


def test_a_title_is_text_in_figures(tmp_path: Path) -> None:
    shown = grid()
    shown.datasets["d"] = DatasetNote(TITLE, "drawn", False)
    with figures.saved(tmp_path / "f", 72, 1, 1, (4, 3)) as axes:
        figures.finish(axes, "d", shown)
    drawn = (tmp_path / "f.svg").read_text()
    assert html.escape(TITLE) in drawn


@pytest.mark.slow
def test_a_title_is_text_on_pages_and_in_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Illustrations, "jobs", lambda self: [])
    settings = params(datasets=1, seeds=1)
    write_all(settings)
    about = Path("data/prepared/toy_0/store.json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"title": TITLE, "notice": f"{TITLE} !"}))
    report(settings)
    for page in ("index.html", "details/index.html"):
        assert html.escape(TITLE) in Path("reports", page).read_text()
    pages = [path for path in Path("reports").rglob("*") if path.suffix in (".html", ".md")]
    assert [str(path) for path in pages if "<script>alert" in path.read_text()] == []
    for table in Path("reports").rglob("*.csv"):
        cells = pd.read_csv(table, dtype=str, keep_default_na=False).to_numpy().ravel()
        assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == []
    assert r"\$y\textasciicircum{}2\$" in Path("reports/tables/evidence.tex").read_text()


def test_a_title_is_text_in_markdown() -> None:
    panel = Panel("d", TITLE, pd.DataFrame({"method": ["a"]}))
    said = markdown(Table("t", "T", "", pd.DataFrame(), [panel]))
    assert TITLE.replace("<", "&lt;") in said


def test_a_title_is_text_in_mlflow() -> None:
    assert plain(TITLE).count("\\<") == TITLE.count("<") and plain("[a](b)") == "\\[a](b)"


@given(st.text())
def test_no_cell_is_a_formula_and_all_come_back(text: str) -> None:
    assert not as_text(text).startswith(FORMULA)
    assert from_text(as_text(text)) == text
    assert not as_path(text).startswith(FORMULA)
    assert not text or Path(as_path(text)) == Path(text)


def test_names_that_are_kept_are_no_formulas() -> None:
    rows = pd.DataFrame(
        {"sample_id": ["t:1", "t:2"], "subject_id": ["=1+1", "@x"], "image_path": ["-1.png", "a"]}
    )
    shown = Names().hide(rows)
    assert shown["subject_id"].tolist() == ["'=1+1", "'@x"]
    assert shown["image_path"].tolist() == ["./-1.png", "a"]
    assert Names().restore(shown)["subject_id"].tolist() == rows["subject_id"].tolist()
