"""Tables of attacks: one file per table; an attack declares by its TABLE which of them shows it.

All are of test images of known sources. Values come per cell and attack as the stage `robustness` wrote them;
an attack that is planned for a cell and has no record of its present training lowers `n`.
"""

from pipeline.present.attacks import guidance, hoax, manipulability, other, robust_decisions
from pipeline.present.attacks.rows import Attacked
from pipeline.present.tables import Table

MODULES = (hoax, manipulability, robust_decisions, guidance, other)


def tables(attacked: Attacked) -> list[Table]:
    """The tables of the attacks that are planned, in the order of the page."""
    found = (module.table(attacked) for module in MODULES)
    return [table for table in found if table is not None]
