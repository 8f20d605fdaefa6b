"""Chest X-ray phantoms in the REFLACX layout: `main_data/` with readings, DICOM films, and `truth/`.

Four invented sites stand for hospitals. Sites a and b are known: normal films, and films with a diffuse
opacity or with small nodules. Site c has the same findings and another look; site d has fibrosis, whose
textures no other site shows. What findings share is that their pattern repeats: a net, rows, beads. A normal
film has crowded vessels in such a place, as dense and as bright, that do not repeat. The shortcut is the pad
of a defibrillator over a lung, which the abnormal films of the known sites have and the normal ones have
not; at the held-out sites it says nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from pipeline.common.limits import Fraction
from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _chest as chest
from pipeline.drawing import _readers as readings
from pipeline.drawing import _reflacx as reflacx
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._scene import Scene, Strengths, draw_shortcut, write_scene
from pipeline.drawing._shapes import blob, polygon
from pipeline.drawing._textures import INSIDE, Cue, clear, draw_textures

PERIODS = {"opacity": (0.050, 0.094), "nodule": (0.042, 0.080), "fibrosis": (0.045, 0.090)}
FINDINGS = {"opacity": ("checks", "stripes"), "nodule": ("dots", "lattice"), "fibrosis": ("waves", "rings")}
RADII = (0.115, 0.165)  # of a finding and of a pad, shares of the film's shorter side


class Site(NamedTuple):
    """An invented hospital."""

    look: chest.FilmStyle
    findings: tuple[str, ...]
    known: bool
    compress: bool  # films stored with lossless run lengths


SITES = {
    "site_a": Site(
        chest.FilmStyle(1.00, 1.00, 0.00, 0.018, 0.5, 1.26, 320, 320), ("opacity", "nodule"), True, False
    ),
    "site_b": Site(
        chest.FilmStyle(0.85, 0.85, 0.02, 0.028, 0.6, 1.20, 328, 304), ("nodule", "opacity"), True, True
    ),
    "site_c": Site(
        chest.FilmStyle(1.20, 0.95, 0.02, 0.034, 0.8, 1.30, 312, 312), ("opacity", "nodule"), False, False
    ),
    "site_d": Site(chest.FilmStyle(0.90, 0.85, 0.02, 0.028, 0.8, 1.20, 304, 320), ("fibrosis",), False, True),
}


class Film(NamedTuple):
    """One planned film."""

    study: reflacx.Study
    finding: str  # what it shows, or what its harmless vessels are drawn from
    label: int
    marked: bool  # with the shortcut


def generate(
    root: Path,
    *,
    seed: int = 0,
    films_known: Annotated[int, Field(ge=2)] = 160,
    films_held_out: Annotated[int, Field(ge=2)] = 80,
    cue_strength: Fraction = 0.5,
    shortcut: Literal["local", "global"] = "local",
    shortcut_agreement: Fraction = 1.0,
    shortcut_agreement_held_out: Fraction = 0.5,
    shortcut_strength: Fraction = 0.5,
    readers: Annotated[int, Field(ge=1, le=5)] = 3,
    reader_miss: Fraction = 0.1,
    reader_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    reader_jitter: Annotated[float, Field(ge=0, le=2)] = 0.2,
    reader_stray: Fraction = 0.1,
    gaze_on_finding: Fraction = 0.85,
    gaze_discarded: Annotated[float, Field(ge=0, lt=1)] = 0.03,
) -> None:
    """Draw all films below `root`; equal arguments give equal bytes.

    Per site so many films, half of them abnormal, one to three per patient. `cue_strength` is the contrast of
    textures, `shortcut_strength` the brightness of the pad, shares of the range; the agreements are shares of
    films whose pad fits the label. Each film has `readers` or one less; how they err: `Reader`, `Annotator`.
    """
    hand = Annotator(reader_miss, reader_overreach, reader_jitter, reader_stray)
    reader = readings.Reader(hand, gaze_on_finding, tracker=0.015)
    strengths = Strengths(cue_strength, shortcut_strength, shortcut)
    rows: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    films: list[tuple[Site, Film]] = []
    for name, site in SITES.items():
        count = films_known if site.known else films_held_out
        agreement = shortcut_agreement if site.known else shortcut_agreement_held_out
        films += ((site, film) for film in _plan_films(seed, name, count, agreement, first=len(films)))
    for site, film in films:
        place, lungs = _write_film(root, film, site, strengths)
        for phase, row in _write_readings(root, film, place, lungs, reader, readers, gaze_discarded):
            rows[phase].append(row)
    for phase, lines in rows.items():
        reflacx.write_metadata(root, phase, lines)


def _write_film(root: Path, film: Film, site: Site, strengths: Strengths) -> tuple[np.ndarray, np.ndarray]:
    """Save one film with its truth; gives where it would show a finding, and its lungs, bool `(h, w)`."""
    study = film.study
    scene, lungs = _set_scene(film, site, strengths)
    pixels = write_scene(root, study.dicom_id, scene, cause=bool(film.label), marked=film.marked)
    reflacx.write_film(root, study, pixels, numpy_rng(study.seed, "header", study.number), site.compress)
    return scene.window > INSIDE, lungs


def _plan_films(seed: int, name: str, count: int, agreement: float, first: int) -> Iterator[Film]:
    """A site's films: normal and abnormal patients in turn, disagreements of the pad at random."""
    site, rng = SITES[name], numpy_rng(seed, "plan", name)
    number, subject = first, 99_000_000 + 1000 * (1 + list(SITES).index(name))
    for label in (0, 1):
        films = (count + label) // 2
        agrees = rng.permutation(films) < round(agreement * films)
        sizes = rng.integers(1, 4, films)  # more than enough patients
        patients = np.repeat(np.arange(films), sizes)[:films] + subject
        subject += films
        splits = rng.choice(["train", "validate", "test"], films, p=[0.7, 0.1, 0.2])
        for index, patient in enumerate(patients):
            split = str(splits[patient - patients[0]]) if site.known else "test"
            study = reflacx.Study(name, int(patient), number, split, seed)
            finding = site.findings[index % len(site.findings)]
            yield Film(study, finding, label, marked=bool(agrees[index] == label))
            number += 1


