"""Tables of attacks: one file per table; an attack declares by its TABLE which of them shows it.

All are of test images of known sources. Values come per cell and attack as the stage `robustness` wrote them;
an attack that is planned for a cell and has no record of its present training lowers `n`.
"""

from pipeline.present.attacks import guidance, hoax, manipulability, other, robust_decisions
from pipeline.present.attacks.rows import Attacked
from pipeline.present.tables import Table

MODULES = (hoax, manipulability, robust_decisions, other)


def tables(attacked: Attacked) -> list[Table]:
    """The tables of the attacks that are planned, in the order of the page."""
    shown = [(module, attacked.shown_in(module.TABLE)) for module in MODULES]
    found = [module.table(mine) for module, mine in shown if len(mine.grid.attacks)]
    side_by_side = guidance.table(attacked)
    return [*found, side_by_side] if side_by_side else found
