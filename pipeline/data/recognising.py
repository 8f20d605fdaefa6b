"""Which published layout a folder holds: an adapter may say by MARK what only its layout has."""

from pathlib import Path

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.listing import existing_root

ADAPTERS = "data/adapters"


def recognise(folder: Path) -> str | None:
    """The adapter whose MARK, a file or glob pattern, is in the folder; None unless it is exactly one."""
    found = [name for name in catalogue.names(ADAPTERS) if _holds(folder, name)]
    return found[0] if len(found) == 1 else None


def _holds(folder: Path, name: str) -> bool:
    try:
        existing_root(folder, catalogue.declared(ADAPTERS, name, "MARK"))
    except UserError:  # it has no MARK, or the folder has not what that names
        return False
    return True
