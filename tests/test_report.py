"""The report on a small invented grid: every number leads back, nothing missing is hidden, bytes repeat."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from fake_results import params, record_again, write_all, write_cell
from reported import check_links, digests, illustrations, without_provenance

from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.present.illustrations import Illustrations
from pipeline.report import report

TABLES = (
    "evidence",
    "generalisation",
    "strata",
    "counterfactuals",
    "detection_errors",
    "alignment",
    "regions",
    "faithfulness",
)
OF_ATTACKS = {"hoax", "manipulability", "robust_decisions", "guidance_and_robustness", "attacks", "methods"}
SETTINGS = params(datasets=1, seeds=2, report={"dpi": 50})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all cells are finished and reported."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_all(SETTINGS)
        report(SETTINGS)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as working directory."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr(Illustrations, "jobs", lambda self: [])


def test_every_table_and_figure_is_there(finished: Path) -> None:
    for name in TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (finished / f"reports/tables/{name}.{suffix}").stat().st_size > 0
    for stem in ("roc", "sources", "training", "gallery", "contact_sheet", "exemplars", "filled"):
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
        place = finished / "evaluate" / cell["draw"] / cell["backbone"] / cell["method"] / str(cell["seed"])
        metrics = pd.read_csv(place / "metrics.csv")
        found = metrics[(metrics["source"] == "site_c") & (metrics["metric"] == "auroc")]
        values.append(found["value"].item())
    assert len(values) == 2
    assert float(row["mean"]) == pytest.approx(sum(values) / 2)


def test_links_of_the_page_lead_somewhere(finished: Path) -> None:
    check_links(finished / "reports")


def test_page_says_how_data_were_split(finished: Path) -> None:
    path = "data/prepared/toy_0/protocol.json"
    by = json.loads((finished / path).read_text())["split_by"]
    page = (finished / "reports/details/index.html").read_text(encoding="utf-8")
    assert f"<dt>Split by</dt><dd>{by}</dd>" in page


def test_page_labels_phantoms_and_gives_the_audits_warnings(finished: Path) -> None:
    main = (finished / "reports/index.html").read_text(encoding="utf-8")
    assert "drawn, not real" in main
    page = (finished / "reports/details/index.html").read_text(encoding="utf-8")
    titles = [
        title for text in (main, page) for title in re.findall(r"<h2[^>]*toy_0[^>]*>.*?</h2>", text, re.S)
    ]
    assert titles and all("phantom" in title for title in titles)
    captions = re.findall(r"<figcaption>.*?</figcaption>", page, re.S)
    assert captions and all("phantom" in caption for caption in captions)
    assert "W_SHORTCUT" in page and "bits predict &lt;the&gt; class" in page
    assert page.count('<img src="data:image/png;base64,') == page.count("W_SHORTCUT_PIXELS") > 0


@pytest.mark.usefixtures("undrawn")
def test_what_differs_between_machines_is_in_the_cost_pages_alone(copied: Path) -> None:
    report(SETTINGS)
    before = digests(copied / "reports")
    for path in Path("runs").rglob("circumstances.json"):
        made = json.loads(path.read_text())
        made |= {"timings": {"total_s": 77.7}, "started": "2031-01-01T00:00:00", "git_commit": "f" * 40}
        path.write_text(json.dumps(made))
    shutil.rmtree("reports")
    report(SETTINGS)
    assert digests(copied / "reports") == before
    for name in ("cost.md", "cost.html", "cost.tex"):
        assert "77.7" in Path(f"reports/{name}").read_text(encoding="utf-8")
    page = Path("reports/index.html").read_text(encoding="utf-8")
    assert 'href="cost.html"' in page and "on this machine" in page
    assert "ffffffffffff" in page and "77.7" not in without_provenance(page)


@pytest.mark.usefixtures("undrawn")
def test_fetched_results_have_no_known_cost_and_still_report(copied: Path) -> None:
    for path in copied.rglob("circumstances.json"):
        path.unlink()
    report(SETTINGS)
    tidy = pd.read_csv("reports/cost.csv")
    assert set(tidy["quantity"]) == {"parameters_k"}


def test_headline_numbers_and_training_curves_for_dvc(finished: Path) -> None:
    found = json.loads((finished / "reports/metrics/toy_0/compact/cyborg.json").read_text())
    tidy = pd.read_csv(finished / "reports/tables/generalisation.csv", keep_default_na=False)
    macro = tidy[(tidy["method"] == "cyborg") & (tidy["scope"] == "macro")].iloc[0]
    assert found["held_out_auroc"] == macro["mean"]
    assert found["without_cause"] == pytest.approx(0.85)
    curves = pd.read_csv(finished / "reports/plots/training.csv")
    assert {"dataset", "backbone", "method", "seed", "epoch", "val_auroc", "guidance"} <= set(curves)
    assert len(curves) == 4 * 2 * 4  # methods, seeds, epochs


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
    assert "7 of 8 cells" in Path("reports/tables/generalisation.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn", "copied")
def test_what_was_changed_since_is_listed_and_the_old_report_stays() -> None:
    before = digests(Path("reports"))
    scores, gallery = (
        Path("evaluate/toy_0/compact/cyborg/1") / name for name in ("scores.csv", "gallery.npz")
    )
    scores.write_text(scores.read_text().replace("0.", "1.", 1))
    gallery.unlink()
    with pytest.raises(UserError) as error:
        report(SETTINGS)
    assert sorted(error.value.problems) == [
        f"{gallery}: missing; run dvc repro evaluate",
        f"{scores}: differs from its record; run dvc repro evaluate",
    ]
    assert digests(Path("reports")) == before


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
    shown = illustrations(SETTINGS).first_cells("evaluate")
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
    for path in (*Path("evaluate").rglob("metrics.csv"), *Path("evaluate").rglob("scores.csv")):
        path.write_text(path.read_text(encoding="utf-8").replace("site_c", "null"), encoding="utf-8")
    record_again(Path("evaluate"))
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
    assert "0 of 8 cells" in Path("reports/tables/regions.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("copied")
def test_nothing_evaluated_is_an_error_and_keeps_the_old_report() -> None:
    shutil.rmtree("evaluate")
    with pytest.raises(UserError, match="no cell has been evaluated"):
        report(SETTINGS)
    assert Path("reports/index.html").is_file()


JOINED = params(
    datasets=3,
    seeds=2,
    report={"dpi": 50},
    about={
        "toy_1": {"draw_of": "toy_0"},
        "toy_2": {"draw_of": "toy_0", "variant": "flat"},
    },
)


def test_draws_are_one_and_a_variant_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_all(JOINED)
    monkeypatch.setattr(Illustrations, "jobs", lambda self: [self._filled])
    report(JOINED)
    tidy = pd.read_csv("reports/tables/evidence.csv", keep_default_na=False)
    counts = tidy[tidy["method"] == "cyborg"].groupby("dataset")[["n", "planned"]].first()
    assert counts.to_numpy().tolist() == [[4, 4], [2, 2]] and list(counts.index) == ["toy_0", "toy_0_flat"]
    page = Path("reports/details/index.html").read_text(encoding="utf-8")
    assert "2 independent draws: toy_0, toy_1" in page and "toy_0 4 units of 2 draws" in page
    assert "block_means (floor)" in page and "(floor)" in Path("reports/tables/readme.md").read_text()
    assert "flat" not in Path("reports/tables/readme.md").read_text().partition("\n\nconflict:")[0]
    assert Path("reports/figures/filled_toy_0_flat.png").is_file()
    check_links(Path("reports"))


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
    for path in (*Path("evaluate").rglob("metrics.csv"), *Path("evaluate").rglob("strata.csv")):
        rows = pd.read_csv(path, keep_default_na=False)
        rows[rows["scope"] == "closed"].to_csv(path, index=False)
    for path in Path("evaluate").rglob("counterfactuals.csv"):
        pd.read_csv(path).iloc[:0].to_csv(path, index=False)
    record_again(Path("evaluate"))
    report(SETTINGS)
    assert "No data set holds out a source" in Path("reports/index.html").read_text(encoding="utf-8")
    assert "| method | closed |" in Path("reports/tables/generalisation.md").read_text(encoding="utf-8")
    assert "|" not in Path("reports/tables/readme.md").read_text(encoding="utf-8")


def test_without_planned_attacks_nothing_is_said_of_them(finished: Path) -> None:
    for file in ("index.html", "details/index.html"):
        page = (finished / "reports" / file).read_text(encoding="utf-8")
        assert "hoax" not in page and "attacks.csv" not in page and "robust" not in page
    files = {path.stem for path in (finished / "reports/tables").iterdir()}
    assert not files & OF_ATTACKS
    assert "robust" not in (finished / "reports/tables/cells.csv").read_text(encoding="utf-8")
