"""What a table's header and words suggest: which column tells what, which label is 1, what to hold out.

Nothing here is certain, and what cannot be told is left open: people decide, by an answer or by taking what
is proposed.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from pipeline.data.collection import PATH, Collection, locate
from pipeline.data.listing import SPLITS, slug

FACTS = {  # what a column can tell, with the words of headers that say so
    "image": ("image", "file", "filename", "path", "filepath", "img", "film", "picture"),
    "label": ("label", "class", "finding", "diagnosis", "target", "category", "truth",
              "pathology", "abnormal"),
    "split": ("split", "subset", "partition", "fold", "set"),
    "map": ("mask", "map", "annotation", "heatmap", "segmentation", "salience", "gaze"),
    "source": ("source", "site", "hospital", "dataset", "center", "centre", "institution", "origin",
               "scanner", "manufacturer", "sensor", "camera", "generator", "location", "vendor"),
    "subject": ("subject", "patient", "person", "participant", "identity", "individual"),
}  # fmt: skip
OTHERWISE = {
    "age",
    "sex",
    "gender",
    "date",
    "weight",
    "height",
    "width",
    "size",
    "position",
    "number",
    "count",
}
NEGATIVE = {
    "0", "no", "none", "normal", "healthy", "negative", "benign", "live", "bonafide", "bona", "fide", "real",
    "authentic", "genuine", "false", "absent", "control", "clear", "unaffected",
}  # fmt: skip
POSITIVE = {
    "1", "yes", "abnormal", "positive", "malignant", "attack", "spoof", "fake", "synthetic", "generated",
    "true", "present", "disease", "diseased", "pathological", "pneumonia", "effusion", "tumor", "tumour",
    "cancer", "opacity", "covid", "tuberculosis", "print",
}  # fmt: skip
LOOKED_AT = 1000  # rows, to find the column of images
SPARE = 3  # subjects per label, at least: one each for training, validation and test
MOST_LABELS = 40  # different words; a column with more holds no labels


def propose_columns(collection: Collection) -> dict[str, str]:
    """Which column tells which of FACTS, as far as names and values say; no column tells two.

    Images are told by values alone: that column which names most files. Folders above an image are its split,
    its label, its source where they come before the label, and its subject where they come behind.
    """
    found: dict[str, str] = {}
    if column := _find_images(collection):
        found["image"] = column
    if PATH in collection.columns and found.get("image") == PATH:
        return found | _read_levels(collection)
    for fact in list(FACTS)[1:]:
        rest = [each for each in collection.columns if each not in found.values()]
        ranks = {each: rank for each in rest if (rank := _rank(fact, each, collection)) is not None}
        best = [each for each in ranks if ranks[each] == min(ranks.values())]
        if len(best) == 1:
            found[fact] = best[0]
    return found


def _find_images(collection: Collection) -> str:
    """The column that names most images, or is called so where none names half; blank if there is none."""
    some = {  # maps may be named like their images
        column: collection.values(column)[:LOOKED_AT]
        for column in collection.columns
        if _named("map", column) is None
    }
    hits = {
        column: len(some[column]) - locate(collection.images, some[column]).count(None) for column in some
    }
    called = {column: rank for column in some if (rank := _named("image", column)) is not None}
    best = max(some, key=lambda column: (hits[column], -called.get(column, 9)), default="")
    if called and 2 * hits[best] < len(some[best]):
        return min(called, key=lambda column: called[column])
    return best if hits.get(best) else ""


def words_of(header: str) -> list[str]:
    """The words of a column's name, in small letters.

    >>> words_of("PatientID"), words_of("Finding Labels"), words_of("image_path.1")
    (['patient', 'id'], ['finding', 'labels'], ['image', 'path', '1'])
    """
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", header).casefold())


def _named(fact: str, header: str) -> int | None:
    """How surely a header's name tells a fact, 0 most; None if it does not."""
    words = words_of(header)
    if OTHERWISE & set(words):
        return None
    wanted = FACTS[fact]
    if any(words in ([word], [f"{word}s"]) for word in wanted):
        return 0
    joined = {*words, *map("".join, pairwise(words))}  # data set, file name
    if joined & {*wanted, *(f"{word}s" for word in wanted)}:
        return 1
    longer = [word for word in wanted if len(word) > 4]  # patientid
    return 2 if any(word.startswith(each) for word in words for each in longer) else None


def _rank(fact: str, column: str, collection: Collection) -> int | None:
    """How surely a column tells a fact, by its name and by what it holds; None if it does not."""
    name = _named(fact, column)
    values = {value.casefold() for value in collection.values(column) if value}
    if fact == "label":
        telling = len(values) == 2 and bool(propose_labels(sorted(values)))
        if name is None and not (telling and values.isdisjoint({"0", "1", "yes", "no", "true", "false"})):
            return None
        plausible = 2 <= len(label_words(values)) <= MOST_LABELS
        return (3 if name is None else name) + (0 if plausible else 10)
    if name is None or not values or (fact == "split" and not values <= set(SPLITS)):
        return None
    if fact == "source" and 2 * len(values) > len(collection.rows):
        return None
    return name


