"""The table of guidance under attack: methods that differ in their loss only, side by side."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from pipeline.present.attacks import hoax, manipulability, robust_decisions
from pipeline.present.attacks.robust_decisions import AREAS, NORMS, decision_lines, with_columns
from pipeline.present.attacks.rows import DECIDES, Attacked, difference_lines
from pipeline.present.claims import SIMILAR, guidance_helps
from pipeline.present.tables import Panel, Table, parts

TABLE = "guidance_and_robustness"
TABLES = (hoax.TABLE, manipulability.TABLE, robust_decisions.TABLE)  # whose attacks it looks at
METRICS = (*NORMS, *AREAS, "ssim_clean", SIMILAR)


def table(attacked: Attacked) -> Table | None:
    """Methods of one training but for the loss against the unguided one; None without such methods."""
    mine, reference = _side_by_side(attacked)
    if not reference:
        return None
    planned = mine.grid.attacks["method"].unique()
    tidy = mine.estimates()
    differences = mine.differences([(method, reference) for method in planned if method != reference])
    caption = (
        "Does guidance help or hurt? Methods that differ in their loss alone: accuracy under projected "
        "gradient descent by norm and budget, areas under accuracy-robustness curves, and how much of the "
        "clean map is left (Pearson) when the explanation is attacked. Differences are paired by unit; the "
        "CSV has p of the sign-flip test, adjusted by Holm within an attack and a measure. "
        f"{DECIDES} {mine.rests_on()}"
    )
    panels = list(_panels(mine, tidy, differences, reference))
    return Table(TABLE, "Guidance and robustness", caption, tidy, panels, differences)


def _side_by_side(attacked: Attacked) -> tuple[Attacked, str]:
    """The attacks planned for several plain methods of a data set, and the unguided one; blank without it."""
    planned, methods = attacked.grid.attacks, attacked.methods
    plain = planned[planned["method"].isin(methods.index[methods["plain"]])]
    several = plain.groupby(["dataset", "attack"])["method"].transform("nunique") > 1
    mine = attacked.only(plain[several & plain["table"].isin(TABLES)])
    known = mine.values["metric"].isin(METRICS) & mine.values["method"].isin(mine.grid.attacks["method"])
    together = methods.loc[list(dict.fromkeys(mine.grid.attacks["method"]))]
    unguided = [str(name) for name in together.index[~together["guided"].astype(bool)]]
    return replace(mine, values=mine.values[known]), unguided[0] if unguided else ""


def _panels(mine: Attacked, tidy: pd.DataFrame, differences: pd.DataFrame, reference: str) -> Iterator[Panel]:
    """Values and differences to the reference: of decisions, then of maps under each attack."""
    for dataset, heading, part in parts(tidy, mine.grid):
        for about, rows in _blocks(part):
            where = f"{heading}, {about}"
            yield Panel(dataset, where, decision_lines(rows, mine.grid))
            changed = difference_lines(differences, rows, mine.grid, name_other=False)
            if len(changed):
                shown = rows[["attack", "metric"]].drop_duplicates()
                seen = mine.within(rows, "dataset", "backbone").merge(shown)
                helped = guidance_helps(seen, reference, mine.grid.confidence)
                yield Panel(dataset, f"{where}; difference to {reference}", changed, helped)


def _blocks(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(what they are about, rows with their `column`): decisions, then the maps under each attack."""
    decided = with_columns(part[part["explanation"] == ""])
    if len(decided):
        yield "decisions", decided
    for attack, rows in part[part["metric"] == SIMILAR].groupby("attack", sort=False):
        about = f"maps under {attack}: Pearson to the clean map"
        yield about, rows.assign(column=rows["explanation"], digits=3)
