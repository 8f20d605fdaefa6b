"""What phantoms in list formats share: names, who carries the misleading mark, and heat maps."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pipeline.common.seeding import numpy_rng
from pipeline.drawing._annotators import Annotator, annotate
from pipeline.drawing._shapes import enlarge


class Shot(NamedTuple):
    """One image to draw: its subject, its file stem and whether it carries the misleading mark."""

    subject: str
    stem: str
    marked: bool


class Kind(NamedTuple):
    """Which images a source has."""

    known: bool  # others are only ever tested
    positive: bool  # attacks, generators


def plan_shots(
    seed: int,
    task: str,
    kinds: Mapping[str, Kind],
    *,
    known: tuple[int, int],
    held_out: tuple[int, int],
    agreements: tuple[float, float],
) -> Iterator[tuple[str, Shot]]:
    """Every image of every source, with the source's name.

    `known` and `held_out` are images per negative and per positive source; `agreements` the share of images
    whose mark fits their label, in known and in held-out sources.
    """
    for name, kind in kinds.items():
        count = (known if kind.known else held_out)[kind.positive]
        agreement = agreements[0 if kind.known else 1]
        marked = agreement if kind.positive else 1 - agreement
        yield from ((name, shot) for shot in shots(seed, task, name, count, marked=marked))


def shots(seed: int, task: str, source: str, count: int, *, marked: float) -> list[Shot]:
    """`count` images of one source, one to three per subject, a share `marked` of them with the mark.

    Names start with the source's initials and are unique over the sources of a task.

    >>> [shot.stem for shot in shots(0, "iris", "live_a", 3, marked=0.5)]
    ['la001_1', 'la002_1', 'la002_2']
    """
    rng = numpy_rng(seed, task, "subjects", source)
    words = source.split("_")
    initials = "".join(word[0] for word in words) if len(words) > 1 else source[:2]
    names: list[tuple[str, str]] = []
    while len(names) < count:
        subject = f"{initials}{len({name for name, _ in names}) + 1:03d}"
        names += [(subject, f"{subject}_{number}") for number in range(1, int(rng.integers(1, 4)) + 1)]
    with_mark = rng.permutation(count) < round(marked * count)
    return [Shot(*name, bool(mark)) for name, mark in zip(names[:count], with_mark, strict=True)]


def heat_map(
    rng: np.random.Generator, place: np.ndarray, person: Annotator, people: int, *, step: int, reach: int
) -> np.ndarray:
    """The share of people who marked each pixel, uint8 `(h, w)`, all looking at one place, bool `(h, w)`.

    Drawn at 1/`step` of the size; stray strokes fall within `reach` px of the place.
    """
    small = place[step // 2 :: step, step // 2 :: step]
    where = ndimage.binary_dilation(small, iterations=reach // step)
    drawn = np.stack([annotate(rng, [small], where, person) for _ in range(people)])
    share = enlarge(drawn.mean(axis=0, dtype=np.float32), place.shape)
    return np.clip(np.round(255 * share), 0, 255).astype(np.uint8)
