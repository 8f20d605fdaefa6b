"""Chest X-ray phantoms in the REFLACX layout: `main_data/` with readings, DICOM films, and `truth/`.

Four invented sites stand for hospitals. Sites a and b are known: normal films, and films with an opacity or a
nodule. Site c has the same findings and another look; site d has normal films and effusions, a finding
that no other site shows. The shortcut is a monitoring electrode over a lung, which the abnormal films of
the known sites have and the normal ones have not; at the held-out sites it says nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _chest as chest
from pipeline.drawing import _lesions as lesions
from pipeline.drawing import _reflacx as reflacx
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._files import write_truth


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
        chest.FilmStyle(0.85, 0.85, 0.02, 0.028, 0.6, 1.20, 328, 304), ("opacity", "nodule"), True, True
    ),
    "site_c": Site(
        chest.FilmStyle(1.20, 0.95, 0.02, 0.034, 0.8, 1.30, 312, 312), ("opacity", "nodule"), False, False
    ),
    "site_d": Site(chest.FilmStyle(0.90, 0.85, 0.02, 0.028, 0.8, 1.20, 304, 320), ("effusion",), False, True),
}


class Film(NamedTuple):
    """One planned film."""

    study: reflacx.Study
    label: int
    finding: str  # blank: normal
    electrode: bool  # the shortcut


def generate(
    root: Path,
    seed: int,
    *,
    films_known: Annotated[int, Field(ge=2)] = 160,
    films_held_out: Annotated[int, Field(ge=2)] = 80,
    opacity_contrast: Annotated[float, Field(gt=0, le=1)] = 0.34,
    nodule_contrast: Annotated[float, Field(gt=0, le=1)] = 0.45,
    effusion_contrast: Annotated[float, Field(gt=0, le=1)] = 0.45,
    shortcut_agreement: Annotated[float, Field(ge=0, le=1)] = 1.0,
    shortcut_agreement_held_out: Annotated[float, Field(ge=0, le=1)] = 0.5,
    readers: Annotated[int, Field(ge=1, le=5)] = 3,
    reader_miss: Annotated[float, Field(ge=0, le=1)] = 0.1,
    reader_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    reader_jitter: Annotated[float, Field(ge=0, le=2)] = 0.2,
    reader_stray: Annotated[float, Field(ge=0, le=1)] = 0.1,
    gaze_on_finding: Annotated[float, Field(ge=0, le=1)] = 0.85,
    gaze_discarded: Annotated[float, Field(ge=0, lt=1)] = 0.03,
) -> None:
    """Draw all films below `root`; same seed and settings, same bytes.

    Per site `films_known` or `films_held_out` films, half of them abnormal, one to three per patient.
    Contrasts are shares of the film's range. `shortcut_agreement` is the share of films whose electrode fits
    the label. Each film has `readers` or one reader less; `Reader` and `Annotator` explain how they err.
    """
    hand = Annotator(reader_miss, reader_overreach, reader_jitter, reader_stray)
    reader = lesions.Reader(hand, gaze_on_finding, tracker=0.015)
    contrast = {"opacity": opacity_contrast, "nodule": nodule_contrast, "effusion": effusion_contrast}
    agreement = {True: shortcut_agreement, False: shortcut_agreement_held_out}
    count = {True: films_known, False: films_held_out}
    rows: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    number = 0
    for name, site in SITES.items():
        for film in _plan_films(seed, name, count[site.known], agreement[site.known], first=number):
            number += 1
            finding, lungs = _draw_film(root, film, site, contrast)
            for phase, row in _write_readings(root, film, finding, lungs, reader, readers, gaze_discarded):
                rows[phase].append(row)
    for phase, lines in rows.items():
        reflacx.write_metadata(root, phase, lines)


def _plan_films(seed: int, name: str, count: int, agreement: float, first: int) -> Iterator[Film]:
    """A site's films: normal and abnormal patients in turn, electrodes' disagreements at random."""
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
            finding = site.findings[index % len(site.findings)] if label else ""
            yield Film(study, label, finding, electrode=bool(agrees[index] == label))
            number += 1


def _draw_film(
    root: Path, film: Film, site: Site, contrast: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw and save one film with its truth; gives the boolean masks `(h, w)` of finding and lungs."""
    study = film.study
    body = chest.draw_body(numpy_rng(study.seed, "body", study.subject))
    rng = numpy_rng(study.seed, "film", study.number)
    view = chest.draw_exposure(rng, site.look)
    drawn = chest.draw_chest(rng, body, view)
    brightness, finding = drawn.brightness, np.zeros(view.shape, dtype=bool)
    if film.finding:
        draw_finding = lesions.FINDINGS[film.finding]
        brightness, finding = draw_finding(rng, drawn, view, contrast[film.finding])
    shortcut = np.zeros(view.shape, dtype=bool)
    if film.electrode:
        metal, shortcut = lesions.electrode(rng, drawn, view, finding)
        brightness = np.maximum(brightness, metal)
    pixels = chest.expose(rng, brightness, site.look)
    reflacx.write_film(root, study, pixels, rng, site.compress)
    write_truth(root, study.dicom_id, finding, shortcut)
    return finding, drawn.lungs > 0.5


def _write_readings(
    root: Path,
    film: Film,
    finding: np.ndarray,
    lungs: np.ndarray,
    reader: lesions.Reader,
    readers: int,
    discarded: float,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Save one film's readings; yields their phase and metadata row."""
    study = film.study
    rng = numpy_rng(study.seed, "readers", study.number)
    phase, people = int(rng.integers(1, 3)), max(1, readers - int(rng.integers(2)))
    for person in range(people):
        rng = numpy_rng(study.seed, "reading", study.number, person)
        fixations, marked = lesions.read(rng, finding, lungs, reader)
        reading = reflacx.PhantomReading(
            phase=phase,
            finding=film.finding,
            certainty=int(rng.integers(3, 6)) if film.finding else 0,
            fixations=None if person and rng.random() < discarded else fixations,
            marked=marked,
            chest=_bound_chest(rng, lungs),
        )
        name = f"P{phase}{1 + study.number % 99:02d}R{10 * study.number + person:06d}"
        reflacx.write_reading(root / "main_data" / name, reading)
        yield phase, reflacx.reading_row(name, study, reading, finding.shape)


def _bound_chest(rng: np.random.Generator, lungs: np.ndarray) -> tuple[int, int, int, int]:
    """The box that a reader draws around both lungs."""
    height, width = lungs.shape
    ys, xs = np.nonzero(lungs)
    left, top, right, bottom = np.array([xs.min(), ys.min(), xs.max(), ys.max()]) + rng.integers(-4, 5, 4)
    return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))
