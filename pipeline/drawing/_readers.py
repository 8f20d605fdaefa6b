"""How radiologists look at a film: where the eye stops, and what is marked as abnormal."""

from typing import NamedTuple

import numpy as np

from pipeline.drawing._annotators import Annotator, annotate


class Reader(NamedTuple):
    """How one simulated radiologist reads."""

    hand: Annotator  # errors in what is taken for notable; miss: it is not noticed at all
    on_finding: float  # share of the fixations on a place that was noticed
    tracker: float  # error of the eye tracker, share of the image width (standard deviation)


class Fixation(NamedTuple):
    """One stop of the eye: position in px, which may be off the image, and time in s."""

    x: int
    y: int
    start: float
    end: float


def read(
    rng: np.random.Generator, place: np.ndarray, lungs: np.ndarray, reader: Reader
) -> tuple[list[Fixation], np.ndarray]:
    """One reading of a film: the fixations, and the boolean mask `(h, w)` of what was taken for notable.

    `place` (bool, `(h, w)`) draws most fixations if it is noticed, be it a finding or harmless; otherwise
    both lungs are searched, where a finding could be.
    """
    noticed = np.zeros_like(place)
    if rng.random() >= reader.hand.miss:
        marked = annotate(rng, [place[::2, ::2]], lungs[::2, ::2], reader.hand)
        noticed = marked.repeat(2, axis=0).repeat(2, axis=1)[: len(place), : place.shape[1]]
    search = _plan_search(rng, lungs, int(rng.integers(16, 25)))
    if noticed.any():
        ys, xs = np.nonzero(noticed)
        for stop in range(len(search)):
            if rng.random() < reader.on_finding:
                pick = int(rng.integers(len(xs)))
                search[stop] = xs[pick], ys[pick]
    return _time_stops(rng, search, lungs.shape, reader.tracker), noticed


def _plan_search(rng: np.random.Generator, lungs: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Places in the lungs, spread evenly over their height, from one side to the other and back."""
    ys, xs = np.nonzero(lungs)
    zones = np.array_split(np.argsort(ys, kind="stable"), (count + 1) // 2)
    stops = []
    for stop in range(count):
        zone = zones[stop // 2]
        left = zone[(xs[zone] < xs.mean()) == (stop % 2 == 0)]
        pick = int(rng.choice(left if len(left) else zone))
        stops.append((int(xs[pick]), int(ys[pick])))
    return stops


def _time_stops(
    rng: np.random.Generator, stops: list[tuple[int, int]], shape: tuple[int, ...], tracker: float
) -> list[Fixation]:
    """Fixations with durations and tracker error; now and then one beside the image."""
    if rng.random() < 0.15:
        stops.insert(int(rng.integers(len(stops) + 1)), (-int(rng.integers(20, 60)), shape[0] // 2))
    now, fixations = -0.4, []
    for x, y in stops:
        now += float(rng.uniform(0.03, 0.08))
        end = now + float(np.clip(rng.lognormal(-1.1, 0.45), 0.1, 1.5))
        dx, dy = rng.normal(0, tracker * shape[1], 2)
        fixations.append(Fixation(round(x + dx), round(y + dy), round(now, 3), round(end, 3)))
        now = end
    return fixations
