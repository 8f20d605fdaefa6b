"""The report on a small invented grid: every number leads back, nothing missing is hidden, bytes repeat."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pandas as pd
import pytest
from fake_attacks import PLANNED, write_attacks
from fake_results import VARIANTS, params, write_all, write_cell

from pipeline.common import catalogue
from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.data.store import open_store
from pipeline.report import _attack, _first_cells, gather, report

TABLES = ("generalisation", "attack_errors", "alignment", "features", "faithfulness", "cost")
ATTACK_TABLES = ("hoax", "manipulability", "robust_decisions", "guidance_and_robustness")
SETTINGS = params(datasets=1, seeds=2, report={"dpi": 50})
ATTACKED = params(datasets=1, seeds=2, methods=VARIANTS, robustness={"attacks": PLANNED}, report={"dpi": 50})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all cells are finished and reported."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_all(SETTINGS)
        report(SETTINGS)
    return folder


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
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as working directory."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr("pipeline.report._figures", lambda *arguments: [])


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_table_and_figure_is_there(finished: Path) -> None:
    for name in TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (finished / f"reports/tables/{name}.{suffix}").stat().st_size > 0
    for stem in ("roc", "sources", "training", "gallery", "contact_sheet", "exemplars"):
        for suffix in ("png", "svg"):
            assert (finished / f"reports/figures/{stem}_toy_0.{suffix}").stat().st_size > 0


def test_same_records_give_the_same_bytes(copied: Path) -> None:
    before = digests(copied / "reports")
    shutil.rmtree("reports")
    report(SETTINGS)
    assert digests(copied / "reports") == before


def test_numbers_are_those_of_the_records(finished: Path) -> None:
    tidy = pd.read_csv(finished / "reports/tables/generalisation.csv", keep_default_na=False)
    cells = pd.read_csv(finished / "reports/tables/cells.csv").set_index("cell")
    row = tidy[(tidy["method"] == "cyborg") & (tidy["source"] == "site_c")].iloc[0]
    values = []
    for short in row["cells"].split():
        cell = cells.loc[short]
        assert cell["train_key"].startswith(short)
        place = (
            finished / "evaluate" / cell["dataset"] / cell["backbone"] / cell["method"] / str(cell["seed"])
        )
        metrics = pd.read_csv(place / "metrics.csv")
        found = metrics[(metrics["source"] == "site_c") & (metrics["metric"] == "auroc")]
        values.append(found["value"].item())
    assert len(values) == 2
    assert float(row["mean"]) == pytest.approx(sum(values) / 2)


@pytest.mark.parametrize("which", ["finished", "attacked"])
def test_page_needs_no_network_and_its_links_lead_somewhere(
    which: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(which)
    page = (folder / "reports/index.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(links) > 30
    for link in links:
        assert not urlparse(link).scheme and not link.startswith("//"), link
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
        else:
            assert (folder / "reports" / link).is_file(), link


def test_page_labels_phantoms_and_gives_the_audits_warnings(finished: Path) -> None:
    page = (finished / "reports/index.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h[23][^>]*toy_0[^>]*>.*?</h[23]>", page, re.S)
    assert titles and all("phantom" in title for title in titles)
    captions = re.findall(r"<figcaption>.*?</figcaption>", page, re.S)
    assert captions and all("phantom" in caption for caption in captions)
    assert "W_SHORTCUT" in page and "bits predict &lt;the&gt; class" in page


@pytest.mark.usefixtures("undrawn")
def test_missing_cells_are_visible(copied: Path) -> None:
    shutil.rmtree("evaluate/toy_0/compact/cyborg/1")
    report(SETTINGS)
    page = (copied / "reports/index.html").read_text(encoding="utf-8")
    assert "7 of 8 cells complete" in page and "(1 of 2)" in page
    cells = pd.read_csv("reports/tables/cells.csv", keep_default_na=False)
    lacking = cells[cells["missing"] != ""]
    assert lacking[["method", "seed", "missing"]].to_numpy().tolist() == [["cyborg", 1, "evaluate"]]
    tidy = pd.read_csv("reports/tables/generalisation.csv", keep_default_na=False)
    assert set(tidy.loc[tidy["method"] == "cyborg", "n"]) == {1}
    assert "7 of 8 runs" in Path("reports/tables/generalisation.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn", "copied")
def test_measurement_of_another_training_is_missing() -> None:
    kept = Path("evaluate/toy_0/compact/cyborg/1/record.json").read_bytes()
    cell = {"dataset": "toy_0", "backbone": "compact", "method": "cyborg", "seed": 1}
    write_cell(cell, salt="trained again")
    Path("evaluate/toy_0/compact/cyborg/1/record.json").write_bytes(kept)
    report(SETTINGS)
    cells = pd.read_csv("reports/tables/cells.csv", keep_default_na=False)
    assert cells.loc[cells["missing"] != "", "missing"].tolist() == ["evaluate"]


@pytest.mark.usefixtures("copied")
def test_pictures_show_measurements_of_the_present_training() -> None:
    kept = Path("evaluate/toy_0/compact/cyborg/0/record.json").read_bytes()
    cell = {"dataset": "toy_0", "backbone": "compact", "method": "cyborg", "seed": 0}
    write_cell(cell, salt="trained again")
    Path("evaluate/toy_0/compact/cyborg/0/record.json").write_bytes(kept)
    shown = _first_cells(SETTINGS, "toy_0", "evaluate")
    assert {method: cell.seed for method, cell in shown.items()} == {
        "cross_entropy": 0,
        "cyborg": 1,
        "difference_salience": 0,
    }


def test_only_controls_evaluated_leaves_the_gallery_out(copied: Path) -> None:
    for stage in ("evaluate", "identify"):
        for method in ("cross_entropy", "cyborg", "difference_salience"):
            shutil.rmtree(f"{stage}/toy_0/compact/{method}")
    report(SETTINGS)
    drawn = {path.name for path in (copied / "reports/figures").iterdir()}
    assert "roc_toy_0.png" in drawn and not {"gallery_toy_0.png", "exemplars_toy_0.png"} & drawn


@pytest.mark.usefixtures("undrawn", "copied")
def test_a_source_named_null_is_a_name() -> None:
    for path in Path("evaluate").rglob("metrics.csv"):
        path.write_text(path.read_text(encoding="utf-8").replace("site_c", "null"), encoding="utf-8")
    report(SETTINGS)
    tidy = pd.read_csv("reports/tables/generalisation.csv", keep_default_na=False)
    assert set(tidy["source"]) == {"", "null", "unseen_type"}


@pytest.mark.usefixtures("undrawn")
def test_what_an_earlier_report_left_is_gone(copied: Path) -> None:
    (copied / "reports/figures/roc_gone.png").write_bytes(b"old")
    report(SETTINGS)
    assert not (copied / "reports/figures/roc_gone.png").exists()


@pytest.mark.usefixtures("undrawn", "copied")
def test_nothing_identified_still_reports() -> None:
    shutil.rmtree("identify")
    report(SETTINGS)
    assert "0 of 8 runs" in Path("reports/tables/features.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("copied")
def test_nothing_evaluated_is_an_error_and_keeps_the_old_report() -> None:
    shutil.rmtree("evaluate")
    with pytest.raises(UserError, match="no cell has been evaluated"):
        report(SETTINGS)
    assert Path("reports/index.html").is_file()


def _one_method() -> Params:
    raw = SETTINGS.model_dump()
    raw["datasets"]["toy_0"]["methods"] = ["cross_entropy"]
    return Params(**raw)


@pytest.mark.usefixtures("undrawn", "copied")
def test_one_method_has_no_differences() -> None:
    report(_one_method())
    text = Path("reports/tables/generalisation.md").read_text(encoding="utf-8")
    assert "−" not in text and "cyborg" not in text


@pytest.mark.usefixtures("undrawn", "copied")
def test_without_held_out_sources_only_closed_results_remain() -> None:
    for path in Path("evaluate").rglob("metrics.csv"):
        metrics = pd.read_csv(path, keep_default_na=False)
        metrics[metrics["scope"] == "closed"].to_csv(path, index=False)
    report(SETTINGS)
    assert "No data set holds out a source" in Path("reports/index.html").read_text(encoding="utf-8")
    assert "| method | closed |" in Path("reports/tables/generalisation.md").read_text(encoding="utf-8")
    assert "|" not in Path("reports/tables/readme.md").read_text(encoding="utf-8")


def test_without_planned_attacks_nothing_is_said_of_them(finished: Path) -> None:
    page = (finished / "reports/index.html").read_text(encoding="utf-8")
    assert "hoax" not in page and "attacks.csv" not in page and "robust" not in page
    files = {path.stem for path in (finished / "reports/tables").iterdir()}
    assert not files & {*ATTACK_TABLES, "attacks"}
    assert "robust" not in (finished / "reports/tables/cells.csv").read_text(encoding="utf-8")


def test_attacks_have_their_tables_figures_and_sections(attacked: Path) -> None:
    page = (attacked / "reports/index.html").read_text(encoding="utf-8")
    for name in ATTACK_TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (attacked / f"reports/tables/{name}.{suffix}").stat().st_size > 0
        assert f'<h3 id="toy_0-{name}">' in page and f'<a href="#toy_0-{name}">' in page
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
        assert f'src="figures/{stem}_toy_0.png"' in page
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
    assert "eps 0.03137, steps 100" in full["moved"] and "target other" in full["moved"]  # all are defaults
    assert full["bounded"].startswith("linf 0.00196 0.00392")
    assert "eps 0.03137" in (attacked / "reports/tables/manipulability.md").read_text(encoding="utf-8")


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
    assert "15 of 16 attacked runs" in Path("reports/tables/hoax.md").read_text(encoding="utf-8")


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
        ({"attacks": {**PLANNED, "moved": {"attack": "manipulation", "explanations": ["cam"]}}}, ["moved"]),
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
    (package / "explain/attacks/telepathy.py").write_text("def attack(victim, *, spoons: int = 3): ...")
    monkeypatch.setattr(catalogue, "PACKAGE", package)
    settings = params(seeds=2, robustness={"attacks": {"new": {"attack": {"name": "telepathy"}}}}, report={"dpi": 50})
    for method in settings.methods:
        for seed in (0, 1):
            cell = {"dataset": "toy_0", "backbone": "compact", "method": method, "seed": seed}
            write_attacks(cell, settings)
    report(settings)
    table = (spoiled / "reports/tables/other_attacks.md").read_text(encoding="utf-8")
    assert "new: telepathy, spoons 3." in table and "| method | bent spoons, 0.25 |" in table
    page = (spoiled / "reports/index.html").read_text(encoding="utf-8")
    assert 'src="figures/attack_new_toy_0.png"' in page and "new: before the attack and after it" in page


@pytest.mark.usefixtures("undrawn", "spoiled")
def test_no_attack_run_yet_still_reports() -> None:
    shutil.rmtree("robustness")
    report(ATTACKED)
    page = Path("reports/index.html").read_text(encoding="utf-8")
    assert 'id="toy_0-hoax"' not in page and "0 of 14 cells complete" in page
    assert "0 of 16 attacked runs" in Path("reports/tables/hoax.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("spoiled")
def test_attacks_that_keep_no_pictures_leave_them_out() -> None:
    for path in Path("robustness").rglob("hoax/pictures.npz"):
        with np.load(path) as file:
            kept = {key: file[key][:0] for key in file.files}
        np.savez(path, **kept)
    shutil.rmtree("reports/figures")
    stores = {"toy_0": open_store(Path("data/prepared/toy_0"))}
    grid, _ = gather(ATTACKED, stores)
    for name in ("hoax", "smallest"):
        _attack(name, "toy_0", stores["toy_0"], grid, 50)
    drawn = {path.name for path in Path("reports/figures").iterdir()}
    assert drawn == {"attack_smallest_toy_0.png", "attack_smallest_toy_0.svg"}
