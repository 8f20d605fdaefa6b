"""The list format shared by the CVRL data sets: headerless `split,label,path`, maps found by file stem."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pipeline.data import listing as tables
from pipeline.data.samples import Drawn, Problem, Sample, refuse


class Entry(NamedTuple):
    """One line of a list, its words and files known."""

    where: str
    list_name: str  # stem of the list
    split: str  # canonical
    native_split: str
    label: int
    native_label: str
    listed: str  # path as the list has it
    image: Path
    map: Path | None
    native_id: str  # the image's stem; its whole path where stems repeat

    def sample(self, annotators: int, **facts: Any) -> Sample:
        """The sample of this line with what the adapter knows beyond it; a map merges `annotators` people."""
        annotated: dict[str, Any] = {}
        if self.map is not None:
            annotated = {"annotations": [Drawn(self.map)], "ann_kind": "soft_map", "ann_count": annotators}
        own = {
            "native_id": self.native_id,
            "image_path": self.image,
            "label": self.label,
            "native_label": self.native_label,
            "split": self.split,
            "native_split": self.native_split,
            "where": self.where,
        }
        return Sample(**{**own, **annotated, **facts})


def read(
    listing: tables.Listing, lists: list[str], labels: Mapping[str, int], *, images: str, maps: str | None
) -> list[Entry]:
    """All entries of the lists (paths or glob patterns below the root), in their order.

    `images` is the folder that listed paths start from, `maps` that of the maps, both below the root; `maps`
    may be None. Unknown words and absent files are noted in the listing. Raises UserError: E_LAYOUT and the
    codes of `tables.read`.
    """
    folder = None if maps is None else listing.root / maps
    if folder is not None and not folder.is_dir():
        message = "expected this folder of grey maps; put it there, or set maps to null if there are none"
        refuse([Problem("E_LAYOUT", str(folder), message)])
    entries = []
    for path in _files(listing.root, lists):
        for where, cells in tables.read(path, names=["split", "label", "path"]):
            split = listing.word(tables.SPLITS, cells["split"], where, "E_ENUM")
            label = listing.word(labels, cells["label"], where)
            image = listing.file(cells["path"], where, folder=images)
            if split is None or label is None or image is None:
                continue
            human_map = folder / f"{image.stem}.png" if folder is not None else None
            entries.append(
                Entry(
                    where,
                    path.stem,
                    split,
                    cells["split"],
                    label,
                    cells["label"],
                    cells["path"],
                    image,
                    human_map if human_map is not None and human_map.is_file() else None,
                    image.stem,
                )
            )
    return _with_unique_ids(listing, entries)


def _files(root: Path, lists: list[str]) -> list[Path]:
    """The list files; a path without a wildcard must exist."""
    refuse(
        [
            Problem("E_LAYOUT", str(root / name), "expected this list, there is none; mend `lists`")
            for name in lists
            if "*" not in name and not (root / name).is_file()
        ]
    )
    return [path for name in lists for path in sorted(root.glob(name))]


def _with_unique_ids(listing: tables.Listing, entries: list[Entry]) -> list[Entry]:
    """The same entries with native ids that no two different paths share."""
    count = Counter(entry.native_id for entry in entries)
    unique = []
    for entry in entries:
        name = entry.native_id
        if count[name] > 1:
            if entry.map is not None:
                message = f"{count[name]} images are called {name}, like the map {entry.map.name}"
                listing.add("E_JOIN", entry.where, f"{message}; rename them so that it belongs to one")
            name = PurePosixPath(entry.listed.removeprefix("/")).with_suffix("").as_posix()
        unique.append(entry._replace(native_id=tables.identifier(name)))
    return unique
