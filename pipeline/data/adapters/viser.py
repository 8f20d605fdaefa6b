"""VISER: iris attacks with eye tracking, one attack left out (Notre Dame, 2026; docs/layouts/iris.md).

    CSVs/Train/<Attack>_Left_Out_Train.csv    headerless `Train|Test`,`Live|Spoof`,path; Test chose the epoch
    CSVs/Test/<Attack>_Left_Out_Test.csv      header `Image_Location,Class`
    <maps>/<stem>_blended.<extension>         grey maps of where people looked, for some images

Paths in the lists are those of the authors' machine. No list tells the kind of an attack: it is that of the
test list in which the image is left out, so give all test lists.

Names of files and folders, columns and words were read in the authors' code (training and test scripts);
that a test list holds only live irises and the attack that it is called after is concluded from its name.
The size of the maps is from memory. No real file was at hand.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline.common.errors import UserError, nearest
from pipeline.data.adapters._lists import find_maps_folder
from pipeline.data.listing import Listing, existing_root, identifier, named, pattern, read_table
from pipeline.data.samples import Drawn, Sample

LEFT_OUT = {  # our words for attacks -> as files are called
    "artificial": "Artificial",
    "contact_print": "Contacts_+_Print",
    "diseased": "Diseased",
    "glass_prosthesis": "Glass_Prosthesis",
    "postmortem": "Post_Mortem",
    "print": "Printout",
    "synthetic": "Synthetic",
    "textured_contact": "Textured_Contact",
}
LABELS = {"live": 0, "spoof": 1}
SPLITS = {"train": "train", "test": "val"}  # of a training list
IMAGE, CLASS = "Image_Location", "Class"  # of a test list


def read(
    root: Path,
    *,
    left_out: str,
    lists: str = "CSVs",
    images: str = "",
    prefix: str = "",
    maps: str | None = "Saliency_Files/Eye_Tracking/All_Phases/Blended",
    annotators: Annotated[int, Field(ge=1)] = 1,
    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = [640, 480],  # noqa: B006  a literal
    subject_pattern: str = r"(?:^|/)(?P<subject>[^/]+?)[LR]?_[^/_]+$",
) -> list[Sample]:
    """The samples of one fold, whose test list holds the attack that is `left_out`, a key of LEFT_OUT.

    Listed paths lose `prefix` and start from the folder `images`. `maps` is the folder of the maps or null,
    each of which merges `annotators` people. Every image must be grey and of `size` (width, height in px);
    null: any. A source is the kind of attack, `live` or, where no list tells it, `attack`.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_ENUM (split), E_JOIN (an
    image in the test lists of two attacks) and the codes of `listing.read_table`.
    """
    if left_out not in LEFT_OUT:
        raise UserError(f"viser: left_out {left_out!r} is no attack of VISER; {nearest(left_out, LEFT_OUT)}")
    word = LEFT_OUT[left_out]
    root = existing_root(root, f"{lists}/Train/{word}_Left_Out_Train.csv")
    listing, subject = Listing(root), pattern("subject_pattern", subject_pattern)
    kinds, found = _read_kinds(listing, root / lists), _find_maps(listing, maps)
    samples = []
    for entry in _read_fold(root / lists, word):
        sample = _read_entry(listing, entry, prefix, images)
        if sample is None:
            continue
        sample.class_name = sample.source = kinds.get(entry.path, "attack") if sample.label else "live"
        person = named(subject, "subject", entry.path)
        sample.subject_id = f"viser:{person}" if person else ""
        sample.size, sample.photometric = ((size[0], size[1]), "L") if size else (None, "")
        if marks := found.get(f"{sample.image_path.stem}_blended"):
            sample.annotations, sample.annotators = [Drawn(marks)], annotators
        samples.append(sample)
    return listing.finish(samples)


class _Entry(NamedTuple):
    """One line of a list; a test list tells no split."""

    where: str
    path: str
    label: str
    split: str


def _read_fold(lists: Path, word: str) -> list[_Entry]:
    """Everything that the two lists of a fold name."""
    rows = read_table(lists / "Train" / f"{word}_Left_Out_Train.csv", names=["split", "label", "path"])
    tests = read_table(lists / "Test" / f"{word}_Left_Out_Test.csv", columns=(IMAGE, CLASS))
    return [
        *(_Entry(where, cells["path"], cells["label"], cells["split"]) for where, cells in rows),
        *(_Entry(where, cells[IMAGE], cells[CLASS], "") for where, cells in tests),
    ]


def _read_entry(listing: Listing, entry: _Entry, prefix: str, images: str) -> Sample | None:
    """The sample of a line, still without class and source; None, a problem noted, if there is none."""
    listed = entry.path.removeprefix(prefix)
    label = listing.word(LABELS, entry.label, entry.where)
    split = listing.word(SPLITS, entry.split, entry.where, "E_ENUM") if entry.split else "test"
    image = listing.file(listed, entry.where, folder=images)
    if label is None or split is None or image is None:
        return None
    return Sample(
        native_id=identifier(PurePosixPath(listed.lstrip("/")).with_suffix("").as_posix()),
        image_path=image,
        label=label,
        class_name="",
        source="",
        source_kind="attack_type",
        modality="iris_nir",
        native_split=split,
        where=entry.where,
    )


def _read_kinds(listing: Listing, lists: Path) -> dict[str, str]:
    """The kind of every attack by its listed path, from all test lists that are there."""
    kinds: dict[str, str] = {}
    for kind, word in LEFT_OUT.items():
        path = lists / "Test" / f"{word}_Left_Out_Test.csv"
        for row in read_table(path, columns=(IMAGE, CLASS)) if path.is_file() else []:
            image = row.cells[IMAGE]
            if LABELS.get(row.cells[CLASS].casefold()) != 1:
                continue
            if kinds.setdefault(image, kind) != kind:
                listing.add(
                    "E_JOIN", row.where, f"{image!r} is {kind} here and {kinds[image]} in another test list"
                )
    return kinds


def _find_maps(listing: Listing, maps: str | None) -> dict[str, Path]:
    """The maps by their names without extension."""
    folder = find_maps_folder(listing, maps)
    if folder is None:
        return {}
    found = (
        listing.file(f"{maps}/{path.name}", path.name)
        for path in sorted(folder.glob("[!.]*"))
        if path.is_file()
    )
    return {path.stem: path for path in found if path is not None}