def _set_scene(film: Film, site: Site, strengths: Strengths) -> tuple[Scene, np.ndarray]:
    """A chest, the place that decides and another one for the pad; and where its lungs are, bool `(h, w)`."""
    study = film.study
    body = chest.draw_body(numpy_rng(study.seed, "body", study.subject))
    rng = numpy_rng(study.seed, "film", study.number)
    view = chest.draw_exposure(rng, site.look)
    drawn = chest.draw_chest(rng, body, view)
    lungs = drawn.lungs > 0.5
    window, other = _choose_places(rng, lungs)
    cue = Cue(FINDINGS[film.finding], PERIODS[film.finding])
    scene = Scene(
        clear(drawn.brightness, window),
        window,
        draw_textures(rng, window, cue).scaled(strengths.cue * rng.uniform(0.8, 1.25)),
        *draw_shortcut(rng, other, window, strengths),
        chest.load_film(rng, view.shape, site.look),
    )
    return scene, lungs


def _choose_places(rng: np.random.Generator, lungs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two soft windows `(h, w)` over the lungs, clear of each other; neither is special."""
    depth = ndimage.distance_transform_edt(lungs[::2, ::2])
    ys, xs = 2 * np.argwhere(depth >= 0.5 * depth.max()).T
    while True:
        first, second = rng.integers(len(xs), size=2)
        radii = rng.uniform(*RADII, 2) * min(lungs.shape)
        if np.hypot(xs[first] - xs[second], ys[first] - ys[second]) > 1.05 * radii.sum():
            break
    outlines = (blob(rng, xs[at], ys[at], r, r) for at, r in zip((first, second), radii, strict=True))
    window, other = (polygon(lungs.shape, outline, soft=6) for outline in outlines)
    return window, other


def _write_readings(
    root: Path,
    film: Film,
    place: np.ndarray,
    lungs: np.ndarray,
    reader: readings.Reader,
    readers: int,
    discarded: float,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Save one film's readings; yields their phase and metadata row."""
    study = film.study
    rng = numpy_rng(study.seed, "readers", study.number)
    phase, people = int(rng.integers(1, 3)), max(1, readers - int(rng.integers(2)))
    for person in range(people):
        rng = numpy_rng(study.seed, "reading", study.number, person)
        fixations, noticed = readings.read(rng, place, lungs, reader)
        reading = reflacx.PhantomReading(
            phase=phase,
            finding=film.finding if film.label else "",
            certainty=int(rng.integers(3, 6)) if film.label else 0,
            fixations=None if person and rng.random() < discarded else fixations,
            marked=noticed & bool(film.label),
            chest=_bound_chest(rng, lungs),
        )
        name = f"P{phase}{1 + study.number % 99:02d}R{10 * study.number + person:06d}"
        reflacx.write_reading(root / "main_data" / name, reading)
        yield phase, reflacx.reading_row(name, study, reading, place.shape)


def _bound_chest(rng: np.random.Generator, lungs: np.ndarray) -> tuple[int, int, int, int]:
    """The box that a reader draws around both lungs."""
    height, width = lungs.shape
    ys, xs = np.nonzero(lungs)
    left, top, right, bottom = np.array([xs.min(), ys.min(), xs.max(), ys.max()]) + rng.integers(-4, 5, 4)
    return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))
