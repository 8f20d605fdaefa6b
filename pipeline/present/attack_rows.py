"""From an attack's values to rows and texts: mean over seeds, differences to bases, columns by budget."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.present.comparisons import GROUP, Grid, paired, summarise
from pipeline.present.tables import signed_estimate, spread

KINDS = {  # table -> the attacks that it is about
    "hoax": ("sham", "passive_fooling"),
    "manipulability": ("manipulation",),
    "robust_decisions": ("pgd", "minimal_perturbation"),
}
OTHER = "other_attacks"  # the table of all that no other table is about
BASES = ("nearest", "base")  # columns of `variants`: the methods that a method is compared with
BY = ["explanation", "metric", "budget"]
NORMS = {"accuracy_linf": "L∞", "accuracy_l2": "L2"}
AREAS = {"ara_attack": "ARA", "ara_btr": "BTR-ARA"}
OTHERS = {
    "accuracy_linf_unbounded": "L∞ unbounded",
    "masking_linf": "masking",
    **AREAS,
    "unbroken": "unbroken",
}
MOST_LEVELS = 64  # budgets above are shares of the grey range
AREA_DIGITS = 4  # areas are small: hundredths of the grey range


def table_of(kind: str) -> str:
    """The table that is about a kind of attack."""
    return next((table for table, kinds in KINDS.items() if kind in kinds), OTHER)


def attacks_in(table: str, grid: Grid) -> list[str]:
    """The names of the planned attacks that a table is about."""
    return list(grid.attacks.loc[grid.attacks["kind"].map(table_of) == table, "attack"].unique())


def collected(
    values: pd.DataFrame, grid: Grid, table: str, methods: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The tidy rows of a table's attacks; with `methods` also differences to BASES, `vs_base` and so on."""
    found = []
    for about, under, part in each(values, grid, attacks_in(table, grid)):
        frame = summarise(part, BY, under)
        if methods is not None:
            cells = frame.pop("cells")
            for name in BASES:
                gains = _to_bases(part, methods[name], under)
                frame = frame.merge(gains, how="left", on=[*GROUP, *BY])
            frame = frame.assign(cells=cells)
        found.append(headed(frame, about))
    return pd.concat(found, ignore_index=True)


def each(
    values: pd.DataFrame, grid: Grid, attacks: list[str]
) -> Iterator[tuple[tuple[str, str], Grid, pd.DataFrame]]:
    """((attack, kind), the grid it is planned for, its values) of each of these attacks."""
    planned = grid.attacks[grid.attacks["attack"].isin(attacks)]
    for attack, kind in planned[["attack", "kind"]].drop_duplicates().itertuples(index=False):
        yield (attack, kind), grid.under(attack), values[values["attack"] == attack]


def of(values: pd.DataFrame, grid: Grid, table: str) -> pd.DataFrame:
    """The values of a table's attacks."""
    return values[values["attack"].isin(attacks_in(table, grid))]