def _read_levels(collection: Collection) -> dict[str, str]:
    """What the folders above images tell, level by level."""
    levels = [column for column in collection.columns if column != PATH]
    values = {level: {value.casefold() for value in collection.values(level)} for level in levels}
    found = {}
    splits = [level for level in levels if values[level] <= set(SPLITS)]
    if splits:
        found["split"] = splits[0]
        levels.remove(splits[0])
    known = [level for level in levels if any(_polarity(value) is not None for value in values[level])]
    several = [level for level in known or levels[-1:] if 2 <= len(values[level]) <= MOST_LABELS]
    if len(several) == 1:
        place = levels.index(several[0])
        found["label"] = several[0]
        if before := levels[:place]:
            found["source"] = before[-1]
        if behind := levels[place + 1 :]:
            found["subject"] = behind[0]
    return found


def label_words(values: Sequence[str] | set[str]) -> list[str]:
    """The different words of a column of labels, sorted, case aside; a bar joins several words of one image.

    >>> label_words(["Effusion|Mass", "No Finding", "mass", ""])
    ['Effusion', 'Mass', 'No Finding']
    """
    words: dict[str, str] = {}
    for value in values:
        for word in value.split("|"):
            if word.strip():
                words.setdefault(word.strip().casefold(), word.strip())
    return sorted(words.values())


def propose_labels(words: Sequence[str]) -> dict[str, int]:
    """0 or 1 for each of two words, if either tells; nothing otherwise: of three, people say which are 1.

    >>> propose_labels(["NORMAL", "PNEUMONIA"]), propose_labels(["left", "right"]), propose_labels(["1", "2"])
    ({'NORMAL': 0, 'PNEUMONIA': 1}, {}, {})
    """
    polarities = [_polarity(word) for word in words]
    if len(words) != 2 or polarities[0] == polarities[1]:
        return {}
    if any(polarity is None and word.isdigit() for word, polarity in zip(words, polarities, strict=True)):
        return {}
    positive = [polarity if polarity is not None else 1 - (other or 0) for polarity, other in
                (polarities, polarities[::-1])]  # fmt: skip
    return dict(zip(words, positive, strict=True))


def likely_positive(words: Sequence[str]) -> list[str]:
    """What to offer where people must say which of several words are 1: all that do not sound like 0."""
    found = [word for word in words if _polarity(word) != 0]
    return found if len(found) < len(words) else []


def _polarity(word: str) -> int | None:
    """0 or 1 for a word that is known, None for others.

    >>> [_polarity(word) for word in ("No Finding", "1_abnormal", "bona-fide", "not normal", "left")]
    [0, 1, 0, None, None]
    """
    parts = set(words_of(word))
    if "no" in parts or (parts and parts <= NEGATIVE):
        return 0
    return 1 if parts and parts <= POSITIVE else None


def propose_split(splits: Sequence[str], subjects: Sequence[str], labels: Sequence[int]) -> str:
    """`native` if the data's own splits hold both labels for testing and divide no subject, else `subject`.

    splits: train, val, test or blank per image; subjects: blank where unknown.
    """
    places: dict[str, set[str]] = defaultdict(set)
    for split, subject in zip(splits, subjects, strict=True):
        if subject:
            places[subject].add(split)
    tested = {label for split, label in zip(splits, labels, strict=True) if split == "test"}
    trained = {label for split, label in zip(splits, labels, strict=True) if split in ("train", "")}
    divided = any(len(each) > 1 for each in places.values())
    return "native" if tested == trained == {0, 1} and not divided else "subject"


def propose_held_out(sources: Sequence[str], labels: Sequence[int], subjects: Sequence[str]) -> list[str]:
    """Sources that training should not see: one with label 1 that leaves SPARE subjects of each label.

    Of several it is one that can be tested by itself, with both labels, then the smallest. Where it has no
    label 0, the smallest source of label 0 alone goes with it, if enough remains.

    >>> propose_held_out(["north"] * 6 + ["west"] * 2, [0, 1] * 4, list("abcdefgh"))
    ['west']
    """
    people: dict[tuple[str, int], set[str]] = defaultdict(set)
    for source, label, subject in zip(sources, labels, subjects, strict=True):
        people[source, label].add(subject)
    size = {each: sources.count(each) for each in sorted(set(sources))}
    has = {each: [len(people.get((each, label), ())) for label in (0, 1)] for each in size}

    def spares(apart: Sequence[str]) -> bool:
        rest = [
            [who for each in size if each not in apart for who in people.get((each, n), ())] for n in (0, 1)
        ]
        return all(len(set(left)) >= SPARE for left in rest)

    order = sorted(size, key=lambda each: (has[each][1] < SPARE, has[each][0] == 0, size[each]))
    for first in (each for each in order if has[each][1] and spares([each])):
        negatives = sorted((each for each in size if not has[each][1]), key=lambda each: size[each])
        if has[first][0] == 0 and negatives and spares([first, negatives[0]]):
            return [first, negatives[0]]
        return [first]
    return []


def protocol(sources: Sequence[str], labels: Sequence[int], held_out: Sequence[str]) -> dict[str, object]:
    """The open-set protocol of params.yaml, in which every source stands under the labels that it has.

    >>> protocol(["A B", "c"], [0, 1], ["c"])["held_out"]
    {'0': [], '1': ['c']}
    """
    pairs = sorted({(slug(source), label) for source, label in zip(sources, labels, strict=True)})
    apart = set(map(slug, held_out))

    def listed(inside: bool) -> dict[str, list[str]]:
        return {
            str(wanted): [name for name, label in pairs if label == wanted and (name in apart) == inside]
            for wanted in (0, 1)
        }

    rule = {"rule": "bpcer", "value": 0.05}
    return {"known": listed(False), "held_out": listed(True), "threshold": rule}
