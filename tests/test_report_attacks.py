"""The report on attacks: tables, figures and sections, and what is said of attacks that are missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_attacks import PLANNED, write_attacks
from fake_results import VARIANTS, params, write_all, write_cell
from reported import check_links, illustrations

from pipeline.common import catalogue
from pipeline.common.config import Params
from pipeline.present.illustrations import Illustrations
from pipeline.report import report

TABLES = ("hoax", "manipulability", "robust_decisions", "guidance_and_robustness")
ATTACKED = params(datasets=1, seeds=2, methods=VARIANTS, robustness={"attacks": PLANNED}, report={"dpi": 50})


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all cells are finished, attacked and reported."""
    folder = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_all(ATTACKED)
        report(ATTACKED)
    return folder


@pytest.fixture
def spoiled(attacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that to spoil, as working directory."""
    shutil.copytree(attacked, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr(Illustrations, "jobs", lambda self: [])


def test_links_of_the_page_lead_somewhere(attacked: Path) -> None:
    check_links(attacked / "reports")


def test_attacks_have_their_tables_figures_and_sections(attacked: Path) -> None:
    page = (attacked / "reports/details/index.html").read_text(encoding="utf-8")
    for name in TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (attacked / f"reports/tables/{name}.{suffix}").stat().st_size > 0
        assert f'<h2 id="{name}">' in page and f'<a href="#{name}">' in page
    drawn = (
        "manipulability",
        "robust_decisions",
        "attack_hoax",
        "attack_pushed",
        "attack_moved",
        "attack_smallest",
    )
    for stem in drawn:
        assert (attacked / f"reports/figures/{stem}_toy_0.svg").is_file()
        assert f'src="../figures/{stem}_toy_0.png"' in page
    assert not (attacked / "reports/figures/attack_bounded_toy_0.png").exists()  # pgd keeps no pictures
    assert "14 of 14 cells complete" in page and "attacked as planned" in page


def test_pictures_name_a_few_methods_and_no_controls(attacked: Path) -> None:
    text = (attacked / "reports/figures/attack_hoax_toy_0.svg").read_text(encoding="utf-8")
    shown = [method for method in ATTACKED.methods if f">{method}<" in text]
    assert shown == ["cross_entropy", "difference_salience", "flat"]
    assert "seed 0" in text and "seed 1" not in text


def test_attacks_lead_back_to_their_records(attacked: Path) -> None:
    listed = pd.read_csv(attacked / "reports/tables/attacks.csv", keep_default_na=False)
    assert len(listed) == 14 * 4 + 2 and (listed["robustness_key"] != "").all()
    row = listed[(listed["attack"] == "pushed") & (listed["method"] == "cyborg")].iloc[0]
    record = attacked / "robustness/toy_0/compact/cyborg/0/pushed/record.json"
    assert json.loads(record.read_text())["key"] == row["robustness_key"]
    assert row["kind"] == "passive_fooling"


def test_settings_of_attacks_are_shown_in_full(attacked: Path) -> None:
    listed = pd.read_csv(attacked / "reports/tables/attacks.csv", keep_default_na=False)
    full = listed.drop_duplicates("attack").set_index("attack")["settings"]
    assert "eps 0.0313725, steps 100" in full["moved"] and "target other" in full["moved"]  # all are defaults
    assert full["bounded"].startswith("linf 0.00196078 0.00392157")
    assert "eps 0.0313725" in (attacked / "reports/tables/manipulability.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_missing_attacks_are_visible(spoiled: Path) -> None:
    shutil.rmtree("robustness/toy_0/compact/cyborg/1/hoax")
    report(ATTACKED)
    cells = pd.read_csv("reports/tables/cells.csv", keep_default_na=False)
    lacking = cells[cells["missing"] != ""]
    assert lacking[["method", "seed", "missing"]].to_numpy().tolist() == [["cyborg", 1, "robustness/hoax"]]
    assert "13 of 14 cells complete" in (spoiled / "reports/index.html").read_text(encoding="utf-8")
    tidy = pd.read_csv("reports/tables/hoax.csv", keep_default_na=False)
    mine = tidy[(tidy["method"] == "cyborg") & (tidy["attack"] == "hoax")]
    assert set(mine["n"]) == {1} and set(mine["planned"]) == {2}
    assert set(tidy.loc[tidy["attack"] == "pushed", "planned"]) == {1}  # of one seed only
    assert "15 of 16 attacked cells" in Path("reports/tables/hoax.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn", "spoiled")
def test_an_attack_on_another_training_is_missing() -> None:
    cell = {"dataset": "toy_0", "backbone": "compact", "method": "cyborg", "seed": 1}
    write_cell(cell, salt="trained again")
    report(ATTACKED)
    cells = pd.read_csv("reports/tables/cells.csv", keep_default_na=False)
    (missing,) = cells.loc[cells["missing"] != "", "missing"]
    assert missing.split() == [f"robustness/{name}" for name in ("hoax", "moved", "bounded", "smallest")]


@pytest.mark.usefixtures("undrawn", "spoiled")
@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({"images": 7}, list(PLANNED)),
        ({"shown": 1}, list(PLANNED)),
        ({"attacks": {**PLANNED, "hoax": {"attack": {"name": "sham", "fool": "both"}}}}, ["hoax"]),
        (
            {"attacks": {**PLANNED, "moved": {"attack": {"name": "manipulation"}, "explanations": ["cam"]}}},
            ["moved"],
        ),
    ],
)
def test_an_attack_with_other_settings_is_missing(changed: dict[str, Any], lacking: list[str]) -> None:
    raw = ATTACKED.model_dump()
    raw["robustness"] |= changed
    report(Params(**raw))
    cells = pd.read_csv("reports/tables/cells.csv", keep_default_na=False)
    missing = cells.loc[(cells["method"] == "cyborg") & (cells["seed"] == 0), "missing"].item()
    assert missing.split() == [f"robustness/{name}" for name in lacking]


def test_an_attack_of_a_new_kind_needs_no_other_file(
    spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    for folder in catalogue.ENTRY_POINTS:
        shutil.copytree(catalogue.PACKAGE / folder, package / folder)
    source = 'TABLE = "other"\ndef attack(victim, *, spoons: int = 3): ...'
    (package / "explain/attacks/telepathy.py").write_text(source)
    monkeypatch.setattr(catalogue, "PACKAGE", package)
    planned = {"new": {"attack": {"name": "telepathy"}}}
    settings = params(seeds=2, robustness={"attacks": planned}, report={"dpi": 50})
    for method in settings.methods:
        for seed in (0, 1):
            cell = {"dataset": "toy_0", "backbone": "compact", "method": method, "seed": seed}
            write_attacks(cell, settings)
    report(settings)
    table = (spoiled / "reports/tables/other_attacks.md").read_text(encoding="utf-8")
    assert "new: telepathy, spoons 3." in table and "| method | bent spoons, 0.25 |" in table
    page = (spoiled / "reports/details/index.html").read_text(encoding="utf-8")
    assert 'src="../figures/attack_new_toy_0.png"' in page and "new: before the attack and after it" in page


@pytest.mark.usefixtures("undrawn", "spoiled")
def test_no_attack_run_yet_still_reports() -> None:
    shutil.rmtree("robustness")
    report(ATTACKED)
    page = Path("reports/details/index.html").read_text(encoding="utf-8")
    assert 'aria-label="Toy 0 (phantom), compact, hoax' not in page and "0 of 14 cells complete" in page
    assert "0 of 16 attacked cells" in Path("reports/tables/hoax.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("spoiled")
def test_attacks_that_keep_no_pictures_leave_them_out() -> None:
    for path in Path("robustness").rglob("hoax/pictures.npz"):
        with np.load(path) as file:
            kept = {key: file[key][:0] for key in file.files}
        np.savez(path, **kept)
    shutil.rmtree("reports/figures")
    drawing = illustrations(ATTACKED)
    for name in ("hoax", "smallest"):
        drawing.attack_picture(name)
    drawn = {path.name for path in Path("reports/figures").iterdir()}
    assert drawn == {"attack_smallest_toy_0.png", "attack_smallest_toy_0.svg"}
