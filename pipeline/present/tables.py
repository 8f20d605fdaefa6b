"""What a table is, and how rows of numbers become panels of text that are laid out for reading."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipeline.present.results import GROUP, UNIT, Grid
from pipeline.score.stats import FEWEST


@dataclass(frozen=True)
class Panel:
    """A part of a table as it is read: text, one row per method."""

    dataset: str
    heading: str
    rows: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Table:
    """One table: tidy numbers, the panels to read, and what must be known to read them."""

    name: str
    title: str
    caption: str
    tidy: pd.DataFrame  # `comparisons.summarise`
    panels: list[Panel]
    differences: pd.DataFrame = field(default_factory=pd.DataFrame)  # `comparisons.compare`
    figures: dict[str, str] = field(default_factory=dict)  # stem -> caption of what is shown below it


def estimate(mean: float, low: float, high: float, n: int, planned: int, digits: int = 3) -> str:
    """Mean ± half the interval, and how many cells it rests on when some are missing.

    >>> estimate(0.8, 0.75, 0.85, 3, 3), estimate(0.8, 0.75, 0.85, 2, 3)
    ('0.800 ± 0.050', '0.800 ± 0.050 (2 of 3)')
    >>> estimate(float("nan"), float("nan"), float("nan"), 0, 3), estimate(0.8, 0.8, float("nan"), 1, 1)
    ('missing (0 of 3)', '0.800')
    """
    if n == 0:
        return f"missing (0 of {planned})"
    half = (high - low) / 2
    text = f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half == half else "")
    return _counted(text, n, planned)


def _counted(text: str, n: int, planned: int) -> str:
    """Text with true minus signs, and how many units it rests on when some are missing."""
    text = text.replace("-", "−")
    return text if n == planned else f"{text} ({n} of {planned})"


def bracketed(mean: float, low: float, high: float, n: int, planned: int, digits: int = 2) -> str:
    """The same with an interval that need not lie evenly about the mean.

    >>> bracketed(0.96, 0.901, 0.99, 3, 3), bracketed(0.96, float("nan"), float("nan"), 1, 3)
    ('0.96 [0.90, 0.99]', '0.96 (1 of 3)')
    """
    if n == 0:
        return f"missing (0 of {planned})"
    limits = f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else ""
    return _counted(f"{mean:.{digits}f}{limits}", n, planned)


def signed_estimate(difference: float, low: float, high: float, digits: int = 3) -> str:
    """A difference with its sign ± half its interval.

    >>> signed_estimate(0.05, 0.02, 0.08), signed_estimate(-0.05, float("nan"), float("nan"))
    ('+0.050 ± 0.030', '−0.050')
    """
    half = (high - low) / 2
    text = f"{difference:+.{digits}f}".replace("-", "−")
    return text + (f" ± {half:.{digits}f}" if half == half else "")


def signed_bracketed(difference: float, low: float, high: float, digits: int = 2) -> str:
    """The same with an interval that need not lie evenly about it.

    >>> signed_bracketed(0.05, -0.02, 0.08)
    '+0.05 [−0.02, +0.08]'
    """
    limits = f" [{low:+.{digits}f}, {high:+.{digits}f}]" if low == low else ""
    return f"{difference:+.{digits}f}{limits}".replace("-", "−")


def estimate_texts(rows: pd.DataFrame) -> list[str]:
    """Rows of `summarise` as text, with 3 decimals or those of a column `digits`.

    A dash where all are recorded and none is defined.
    """
    return _texts(rows, estimate, 3)


def bracketed_texts(rows: pd.DataFrame) -> list[str]:
    """The same as `bracketed`, with 2 decimals."""
    return _texts(rows, bracketed, 2)


def _texts(rows: pd.DataFrame, write: Callable[..., str], digits: int) -> list[str]:
    numbers = _numbers(rows, "mean", "low", "high", "n", "planned", "recorded", digits=digits)
    return [
        "–" if n == 0 and recorded == planned else write(mean, low, high, n, planned, places)
        for mean, low, high, n, planned, recorded, places in numbers
    ]


def difference_texts(rows: pd.DataFrame) -> list[str]:
    """Rows of `compare` as text, with 3 decimals or those of a column `digits`."""
    return [signed_estimate(*numbers) for numbers in _numbers(rows, "value", "low", "high", digits=3)]


def gain_texts(rows: pd.DataFrame) -> list[str]:
    """Rows of `compare` as `signed_bracketed`, with 2 decimals, and their adjusted p, where they have one."""
    texts = [signed_bracketed(*numbers) for numbers in _numbers(rows, "value", "low", "high", digits=2)]
    tests = [f"; p {p:.2g}" if p == p else "" for p in rows["adjusted"]]
    return [f"{text}{test}" for text, test in zip(texts, tests, strict=True)]


def _numbers(rows: pd.DataFrame, *columns: str, digits: int) -> Iterator[tuple[Any, ...]]:
    """The values of each row in these columns, then its number of decimals."""
    places = rows.get("digits", pd.Series(digits, index=rows.index))
    yield from zip(*(rows[column] for column in columns), places, strict=True)


def spread(
    rows: pd.DataFrame, columns: Iterable[str] | None = None, by: Sequence[str] = ("method",)
) -> pd.DataFrame:
    """One line per value of `by`, one column of `text` per value of `column`; a dash where there is none.

    `columns` gives their order and leaves out all others; those that no row has are left out.
    """
    index = rows.drop_duplicates(list(by)).set_index(list(by)).index
    wide = rows.dropna(subset="column").pivot(index=list(by), columns="column", values="text")
    order = rows["column"].dropna() if columns is None else columns
    names = [name for name in dict.fromkeys(order) if name in wide]
    text = wide.reindex(index=index, columns=names).fillna("–")
    return text.rename(columns=lambda name: name.replace("_", " ")).rename_axis(columns=None)


def named(text: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The index as columns; methods that are controls, ceilings or floors say so."""
    frame = text.reset_index()
    return frame.assign(method=frame["method"].map(grid.label))