def beside(values: pd.DataFrame, rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The values that share what all rows of a panel have in these columns."""
    for column in columns:
        values = values[values[column] == rows[column].iloc[0]]
    return values


def headed(frame: pd.DataFrame, about: tuple[str, str]) -> pd.DataFrame:
    """The frame with columns `attack` and `kind` behind the method's."""
    frame.insert(len(GROUP) + 1, "attack", about[0])
    frame.insert(len(GROUP) + 2, "kind", about[1])
    return frame


def _to_bases(values: pd.DataFrame, bases: pd.Series, grid: Grid) -> pd.DataFrame:
    """`paired` of every method with its base; a series named `base` makes columns `vs_base` and so on."""
    found = []
    for base in dict.fromkeys(bases):
        family = values[values["method"].isin([base, *bases.index[bases == base]])]
        pairs = paired(family, BY, base, grid)
        pairs.columns = [str(column).replace(f"vs_{base}", f"vs_{bases.name}") for column in pairs]
        found.append(pairs)
    return pd.concat(found, ignore_index=True)


def by_method(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Rows in the order of methods, then in their own."""
    places = {name: place for place, name in enumerate(dict.fromkeys(grid.cells["method"]))}
    return rows.sort_values("method", key=lambda names: names.map(places), kind="stable")


def labelled(tidy: pd.DataFrame) -> pd.DataFrame:
    """The rows about decisions that panels show, with `column`; each quantity of a method once."""
    names = tidy.drop_duplicates("attack")
    several = set(names.loc[names["kind"].duplicated(keep=False), "attack"])
    columns = [_column(row, f"{row.attack}: " if row.attack in several else "") for row in tidy.itertuples()]
    shown = tidy.assign(column=columns)
    return shown[shown["column"] != ""].drop_duplicates([*GROUP, "column"])


def _column(row: Any, prefix: str) -> str:
    if row.metric == "auroc_clean":
        return "AUROC, clean"
    if row.metric in NORMS and row.budget == 0:
        return "accuracy, clean"
    if row.metric in NORMS:
        return f"{prefix}{NORMS[row.metric]} {budget(row.budget)}"
    return prefix + OTHERS[row.metric] if row.metric in OTHERS else ""


def budget(value: float) -> str:
    """A budget in grey levels of 255 where it is a few halves of them, as people write it.

    >>> budget(0.00392), budget(0.5 / 255), budget(0.01), budget(1.0)
    ('1/255', '0.5/255', '0.01', '1')
    """
    levels = round(510 * value) / 2
    near = 0 < levels <= MOST_LEVELS and abs(255 * value - levels) < 0.002
    return f"{levels:g}/255" if near else f"{value:.3g}"


def numbers(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """One row per method, one column per quantity, in the order of the rows."""
    columns = list(dict.fromkeys(rows["column"]))
    rows = by_method(rows, grid)
    text = pd.concat([spread(rows, [name], _digits(name)) for name in columns], axis=1)
    for name in (name for name in columns if name.endswith("masking")):
        found = rows[rows["column"] == name].set_index("method")
        flags = found["mean"] * found["n"]
        counts = [f"{flag:.0f} of {n}" if n else "missing" for flag, n in zip(flags, found["n"], strict=True)]
        text[name.replace("_", " ")] = pd.Series(counts, found.index).reindex(text.index).fillna("–")
    return text


def differences(rows: pd.DataFrame, reference: str, grid: Grid) -> pd.DataFrame:
    """The same of `vs_<reference>`; only methods and columns that have a difference."""
    rows = rows[rows[f"vs_{reference}"].notna() & ~rows["column"].str.endswith("masking")]
    columns = list(dict.fromkeys(rows["column"]))
    rows = by_method(rows, grid)
    text = pd.DataFrame(index=rows.drop_duplicates("method").set_index("method").index)
    for name in columns:
        gains = gained(rows[rows["column"] == name], reference, _digits(name))
        text[name.replace("_", " ")] = gains.reindex(text.index).fillna("–")
    return text


def to_bases(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The same of all BASES: a row per method and method that it is compared with, each pair once."""
    found = []
    for name in BASES:
        text = differences(rows, name, grid)
        known = rows.drop_duplicates("method").set_index("method")[name]
        text.insert(0, "compared with", known.reindex(text.index))
        found.append(text.reset_index())
    pairs = pd.concat(found).drop_duplicates(["method", "compared with"]).fillna("–")
    return by_method(pairs, grid).set_index("method")


def _digits(column: str) -> int:
    """Areas are small numbers: hundredths of the grey range."""
    return AREA_DIGITS if column.endswith(tuple(AREAS.values())) else 3


def gained(rows: pd.DataFrame, reference: str, digits: int = 3) -> pd.Series:
    """`vs_<reference>` as text, by method."""
    name = f"vs_{reference}"
    numbers = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()
    texts = [signed_estimate(mean, low, high, digits) for mean, low, high in numbers]
    return pd.Series(texts, rows["method"], dtype=object)
