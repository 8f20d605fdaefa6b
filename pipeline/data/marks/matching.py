"""Which image a table or a file of marks means by a path or a name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from pipeline.data.listing import Listing
from pipeline.data.samples import Sample

Marked = list[tuple[Sample, dict[str, str]]]  # samples, each with its row of the image table
SHOWN = 5  # names that a message repeats
Parts = tuple[str, ...]


def find_images(
    listing: Listing, samples: Sequence[Sample], keys: Mapping[str, str], setting: str, *, warn: bool = True
) -> dict[str, int]:
    """The place in `samples` of the image that each key means, without those that mean none.

    `keys` are paths or names, with extension or without, and where each stands; `setting` is what tells of
    them, for messages. As many last parts of key and path must be equal as are in the key that fits best,
    or as there are: where folders tell images apart, a name in another folder is another image. Keys that
    fit several images, or all keys fitting none, are noted in the listing (E_JOIN); and some that fit none
    (W_MAP_UNUSED), if `warn`.
    """
    paths = [_split(sample.image_path.relative_to(listing.root).as_posix()) for sample in samples]
    whole, stems = _index(paths, whole=True), _index(paths, whole=False)
    fitting = {}
    for key in keys:
        parts = _split(key)
        named = parts[-1] if parts else ""
        places = whole.get(named) or stems.get(named, [])
        fitting[key] = [(_count_equal(parts, paths[place]), place) for place in places]
    depth = max((shared for found in fitting.values() for shared, _ in found), default=0)
    images = {}
    for key, found in fitting.items():
        parts = _split(key)
        best = [place for shared, place in found if shared >= min(depth, len(parts), len(paths[place]))]
        if len(best) > 1:
            _refuse_ambiguous(listing, key, keys[key], [samples[place] for place in best])
        elif best:
            images[key] = best[0]
        elif warn:
            listing.add("W_MAP_UNUSED", keys[key], f"marks of {key!r}, which is none of the images")
    if keys and samples and not any(fitting.values()):
        few = ", ".join(repr(key) for key in list(keys)[:SHOWN])
        example = samples[0].image_path.relative_to(listing.root).as_posix()
        message = f"names none of the images, such as {example!r}; got {few}; mend {setting} or the names"
        listing.add("E_JOIN", next(iter(keys.values())), message)
    return images


def _split(path: str) -> Parts:
    """The parts of a path of any machine, extensions in small letters."""
    parsed = PurePosixPath(path.replace("\\", "/").strip("/"))
    return (*parsed.parts[:-1], f"{parsed.stem}{parsed.suffix.lower()}") if parsed.parts else ()


def _index(paths: Sequence[Parts], *, whole: bool) -> dict[str, list[int]]:
    """Places of paths by the file's name, whole or without extension."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, parts in enumerate(paths):
        places[parts[-1] if whole else PurePosixPath(parts[-1]).stem].append(place)
    return places


def _count_equal(key: Parts, path: Parts) -> int:
    """How many last parts are equal; that of the file's name is known to be."""
    folders = zip(reversed(key[:-1]), reversed(path[:-1]), strict=False)
    equal = [one == other for one, other in folders]
    return 1 + (equal.index(False) if False in equal else len(equal))


def _refuse_ambiguous(listing: Listing, key: str, where: str, samples: Sequence[Sample]) -> None:
    few = ", ".join(sample.image_path.relative_to(listing.root).as_posix() for sample in samples[:SHOWN])
    message = f"{key!r} fits {len(samples)} images: {few}; give as much of the path as tells them apart"
    listing.add("E_JOIN", where, message)
