"""Text that Markdown and LaTeX can read."""

import shutil
import subprocess
from pathlib import Path

import pytest
from small_grid import grid, measured, metrics

from pipeline.present import evidence, generalisation, markup


def test_markdown_rows_have_as_many_cells_as_the_head() -> None:
    lines = markup.markdown_rows(
        generalisation.table({"metrics": metrics()}, grid()).panels[0].rows
    ).splitlines()
    assert len({line.count("|") for line in lines}) == 1


def test_latex_escapes_and_aligns() -> None:
    text = markup.latex(generalisation.table({"metrics": metrics()}, grid()))
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert len(body) == 4 and {line.count(" & ") + 1 for line in body} == {len(spec)}
    assert spec == "l" + "r" * (len(spec) - 1)
    assert r"cross\_entropy" in text and "Title\\_1" in text and "±" not in text
    assert r"\toprule" in text and r"\midrule" in text and r"\bottomrule" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    body = markup.latex(generalisation.table({"metrics": metrics()}, grid()))
    head = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_differences_are_a_file_of_their_own(tmp_path: Path) -> None:
    table = generalisation.table({"metrics": metrics()}, grid())
    markup.write(table, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "generalisation.csv", "generalisation_differences.csv", "generalisation.md", "generalisation.tex",
    }  # fmt: skip


def test_readme_without_held_out_sources_is_the_caption() -> None:
    closed = metrics()
    table = evidence.table(measured(closed[closed["scope"] == "closed"]), grid())
    assert markup.readme(table, grid()) == f"{table.caption}\n"
    whole = evidence.table(measured(metrics()), grid())
    assert "| cyborg | 0.80 [" in markup.readme(whole, grid())
