"""The pages of a report: they open from disk, need no network, and read as well without their script.

The main page answers: it is one file, pictures embedded, and says when and where its numbers were made. The
page of details has every table and figure. Both are the same each time but for what differs between runs.
"""

import json
from base64 import b64encode
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.common.config import Params
from pipeline.common.files import canonical_json, write_text
from pipeline.data.store import Store, label_names
from pipeline.present import browser, front, glossary
from pipeline.present.evidence import shown_first
from pipeline.present.results import Grid
from pipeline.present.tables import Table, units_text
from pipeline.score.stats import FEWEST

Made = list[tuple[str, str]]  # `provenance.provenance`


def write(
    path: Path,
    params: Params,
    grid: Grid,
    tables: list[Table],
    said: tuple[str, Mapping[str, str]],
    stores: Mapping[str, Store],
    made: Made,
) -> None:
    """Write the main page.

    tables: the first is that of evidence, one is that of what models rely on. said: the answer in a sentence,
    and one per data set. stores: draw -> its prepared data.
    """
    sections = [
        _answered(name, stores[group.draws[0]], grid, tables, said[1]) for name, group in grid.draws.items()
    ]
    shown = [column["name"] for each in sections for block in each["blocks"] for column in block["columns"]]
    text = template("report.html.j2").render(
        **_common(grid),
        overall=said[0],
        notices=dict.fromkeys(note.notice for note in grid.datasets.values() if note.notice),
        compared=bool(shown_first(tables[0], grid)),
        sections=sections,
        tables=tables,
        made=made,
        methods=[(name, grid.label(name)) for name in dict.fromkeys(grid.rows["method"])],
        glossary=glossary.entries(grid, params, dict.fromkeys(shown)),
        words={"unit": glossary.TERMS["unit"]},
        fewest=FEWEST,
    )
    write_text(path, text)


def write_details(
    path: Path, grid: Grid, tables: list[Table], stores: Mapping[str, Store], folder: Path
) -> None:
    """Write the page of all tables, and of the figures that lie in `folder` as `<stem>_<data set>.png`."""
    drawn = {file.stem for file in folder.glob("*.png")}
    kinds = dict.fromkeys(kind for table in tables for kind in table.figures)
    sections = [_about(name, stores[group.draws[0]], grid, drawn) for name, group in grid.draws.items()]
    missing = grid.cells[grid.cells["missing"] != ""]
    text = template("details.html.j2").render(
        **_common(grid),
        sections=sections,
        tables=tables,
        figures={
            kind: [
                (f"{kind}_{name}", grid.datasets[name]) for name in grid.draws if f"{kind}_{name}" in drawn
            ]
            for kind in kinds
        },
        missing=missing[["dataset", "backbone", "method", "draw", "seed", "missing"]].to_numpy().tolist(),
        attacked=len(grid.attacks) > 0,
    )
    write_text(path, text)


def write_cost(path: Path, grid: Grid, table: Table) -> None:
    """Write the page about what the cells cost on this machine."""
    write_text(path, template("cost.html.j2").render(grid=grid, table=table))


def template(name: str) -> Any:
    """A template of this folder; raises UndefinedError for what it is not given."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _common(grid: Grid) -> dict[str, Any]:
    return {"grid": grid, "units": units_text(grid), "complete": int((grid.cells["missing"] == "").sum())}


def _about(name: str, store: Store, grid: Grid, drawn: Collection[str] = ()) -> dict[str, Any]:
    """What both pages say about a data set; `store` is that of its first draw."""
    audit = json.loads((store.folder / "audit.json").read_text(encoding="utf-8"))
    labels = label_names(store)
    sheet = f"contact_sheet_{name}"
    return {
        "name": name,
        "note": grid.datasets[name],
        "draws": grid.draws[name].draws,
        "variant": grid.draws[name].variant,
        "labels": labels,
        "protocol": store.protocol,
        **{part: _sources(store.protocol[part], labels) for part in ("known", "held_out")},
        "counts": [
            [row[key] for key in ("role", "source", "label", "rows", "annotated")] for row in audit["counts"]
        ],
        "findings": audit["findings"],
        "looks": _looks(store.folder / "shortcuts.png", audit["findings"]),
        "quarantined": audit["quarantined"],
        "contact_sheet": sheet if sheet in drawn else "",
    }


def _looks(path: Path, findings: list[dict[str, str]]) -> str:
    """The picture of what separates the classes as base64, where the audit warns of it."""
    if not any(found["code"] == "W_SHORTCUT_PIXELS" for found in findings):
        return ""
    return b64encode(path.read_bytes()).decode("ascii")


def _answered(
    name: str, store: Store, grid: Grid, tables: list[Table], sentences: Mapping[str, str]
) -> dict[str, Any]:
    """What the main page says about a data set; its sentence need not name it again."""
    alarm = next(table for table in tables if table.name == "alarm")
    sentence = sentences.get(name, "Nothing of it has been measured.")
    return {
        **_about(name, store, grid),
        **_pictures(name, store, grid),
        "sentence": sentence.removeprefix(f"{grid.datasets[name].title}: "),
        "blocks": front.blocks(name, tables[0], alarm, grid),
    }


def _sources(part: Mapping[str, list[str]], labels: tuple[str, str]) -> str:
    """
    >>> _sources({"0": ["a", "b"], "1": []}, ("normal", "not normal"))
    'normal: a, b; not normal: none'
    """
    return "; ".join(f"{labels[label]}: {', '.join(part[str(label)]) or 'none'}" for label in (0, 1))


def _pictures(name: str, store: Store, grid: Grid) -> dict[str, Any]:
    """What the main page embeds of a data set: a picture per method, and the album of its browser as JSON."""
    album = browser.album(name, store, grid)
    if album is None:
        return {"tiles": None, "album": None}
    text = canonical_json(browser.content(name, album)).replace("<", "\\u003c")  # no tag can end the script
    return {"tiles": browser.tiles(album), "album": Markup(text)}
