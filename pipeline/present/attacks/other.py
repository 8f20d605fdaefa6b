"""The table of attacks that no other table is about: each quantity that they report in a column."""

import pandas as pd

from pipeline.present.attacks.rows import DECIDES, SHADES, Attacked, budget_text, by_attack, map_lines
from pipeline.present.tables import Panel, Table, estimate_lines

TABLE = "other"
PICTURE = f"before the attack and after it, first seed. {SHADES}"


def table(mine: Attacked) -> Table:
    """Decisions and maps of each attack under the names that it gives."""
    tidy, panels = mine.estimates(), []
    for dataset, where, part in by_attack(tidy, mine.grid):
        budgets = part["budget"].map(lambda size: "" if pd.isna(size) else f", {budget_text(size)}")
        part = part.assign(column=part["metric"] + budgets)
        whole = part["explanation"] == ""
        if whole.any():
            text = estimate_lines(part[whole], mine.grid)
            panels.append(Panel(dataset, where, text, mine.settings(part)))
        if not whole.all():
            text = map_lines(part[~whole], mine.grid, part["column"])
            panels.append(Panel(dataset, f"{where}: maps", text, mine.settings(part)))
    caption = (
        "What further attacks report, under the names that they give: means over images, behind a comma the "
        f"budget. Values that are undefined for an image are left out. {DECIDES} {mine.rests_on()}"
    )
    figures = mine.pictures(PICTURE)
    return Table("other_attacks", "Other attacks", caption, tidy, panels, figures=figures)
