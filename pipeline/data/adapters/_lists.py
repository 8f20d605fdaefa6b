"""The list format shared by the CVRL data sets: headerless `split,label,path`, maps found by file stem."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.data.listing import SPLITS, Listing, TableRow, identifier, read_table
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Drawn, Sample


class ListLine(NamedTuple):
    """One line of a list: the sample it tells of, still without class and source, and where it stands."""

    sample: Sample
    listed: str  # path as the list has it
    list_name: str  # stem of the list


def read_lists(
    listing: Listing,
    lists: list[str],
    labels: Mapping[str, int],
    *,
    images: str,
    maps: str | None,
    annotators: int,
) -> list[ListLine]:
    """All lines of the lists (paths or glob patterns below the root), in their order.

    `images` is the folder that listed paths start from, `maps` that of the maps, both below the root; `maps`
    may be None; each map merges `annotators` people. Unknown words and absent files are noted in the listing.
    Raises UserError: E_LAYOUT and the codes of `read_table`.
    """
    folder = find_maps_folder(listing, maps)
    lines = []
    for path in _find_lists(listing.root, lists):
        for row in read_table(path, names=["split", "label", "path"]):
            sample = _read_line(listing, row, labels, images)
            if sample is not None:
                _add_map(sample, folder, annotators)
                lines.append(ListLine(sample, row.cells["path"], path.stem))
    return _with_unique_ids(listing, lines)


def find_maps_folder(listing: Listing, maps: str | None) -> Path | None:
    """The folder of grey maps that is set, None for none; UserError (E_LAYOUT) if it is not there."""
    folder = None if maps is None else listing.root / maps
    if folder is not None and not folder.is_dir():
        message = "expected this folder of grey maps; put it there, or set maps to null if there are none"
        refuse([Problem("E_LAYOUT", str(folder), message)])
    return folder


def _find_lists(root: Path, lists: list[str]) -> list[Path]:
    """The list files; a path without a wildcard must exist."""
    refuse(
        [
            Problem("E_LAYOUT", str(root / name), "expected this list, there is none; mend `lists`")
            for name in lists
            if "*" not in name and not (root / name).is_file()
        ]
    )
    return [path for name in lists for path in sorted(root.glob(name))]


def _read_line(listing: Listing, row: TableRow, labels: Mapping[str, int], images: str) -> Sample | None:
    where, cells = row
    split = listing.word(SPLITS, cells["split"], where, "E_ENUM")
    label = listing.word(labels, cells["label"], where)
    image = listing.file(cells["path"], where, folder=images)
    if split is None or label is None or image is None:
        return None
    return Sample(
        native_id=image.stem,
        image_path=image,
        label=label,
        class_name="",
        source="",
        source_kind="",
        modality="",
        native_split=split,
        where=where,
    )


def _add_map(sample: Sample, folder: Path | None, annotators: int) -> None:
    names = (f"{sample.native_id}.png", sample.image_path.name)  # published loaders use the one or the other
    found = [folder / name for name in names if folder is not None and (folder / name).is_file()]
    if found:
        sample.annotations, sample.annotators = [Drawn(found[0])], annotators


def _with_unique_ids(listing: Listing, lines: list[ListLine]) -> list[ListLine]:
    """The same lines with native ids that no two different paths share."""
    count = Counter(line.sample.native_id for line in lines)
    unique = []
    for line in lines:
        name = line.sample.native_id
        if count[name] > 1:
            if line.sample.annotations:
                message = f"{count[name]} images are called {name}, like the map {name}.png"
                listing.add("E_JOIN", line.sample.where, f"{message}; rename them so that it belongs to one")
            name = PurePosixPath(line.listed.removeprefix("/")).with_suffix("").as_posix()
        unique.append(line._replace(sample=replace(line.sample, native_id=identifier(name))))
    return unique
