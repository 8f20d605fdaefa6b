"""140k Real and Fake Faces: Flickr faces and StyleGAN ones, 256x256 px, on Kaggle (docs/layouts/face.md).

    {train,valid,test}.csv                                        `,original_path,id,label,label_str,path`
    real_vs_fake/real-vs-fake/{train,valid,test}/{real,fake}/*.jpg

Here label 1 means real: the column is turned round, and must agree with `label_str` and with the folder. The
first column is a nameless row number. `path` begins at the split.

Read in third-party loaders that read columns, polarity and folders. From memory: real faces are FFHQ under
its own numbers, fake ones StyleGAN. No real file was at hand.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from pipeline.common.errors import UserError
from pipeline.data.listing import SPLITS, Listing, TableRow, existing_root, identifier, read_table
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample

COLUMNS = ["", "original_path", "id", "label", "label_str", "path"]
NAMES = ["row", *COLUMNS[1:]]
LABELS = {"1": 0, "0": 1}  # 1 is real
WORDS = {"real": 0, "fake": 1}
FLICKR = re.compile(r"\d{5}")


def read(
    root: Path,
    *,
    lists: Annotated[list[str], Field(min_length=1)] = ["train.csv", "valid.csv", "test.csv"],  # noqa: B006
    images: str = "real_vs_fake/real-vs-fake",
) -> list[Sample]:
    """The samples of all lists; `images` is the folder that their paths start from.

    A real face is one group with that of the same number in FFHQ, so that both are in one split if they meet.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_LABEL_RULE (label, its word
    and folder disagree), E_ENUM (split in the path) and the codes of `listing.read_table`.
    """
    root = existing_root(root, lists[0])
    listing = Listing(root)
    samples = [_read_row(listing, row, images) for name in lists for row in _read_rows(root / name)]
    return listing.finish([sample for sample in samples if sample is not None])


def _read_rows(path: Path) -> list[TableRow]:
    """The rows below the header, of which the first column has no name."""
    rows = read_table(path, names=NAMES)
    if not rows or list(rows[0].cells.values()) != COLUMNS:
        message = f"expected the columns {','.join(COLUMNS)} (the first has no name)"
        raise UserError(str(Problem("E_HEADER", f"{path.parent.name}/{path.name}", message)))
    return rows[1:]


def _read_row(listing: Listing, row: TableRow, images: str) -> Sample | None:
    cells, where = row.cells, row.where
    label = listing.word(LABELS, cells["label"], where)
    word = listing.word(WORDS, cells["label_str"], where)
    image = listing.file(cells["path"], where, folder=images)
    if label is None or word is None or image is None:
        return None
    first, *between = PurePosixPath(cells["path"].lstrip("/")).parts[:-1] or ("",)
    split = listing.word(SPLITS, first, where, "E_ENUM")
    if {label, WORDS.get(between[-1] if between else "")} != {word}:
        came = f"label {cells['label']} (1 is real), {cells['label_str']!r} and folder {between!r} disagree"
        listing.add("E_LABEL_RULE", where, f"{came}; mend the row")
    return Sample(
        native_id=identifier(PurePosixPath(cells["path"].lstrip("/")).with_suffix("").as_posix()),
        image_path=image,
        label=label,
        class_name="synthetic" if label else "authentic",
        source="stylegan" if label else "ffhq",
        source_kind="generator",
        modality="face",
        group_id=f"ffhq:{image.stem}" if label == 0 and FLICKR.fullmatch(image.stem) else "",
        native_split=split or "",
        where=where,
    )
