"""A table as CSV, Markdown and LaTeX (booktabs); the same bytes for the same numbers."""

from pathlib import Path

import pandas as pd

from pipeline.common.files import write_csv, write_text
from pipeline.present.evidence import BOUNDS, about_bootstrap, explained, readme_rows, shown_first
from pipeline.present.results import Grid
from pipeline.present.tables import Table, rests_on

QUESTION = "Does a model decide by what people marked?"
WIDE = 5  # columns; more are scaled to the width of the text
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--",
    "∞": r"$\infty$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def write(table: Table, folder: Path) -> None:
    """Write `<folder>/<name>.csv`, `.md` and `.tex`, and `<name>_differences.csv` where there are some."""
    write_csv(folder / f"{table.name}.csv", table.tidy)
    if len(table.differences):
        write_csv(folder / f"{table.name}_differences.csv", table.differences)
    write_text(folder / f"{table.name}.md", markdown(table))
    write_text(folder / f"{table.name}.tex", latex(table))


def markdown(table: Table) -> str:
    """The panels under their headings, then the caption."""
    found = [f"# {table.title}"]
    for panel in table.panels:
        found += [f"## {panel.heading.replace('<', '&lt;')}", markdown_rows(panel.rows), panel.note]
    return "\n\n".join(part for part in [*found, table.caption] if part) + "\n"


def markdown_rows(rows: pd.DataFrame) -> str:
    """A pipe table: names to the left, numbers to the right.

    >>> print(markdown_rows(pd.DataFrame({"method": ["a|b"], "auroc": ["0.9"]})))
    | method | auroc |
    |:--|--:|
    | a\\|b | 0.9 |
    """
    lines = [list(rows.columns), *rows.to_numpy().tolist()]
    text = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|:--|" + "--:|" * (rows.shape[1] - 1)
    return "\n".join([text[0], rule, *text[1:]])


def latex(table: Table) -> str:
    r"""One `table` environment per panel; the caption is written in full in the first.

    Needs the packages booktabs and graphicx.
    """
    found = [r"% needs \usepackage{booktabs,graphicx}"]
    for place, panel in enumerate(table.panels):
        said = [f"{table.title}: {panel.heading}.", panel.note, table.caption if place == 0 else ""]
        caption = escape(" ".join(part for part in said if part))
        found += [
            r"\begin{table}[ht]\centering\footnotesize",
            rf"\caption{{{caption}}}\label{{tab:{table.name}-{place}}}",
            _tabular(panel.rows),
            r"\end{table}",
            "",
        ]
    return "\n".join(found)


def _tabular(rows: pd.DataFrame) -> str:
    style = rows.style.hide(axis="index").format(escape).format_index(escape, axis="columns")
    text = style.to_latex(hrules=True, column_format="l" + "r" * (rows.shape[1] - 1)).strip()
    return f"\\resizebox{{\\linewidth}}{{!}}{{%\n{text}\n}}" if rows.shape[1] > WIDE else text


def escape(text: object) -> str:
    r"""Text as LaTeX prints it.

    >>> escape("a_b 5 % ± −")
    'a\\_b 5 \\% $\\pm$ $-$'
    """
    return "".join(LATEX.get(character, character) for character in str(text))


def readme(main: Table, grid: Grid) -> str:
    """The README's table: the first quantities of each data set; the caption alone where there are none."""
    rows = readme_rows(main, grid)
    if rows.empty:
        return f"{main.caption}\n"
    words = f"{explained(shown_first(main, grid))} {BOUNDS}"
    counts = rests_on(grid, "evaluate", interval=about_bootstrap(grid))
    return f"**{QUESTION}**\n\n{markdown_rows(rows)}\n\n{words} {counts}\n"
