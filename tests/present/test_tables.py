"""Tables: numbers by hand on a three-seed grid, and text that Markdown and LaTeX can read."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.present import markup
from pipeline.present import tables
from pipeline.present.comparisons import Grid, Note, compared, paired, summarise, verdicts

METHODS = ("cross_entropy", "cyborg", "control_a")
AUROC = {  # (method, seed) -> macro AUROC; cyborg gains 0.1, 0.2, 0.3 on cross_entropy
    ("cross_entropy", 0): 0.5, ("cross_entropy", 1): 0.6, ("cross_entropy", 2): 0.7,
    ("cyborg", 0): 0.6, ("cyborg", 1): 0.8, ("cyborg", 2): 1.0,
    ("control_a", 0): 0.4, ("control_a", 1): 0.5, ("control_a", 2): 0.6,
}  # fmt: skip


def grid(phantom: bool = True) -> Grid:
    cells = pd.DataFrame(
        [
            {"dataset": "d", "backbone": "b", "method": method, "seed": seed, "cell": f"{method[:3]}{seed}",
             "train_key": "k", "evaluate_key": "k", "identify_key": "k", "missing": ""}
            for method in METHODS for seed in (0, 1, 2)
        ]
    )  # fmt: skip
    note = Note("Title_1", "drawn", phantom)
    return Grid({"d": note}, frozenset({"control_a"}), ("cyborg", "cross_entropy"), 0.95, cells)


def metrics(skip: tuple[str, int] | None = None) -> pd.DataFrame:
    rows = []
    for (method, seed), value in AUROC.items():
        if (method, seed) != skip:
            for scope, source, shift in (("closed", "", 0.0), ("held_out", "s_1", 0.0), ("macro", "", 0.0)):
                rows.append(
                    {"dataset": "d", "backbone": "b", "method": method, "seed": seed, "scope": scope,
                     "source": source, "metric": "auroc", "value": value + shift,
                     "n_negative": 40, "n_positive": 41}
                )  # fmt: skip
    return pd.DataFrame(rows)


def row(frame: pd.DataFrame, **where: str) -> pd.Series:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_mean_interval_and_cells() -> None:
    found = row(summarise(metrics(), ["scope", "source"], grid()), method="cyborg", scope="macro")
    reach = 4.302652729911275 * 0.2 / np.sqrt(3)  # t quantile for 2 degrees of freedom, sd 0.2
    assert found["mean"] == pytest.approx(0.8)
    assert (found["low"], found["high"]) == pytest.approx((0.8 - reach, 0.8 + reach))
    assert (found["n"], found["planned"], found["cells"]) == (3, 3, "cyb0 cyb1 cyb2")


def test_missing_cell_lowers_n_and_stays_visible() -> None:
    found = summarise(metrics(skip=("cyborg", 1)), ["scope", "source"], grid())
    lacking = row(found, method="cyborg", scope="macro")
    assert (lacking["n"], lacking["planned"], lacking["cells"]) == (2, 3, "cyb0 cyb2")
    nothing = metrics()
    nothing = nothing[nothing["method"] != "cyborg"]
    absent = row(summarise(nothing, ["scope", "source"], grid()), method="cyborg", scope="macro")
    assert absent["n"] == 0 and np.isnan(absent["mean"]) and absent["cells"] == ""
    table = tables.generalisation(nothing, grid())
    assert row(table.panels[0].rows, method="cyborg")["macro"] == "missing (0 of 3)"


def test_pairs_share_seeds_only() -> None:
    found = paired(metrics(skip=("cross_entropy", 0)), ["scope", "source"], "cross_entropy", grid())
    gain = row(found, method="cyborg", scope="macro")
    assert gain["vs_cross_entropy"] == pytest.approx(0.25)  # seeds 1 and 2
    assert (gain["vs_cross_entropy_pairs"], gain["vs_cross_entropy_p"]) == (2, 0.5)


def test_holm_over_the_family_of_a_scope() -> None:
    found = compared(metrics(), ["scope", "source"], "scope", grid())
    tested = row(found, method="cyborg", scope="macro")
    assert tested["vs_cross_entropy_p"] == 0.25
    assert tested["vs_cross_entropy_holm"] == 0.5  # two methods are compared to cross_entropy
    assert np.isnan(row(found, method="cyborg", scope="macro")["vs_cyborg_holm"])


def test_verdict_follows_the_interval() -> None:
    found = verdicts(tables.generalisation(metrics(), grid()).tidy, grid())
    against = found[found["reference"] == "cross_entropy"].set_index("method")["verdict"]
    assert against["control_a"] == "worse"  # -0.1 on every seed
    assert against["cyborg"] == "unclear"  # +0.2 ± 0.25
    lacking = metrics()
    lacking = lacking[lacking["method"] != "cyborg"]
    found = verdicts(tables.generalisation(lacking, grid()).tidy, grid())
    assert row(found, method="cyborg", reference="cross_entropy")["verdict"] == "missing"


def test_caption_says_what_it_rests_on() -> None:
    caption = tables.generalisation(metrics(), grid()).caption
    assert "9 of 9 runs" in caption and "cannot go below 0.25" in caption and "Phantoms" in caption
    assert "Phantoms" not in tables.generalisation(metrics(), grid(phantom=False)).caption


def test_controls_are_marked() -> None:
    table = tables.generalisation(metrics(), grid())
    assert table.panels[0].rows["method"].tolist() == ["cross_entropy", "cyborg", "control_a (control)"]
    assert table.tidy.loc[table.tidy["method"] == "control_a", "control"].all()


def test_without_the_baseline_there_are_no_differences() -> None:
    only = metrics()
    only = only[only["method"] == "control_a"]
    text = tables.generalisation(only, grid()).panels[0].rows
    assert not [column for column in text if "−" in column]


def test_markdown_rows_have_as_many_cells_as_the_head() -> None:
    lines = markup.markdown_rows(tables.generalisation(metrics(), grid()).panels[0].rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1


def test_latex_escapes_and_aligns() -> None:
    text = markup.latex(tables.generalisation(metrics(), grid()))
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert {line.count(" & ") + 1 for line in body} == {len(spec)}
    assert r"cross\_entropy" in text and "Title\\_1" in text and "±" not in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    body = markup.latex(tables.generalisation(metrics(), grid()))
    head = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_readme_shows_macro_and_gain() -> None:
    text = markup.readme(tables.generalisation(metrics(), grid()), grid())
    line = next(line for line in text.splitlines() if line.startswith("| cyborg"))
    assert "0.800 ±" in line and "+0.200 ±" in line
