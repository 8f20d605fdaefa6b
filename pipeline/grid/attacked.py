"""Which attacks are planned for a cell, with what settings, and where each leaves its files."""

from pathlib import Path
from typing import Any

from pipeline.common.config import Attack, Params
from pipeline.grid.cells import Cell

ROBUSTNESS = Path("robustness")


def attacks_of(params: Params, cell: Cell) -> dict[str, Attack]:
    """The attacks of params.yaml that a cell is planned to stand, by name, in their order there."""
    return {name: attack for name, attack in params.robustness.attacks.items() if _meant(attack, cell)}


def settings(params: Params, attack: Attack) -> dict[str, Any]:
    """All of params.yaml that can change an attack's result, as its record holds it."""
    common = params.robustness.model_dump(exclude={"attacks"})
    watched = attack.explanations or params.robustness.explanations
    return {**common, "explanations": watched, "attack": attack.attack, "settings": attack.settings}


def folder(cell: Cell, name: str) -> Path:
    """`robustness/dataset/backbone/method/seed/name`."""
    return cell.folder(ROBUSTNESS) / name


def _meant(attack: Attack, cell: Cell) -> bool:
    limits = ((attack.datasets, cell.dataset), (attack.methods, cell.method), (attack.seeds, cell.seed))
    return all(chosen is None or mine in chosen for chosen, mine in limits)
