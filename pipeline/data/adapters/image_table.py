"""Any collection of images: a CSV file with one row per image, or a glob pattern over folders.

Nothing is guessed: every fact is told by one of three settings,

    columns:    {fact: column of the table}
    patterns:   {fact: regular expression searched in the image's path; its first group is the value}
    constants:  {fact: value}

with the facts `image` (a column; not with a glob), `label` and `source` (both needed), `class`, `subject`,
`group`, `split`, `roi`. What is not found in a row is blank, so unknown. Words of labels are looked up in
`labels`, whatever their case; of several words between `separators` one abnormal makes the image abnormal.
The class is that word where `class` is not told. A table may name images without their extension, and with
`missing: skip` some that are absent: these are left out and counted (W_MISSING).

`maps` says where people's marks are: a kind of `pipeline.data.marks`. `check` names a second opinion
on the labels: a `table` with the columns `key` (path or name of the image) and `label`, in which the word
`normal` means 0. An image whose two labels differ is set aside with E_LABEL_CONFLICT.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from pipeline.common.errors import UserError, nearest
from pipeline.data import marks
from pipeline.data.listing import SPLITS, Listing, existing_root, identifier, pattern, read_table, slug
from pipeline.data.marks.matching import find_images
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample

FACTS = ("image", "label", "source", "class", "subject", "group", "split", "roi")
CHECK = ("table", "key", "label", "normal")


class ImageEntry(NamedTuple):
    """One image: its path as listed, and its row of the table (empty with a glob)."""

    where: str
    listed: str
    cells: dict[str, str]


class Words(NamedTuple):
    """What words for labels mean, and what stands between several of them."""

    labels: dict[str, int]  # case-folded
    between: re.Pattern[str]

    def split(self, text: str) -> list[str]:
        """The words of a cell; a blank one is a word if it is all there is."""
        return [word for part in self.between.split(text) if (word := part.strip())] or [""]


class Telling(NamedTuple):
    """Where each fact comes from."""

    columns: dict[str, str]
    patterns: dict[str, re.Pattern[str]]
    constants: dict[str, str]

    def facts(self, entry: ImageEntry, path: str) -> dict[str, str]:
        """Every fact about one image, blank where nothing tells it."""
        found = {fact: regex.search(path) for fact, regex in self.patterns.items()}
        return {
            **dict.fromkeys(FACTS, ""),
            **{fact: entry.cells[column] for fact, column in self.columns.items()},
            **{fact: (match.group(1) or "") for fact, match in found.items() if match},
            **self.constants,
        }


def read(
    root: Path,
    *,
    collection: str,
    modality: str,
    labels: dict[str, Literal[0, 1]],
    table: str | None = None,
    glob: str | None = None,
    folder: str = "",
    columns: dict[str, str] = {},  # noqa: B006  read as a literal, never changed
    patterns: dict[str, str] = {},  # noqa: B006
    constants: dict[str, str] = {},  # noqa: B006
    separators: str = "|",
    missing: Literal["refuse", "skip"] = "refuse",
    source_kind: Literal["site", "generator", "attack_type", "material", "sensor"] = "site",
    maps: dict[str, str | int | float | list[str] | list[int]] | None = None,
    check: dict[str, str] | None = None,
) -> list[Sample]:
    """The samples of one collection, whose name begins their ids, so that collections can be joined.

    `modality` is any word: what kind of picture it is. Give `table` (its image paths start from `folder`) or
    `glob` (such as `train/*/*.jpeg`), below `root`.

    Raises UserError: settings that contradict each other, E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE,
    E_LABEL_ALIAS, E_ENUM (split), E_SOURCE, E_ANN_MISSING, E_JOIN and the codes of `listing.read_table`.
    Some samples carry E_LABEL_CONFLICT or E_BOX.
    """
    telling = _read_telling(table, glob, columns, patterns, constants)
    listing = Listing(root := existing_root(root, table or glob or ""))
    entries = _read_rows(root / table, columns) if table else _find_files(root, glob or "")
    absent = "E_IMAGE_MISSING" if missing == "refuse" else "W_MISSING"
    words = _read_words(labels, separators)
    samples = _make_samples(listing, entries, telling, words, folder, absent, collection)
    for sample, _ in samples:
        sample.modality, sample.source_kind = modality, source_kind
    if maps:
        marks.annotate(listing, samples, maps)
    if check:
        _compare_labels(listing, [sample for sample, _ in samples], check)
    return listing.finish([sample for sample, _ in samples])


def _read_telling(
    table: str | None,
    glob: str | None,
    columns: dict[str, str],
    patterns: dict[str, str],
    constants: dict[str, str],
) -> Telling:
    """The three settings, compiled; UserError with everything in them that cannot be."""
    problems = []
    if (table is None) == (glob is None):
        problems.append("image_table: give either table or glob")
    if glob is not None and (columns or PurePosixPath(glob).is_absolute()):
        problems.append("image_table: a glob is relative to the root and has no columns")
    if table is not None and "image" not in columns:
        problems.append("image_table: columns.image must name the table's column of image paths")
    told = [*columns, *patterns, *constants]
    for fact in sorted(set(told)):
        if fact not in FACTS:
            problems.append(f"image_table: unknown fact {fact!r}; {nearest(fact, FACTS)}")
        elif told.count(fact) > 1:
            problems.append(f"image_table: {fact!r} is in more than one of columns, patterns, constants")
    for fact in {"label", "source"} - set(told):
        problems.append(f"image_table: {fact!r} must be in columns, patterns or constants")
    compiled = {fact: pattern(f"patterns.{fact}", text) for fact, text in patterns.items()}
    problems += [f"patterns.{fact}: needs a group" for fact, regex in compiled.items() if not regex.groups]
    if problems:
        raise UserError(sorted(problems))
    return Telling(columns, compiled, constants)


def _read_words(labels: dict[str, Literal[0, 1]], separators: str) -> Words:
    """UserError for words that can never be found."""
    if wrong := [word for word in labels if set(word) & set(separators)]:
        raise UserError(f"image_table: labels {wrong} hold a character of separators {separators!r}")
    if not separators:
        raise UserError("image_table: separators must hold at least one character")
    return Words(
        {word.casefold(): label for word, label in labels.items()}, re.compile(f"[{re.escape(separators)}]")
    )


def _read_rows(path: Path, columns: dict[str, str]) -> list[ImageEntry]:
    rows = read_table(path, columns=sorted(set(columns.values())))
    return [ImageEntry(where, cells[columns["image"]], cells) for where, cells in rows]


def _find_files(root: Path, glob: str) -> list[ImageEntry]:
    paths = sorted(path.relative_to(root).as_posix() for path in root.glob(glob) if path.is_file())
    return [ImageEntry(path, path, {}) for path in paths]


def _make_samples(
    listing: Listing,
    entries: list[ImageEntry],
    telling: Telling,
    words: Words,
    folder: str,
    absent: str,
    collection: str,
) -> list[tuple[Sample, dict[str, str]]]:
    """Every image that is there, with its row of the table; absent ones are noted in the listing."""
    samples = []
    for entry in entries:
        image = listing.image(entry.listed, entry.where, absent, folder)
        if image is not None:
            facts = telling.facts(entry, image.relative_to(listing.root).as_posix())
            sample = _make_sample(listing, entry.where, facts, words, image, collection)
            samples.append((sample, entry.cells))
    return samples


def _make_sample(
    listing: Listing, where: str, facts: dict[str, str], words: Words, image: Path, collection: str
) -> Sample:
    """One sample without annotations; unknown words are noted in the listing."""
    labels = {word: listing.word(words.labels, word, where) or 0 for word in words.split(facts["label"])}
    decisive = max(labels, key=lambda word: labels[word])
    split = listing.word(SPLITS, facts["split"], where, "E_ENUM") if facts["split"] else ""
    if not facts["source"]:
        listing.add("E_SOURCE", where, "nothing tells this image's source; mend columns or patterns")
    path = image.relative_to(listing.root).with_suffix("").as_posix()
    return Sample(
        native_id=f"{collection}:{identifier(path)}",
        image_path=image,
        label=labels[decisive],
        class_name=slug(facts["class"] or decisive),
        source=slug(facts["source"]),
        source_kind="",
        modality="",
        subject_id=f"{collection}:{facts['subject']}" if facts["subject"] else "",
        group_id=f"{collection}:{facts['group']}" if facts["group"] else "",
        native_split=split or "",
        roi=facts["roi"],
        where=where,
    )


def _compare_labels(listing: Listing, samples: list[Sample], check: dict[str, str]) -> None:
    """Set aside the samples to which a second table gives the other label."""
    if set(check) != set(CHECK):
        raise UserError(f"image_table: check needs exactly {', '.join(CHECK)}; got {', '.join(check)}")
    rows = read_table(listing.root / check["table"], columns=(check["key"], check["label"]))
    keys = {cells[check["key"]]: where for where, cells in rows}
    images = find_images(listing, samples, keys, "check.key", warn=False)
    normal = check["normal"].casefold()
    for where, cells in rows:
        place = images.get(cells[check["key"]])
        if place is None:
            continue
        sample, label = samples[place], int(cells[check["label"]].casefold() != normal)
        if label != sample.label:
            message = (
                f"label {sample.label} here, {label} in {where}; correct the wrong one or drop the image"
            )
            sample.problem = Problem("E_LABEL_CONFLICT", sample.where, message)