def estimate_lines(
    rows: pd.DataFrame, grid: Grid, columns: Iterable[str] | None = None, by: Sequence[str] = ("method",)
) -> pd.DataFrame:
    """Rows of `summarise`, which say their `column`, as a panel shows them; see `spread`."""
    return named(spread(rows.assign(text=estimate_texts(rows)), columns, by), grid)


def parts(tidy: pd.DataFrame, grid: Grid) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(data set, heading, rows) for each data set and backbone."""
    for (dataset, backbone), rows in tidy.groupby(GROUP[:2], sort=False):
        yield str(dataset), f"{grid.datasets[str(dataset)].title}, {backbone}", rows


def panels(
    rows: pd.DataFrame, grid: Grid, about: str = "", columns: Iterable[str] | None = None
) -> Iterator[Panel]:
    """A panel of estimates for each data set and backbone; `rows` say their `column`."""
    for dataset, heading, part in parts(rows, grid):
        yield Panel(dataset, f"{heading}{about}", estimate_lines(part, grid, columns))


def rests_on(
    grid: Grid, stage: str, unit: str = "cells", interval: str | None = None, compared: bool = False
) -> str:
    """What an estimate is, how many cells and units a table rests on, and which data are phantoms.

    interval: what its interval is, if not Student's t; blank where there is none. compared: the table has
    differences, so that it must say when there are too few units for p.
    """
    planned, found = len(grid.cells), int((grid.cells[f"{stage}_key"] != "").sum())
    counts = [units for *_, units in units_by_dataset(grid)]
    several = any(draws > 1 for _, draws, _ in units_by_dataset(grid))
    over = "the means of draws" if several else "seeds"
    lines = [
        f"Mean ± half the {grid.confidence:.0%} t interval over {over}." if interval is None else interval,
        f"{found} of {planned} {unit} ({units_text(grid)}).",
        grid.rule,
    ]
    if compared and min(counts, default=0) < FEWEST:
        lines.append(f"Fewer than {FEWEST} units give no p, since none could be small.")
    phantoms = [name for name, note in grid.datasets.items() if note.phantom]
    if phantoms:
        lines.append(f"Phantoms, drawn and not real images: {', '.join(phantoms)}.")
    lines += [
        f"{name}: {note.notice}." for name, note in grid.datasets.items() if note.notice and not note.phantom
    ]
    return " ".join(line.replace("..", ".") for line in lines if line)


def units_by_dataset(grid: Grid) -> list[tuple[str, int, int]]:
    """(data set, draws, units per method) as planned."""
    return [
        (str(name), own["draw"].nunique(), len(own.drop_duplicates(UNIT)))
        for name, own in grid.cells.groupby("dataset", sort=False)
    ]


def units_text(grid: Grid) -> str:
    """How many units, (draw, seed), each method has on each data set.

    One number where all data sets have the same.
    """
    found = [
        (name, f"{units} units of {draws} draws" if draws > 1 else f"{units} seed{'s' * (units > 1)}")
        for name, draws, units in units_by_dataset(grid)
    ]
    if len({text for _, text in found}) == 1:
        return f"per method: {found[0][1]}"
    return "per method: " + ", ".join(f"{name} {text}" for name, text in found)


def in_order(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Rows in the order of methods, then in their own."""
    places = {name: place for place, name in enumerate(dict.fromkeys(grid.rows["method"]))}
    order = np.argsort(rows["method"].map(places).to_numpy(), kind="stable")
    return rows.iloc[order]
