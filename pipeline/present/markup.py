"""A table as CSV, Markdown and LaTeX (booktabs); the same bytes for the same numbers."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.files import write_csv, write_text
from pipeline.present.comparisons import Grid
from pipeline.present.tables import Table, estimate, signed_estimate

WIDE = 5  # columns; more are scaled to the width of the text
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--",
    "∞": r"$\infty$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def write(table: Table, folder: Path) -> None:
    """Write `<folder>/<name>.csv`, `.md` and `.tex`."""
    write_csv(folder / f"{table.name}.csv", table.tidy)
    write_text(folder / f"{table.name}.md", markdown(table))
    write_text(folder / f"{table.name}.tex", latex(table))


def markdown(table: Table, level: int = 1) -> str:
    """The panels under their headings, then the caption."""
    parts = [f"{'#' * level} {table.title}"]
    for panel in table.panels:
        parts += [f"{'#' * (level + 1)} {panel.heading}", markdown_rows(panel.rows), panel.note]
    return "\n\n".join(part for part in [*parts, table.caption] if part) + "\n"


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
    parts = [r"% needs \usepackage{booktabs,graphicx}"]
    for place, panel in enumerate(table.panels):
        said = [f"{table.title}: {panel.heading}.", panel.note, table.caption if place == 0 else ""]
        caption = " ".join(part for part in said if part)
        parts.append(_latex_panel(panel.rows, caption, f"{table.name}-{place}"))
    return "\n".join(parts)


def _latex_panel(rows: pd.DataFrame, caption: str, label: str) -> str:
    lines = [" & ".join(escape(str(cell)) for cell in line) + r" \\" for line in rows.to_numpy().tolist()]
    header = " & ".join(escape(column) for column in rows.columns) + r" \\"
    tabular = [
        rf"\begin{{tabular}}{{l{'r' * (rows.shape[1] - 1)}}}",
        *(r"\toprule", header, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}"),
    ]
    if rows.shape[1] > WIDE:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    begin = [
        r"\begin{table}[ht]\centering\footnotesize",
        rf"\caption{{{escape(caption)}}}\label{{tab:{label}}}",
    ]
    return "\n".join([*begin, *tabular, r"\end{table}", ""])


def escape(text: str) -> str:
    r"""Text as LaTeX prints it.

    >>> escape("a_b 5 % ± −")
    'a\\_b 5 \\% $\\pm$ $-$'
    """
    return "".join(LATEX.get(character, character) for character in text)


def readme(table: Table, grid: Grid) -> str:
    """The generalisation table as the README shows it: one row per method, macro AUROC per data set.

    Only the caption where no data set holds out a source.
    """
    macro = table.tidy[table.tidy["scope"] == "macro"]
    if macro.empty:
        return f"{table.caption}\n"
    reference = grid.references[-1]
    methods = list(dict.fromkeys(macro["method"]))
    rows = pd.DataFrame({"method": [f"{m} (control)" if m in grid.controls else m for m in methods]})
    for (dataset, backbone), part in macro.groupby(["dataset", "backbone"], sort=False):
        by_method = part.set_index("method").reindex(methods)
        name = f"{dataset}, {backbone}" if macro["backbone"].nunique() > 1 else str(dataset)
        rows[name] = [_or_blank(row) for row in by_method.itertuples()]
        gains = by_method[[f"vs_{reference}{end}" for end in ("", "_low", "_high")]]
        rows[f"{name} − {reference}"] = [signed_estimate(*row) for row in gains.to_numpy()]
    title = "AUROC on sources never seen in training (macro mean over them)"
    return f"**{title}**\n\n{markdown_rows(rows)}\n\n{table.caption}\n"


def _or_blank(row: Any) -> str:
    if pd.isna(row.planned):
        return "–"
    return estimate(row.mean, row.low, row.high, int(row.n), int(row.planned))
