"""What a chest film may show beside anatomy: findings, electrodes, and where readers look."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pipeline.drawing import _shapes as shapes
from pipeline.drawing._annotators import Annotator, annotate
from pipeline.drawing._chest import Chest, Exposure


class Reader(NamedTuple):
    """How one simulated radiologist reads."""

    hand: Annotator  # errors in what is taken for the finding; miss: it is not seen at all
    on_finding: float  # share of the fixations on a finding that was seen
    tracker: float  # error of the eye tracker, share of the image width (standard deviation)


class Fixation(NamedTuple):
    """One stop of the eye: position in px, which may be off the image, and time in s."""

    x: int
    y: int
    start: float
    end: float


def opacity(
    rng: np.random.Generator, film: Chest, view: Exposure, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    """A soft, irregular, cloudy patch in a lung: the film `(h, w)` with it, and its boolean mask."""
    cx, cy = _choose_spot(rng, film, view, margin=0.09)
    rx, ry = rng.uniform(0.24, 0.38, 2) * view.scale
    outline = shapes.blob(rng, cx, cy, rx, ry, roughness=0.3)
    density = shapes.polygon(view.shape, outline, soft=0.06 * view.scale) * film.lungs
    cloud = 1 + 0.2 * shapes.noise(rng, view.shape, 0.07 * view.scale)
    return film.brightness + contrast * density * np.clip(cloud, 0.3, 1.8), density > 0.35


def nodule(
    rng: np.random.Generator, film: Chest, view: Exposure, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    """A small round shadow in a lung: the film `(h, w)` with it, and its boolean mask."""
    cx, cy = _choose_spot(rng, film, view, margin=0.06)
    radius = rng.uniform(0.10, 0.14) * view.scale
    stretch = rng.uniform(0.85, 1.15)
    density = shapes.ellipse(view.shape, cx, cy, radius * stretch, radius / stretch, soft=0.6 * radius)
    return film.brightness + contrast * density, density > 0.35


def effusion(
    rng: np.random.Generator, film: Chest, view: Exposure, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fluid at one lung's base, its border rising to the chest wall: the film with it, and its mask."""
    side = film.right if rng.random() < 0.5 else ~film.right
    x, y = shapes.grid(view.shape)
    u, v = (x - view.x) / view.scale, (y - view.y) / view.scale
    meniscus = rng.uniform(0.20, 0.34) - rng.uniform(0.25, 0.45) * (np.abs(u) / 0.65) ** 2
    fluid = np.clip((v - meniscus) / 0.05 + 0.5, 0, 1) * film.lungs * side
    return film.brightness + contrast * fluid, fluid > 0.5


FINDINGS = {"opacity": opacity, "nodule": nodule, "effusion": effusion}


def _choose_spot(rng: np.random.Generator, film: Chest, view: Exposure, margin: float) -> tuple[float, float]:
    """A place in a lung, at least `margin` chest units from its border."""
    depth = ndimage.distance_transform_edt(film.lungs > 0.5)
    ys, xs = np.nonzero(depth >= min(margin * view.scale, 0.7 * float(depth.max())))
    pick = int(rng.integers(len(xs)))
    return float(xs[pick]), float(ys[pick])


def electrode(
    rng: np.random.Generator, film: Chest, view: Exposure, finding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The metal disc of a monitoring electrode on the chest: its brightness `(h, w)` and boolean mask.

    It lies over a lung, where a finding of another film would lie, and clear of this film's finding: only
    the map of the right film tells both apart.
    """
    radius = rng.uniform(0.05, 0.07) * min(view.shape)
    away = ndimage.distance_transform_edt(~finding) if finding.any() else np.full(view.shape, np.inf)
    x, y = max(
        (_choose_spot(rng, film, view, margin=0.06) for _ in range(8)),
        key=lambda at: away[int(at[1]), int(at[0])],
    )
    disc = shapes.ellipse(view.shape, x, y, radius, radius)
    return 0.95 * disc, disc > 0.5


def read(
    rng: np.random.Generator, finding: np.ndarray, lungs: np.ndarray, reader: Reader
) -> tuple[list[Fixation], np.ndarray]:
    """One reading: the fixations, and the boolean mask `(h, w)` of what this reader marks as abnormal.

    A finding that is seen draws most fixations; otherwise both lungs are searched, where a finding could be.
    """
    marked = np.zeros_like(finding)
    if finding.any() and rng.random() >= reader.hand.miss:
        marked = annotate(rng, [finding], lungs, reader.hand)
    search = _plan_search(rng, lungs, int(rng.integers(16, 25)))
    if marked.any():
        ys, xs = np.nonzero(marked)
        for stop in range(len(search)):
            if rng.random() < reader.on_finding:
                pick = int(rng.integers(len(xs)))
                search[stop] = xs[pick], ys[pick]
    return _time_stops(rng, search, lungs.shape, reader.tracker), marked


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
