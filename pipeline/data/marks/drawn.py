"""Map files, grey from 0 (not marked) to 255.

    {kind: drawn, folder: heatmaps}     named like their images, in folders like theirs or all in one
    {kind: drawn, path: column}         paths in a column of the image table

Of the files in a folder those are maps that end with `suffix` (such as `_mask`; none) and `extension` (.png).
`empty: none` says that an all-black map of a normal image means that nothing was marked; `refuse` (as for
every other image) that something went wrong. `resize: area` or `nearest` squeezes maps of another size to
their images; `refuse` sets such images aside.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError, nearest
from pipeline.data.listing import Listing
from pipeline.data.marks.matching import Marked, find_images
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Drawn, Sample

NEEDED = ()
ALLOWED = ("folder", "path", "suffix", "extension", "empty", "resize")
WORDS = {"empty": ("none", "refuse"), "resize": ("area", "nearest", "refuse")}


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one Drawn to each sample that has a map.

    Noted in the listing: files of the column that are absent (E_ANN_MISSING), maps of several or of no
    images (E_JOIN), of an image that is not there (W_MAP_UNUSED).
    Raises UserError: settings that contradict each other, no such folder (E_LAYOUT) or column (E_HEADER).
    """
    if ("folder" in maps) == ("path" in maps):
        raise UserError("image_table: drawn maps need either a folder or a path column")
    for key, words in WORDS.items():
        if maps.get(key, "refuse") not in words:
            raise UserError(f"image_table: maps.{key} {maps[key]!r}: {nearest(str(maps[key]), words)}")
    if "folder" in maps:
        _read_folder(listing, samples, maps)
    else:
        _read_column(listing, samples, maps)


def _read_folder(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    folder = listing.root / maps["folder"]
    if not folder.is_dir():
        message = "expected this folder of maps; put it there, or mend maps.folder"
        refuse([Problem("E_LAYOUT", str(folder), message)])
    ending = f"{maps.get('suffix', '')}{maps.get('extension', '.png')}".lower()
    files = {
        path.relative_to(folder).as_posix()[: -len(ending)]: path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.name.lower().endswith(ending) and path.is_file()
    }
    if not files:
        message = f"no file ends with {ending!r}; mend maps.folder, maps.suffix or maps.extension"
        refuse([Problem("E_LAYOUT", str(folder), message)])
    images = find_images(listing, [sample for sample, _ in samples], files, "maps.folder")
    taken: dict[int, str] = {}
    for key, place in images.items():
        if place in taken:
            message = f"{taken[place]} and {files[key]} are maps of one image; keep one"
            listing.add("E_JOIN", maps["folder"], message)
        taken[place] = files[key]
        path = listing.file(files[key], files[key], "E_ANN_MISSING", maps["folder"])
        if path is not None:
            _add(samples[place][0], path, maps)


def _read_column(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    for sample, cells in samples:
        if maps["path"] not in cells:
            raise UserError(
                f"E_HEADER {sample.where}: expected a column {maps['path']!r}; {nearest(maps['path'], cells)}"
            )
        if listed := cells[maps["path"]]:
            path = listing.file(listed, sample.where, "E_ANN_MISSING")
            if path is not None:
                _add(sample, path, maps)


def _add(sample: Sample, path: Path, maps: dict[str, Any]) -> None:
    drawn = Drawn(path, resize=maps.get("resize", "refuse"))
    if sample.label == 0 and maps.get("empty") == "none":
        drawn = replace(drawn, empty="none")
    sample.annotations.append(drawn)
