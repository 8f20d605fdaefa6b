"""What a report was made of and on: when, from which code, with what, where, and how long it took."""

from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.common.config import Params
from pipeline.common.files import canonical_json, sha256_text
from pipeline.common.paths import CELLS
from pipeline.grid import records
from pipeline.present.results import STAGES, Grid, cell_of

UNKNOWN = "not known here: these results were fetched, not computed"


def provenance(grid: Grid, params: Params) -> list[tuple[str, str]]:
    """Lines of the box, as (what, text)."""
    settings = sha256_text(canonical_json(params.model_dump(mode="json")))
    made = [found for found in _circumstances(grid) if found]
    return [
        ("Computed", _span(made)),
        ("Code", _counted([str(each.get("git_commit") or "outside git")[:12] for each in made])),
        ("Versions", _counted([_text(each.get("versions", {})) for each in made])),
        ("Machine", _counted([_text(each.get("hardware", {})) for each in made])),
        ("Time", _hours(made)),
        ("Settings", f"params.yaml; all of them with their defaults have the SHA-256 {settings[:12]}"),
        ("Command", _command()),
        ("MLflow", f"mlflow ui --backend-store-uri {params.track.uri}"),
    ]


def _command() -> str:
    """What makes the report again: of a profile where this folder is its workspace."""
    folder = Path().resolve()
    return f"make repro PROFILE={folder.name}" if folder.parent.name == "workspaces" else "make repro"


def _circumstances(grid: Grid) -> list[dict[str, Any]]:
    return [
        records.circumstances(cell_of(row).folder(CELLS[stage]))
        for row in grid.cells.to_dict("records")
        for stage in STAGES
        if row[f"{stage}_key"]
    ]


def _span(made: list[dict[str, Any]]) -> str:
    times = [
        [str(each[end])[:16].replace("T", " ") for each in made if each.get(end)]
        for end in ("started", "ended")
    ]
    return f"{min(times[0])} to {max(times[1])} UTC" if all(times) else UNKNOWN


def _hours(made: list[dict[str, Any]]) -> str:
    seconds = [each.get("timings", {}).get("total_s") for each in made]
    total = sum(each for each in seconds if each)
    return f"{total / 3600:.1f} hours of all workers together ({len(made)} results)" if total else UNKNOWN


def _counted(texts: list[str]) -> str:
    """What all say; where they differ, each with its number.

    >>> _counted(["a", "a"]), _counted(["a", "b", "a"])
    ('a', 'a (2), b (1)')
    """
    counts = Counter(texts).most_common()
    if len(counts) < 2:
        return counts[0][0] if counts else UNKNOWN
    return ", ".join(f"{text} ({count})" for text, count in counts)


def _text(about: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items() if value)
