"""Chest phantoms: DICOM that gives the film back, pads like findings, gaze on what was seen."""

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy import ndimage

from pipeline.data import dicom
from pipeline.drawing import _chest as chest
from pipeline.drawing import _readers as readers
from pipeline.drawing import _reflacx as reflacx
from pipeline.drawing import cxr
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._textures import INSIDE

LOOK = cxr.SITES["site_a"].look
SEES = readers.Reader(Annotator(miss=0, overreach=0.2, jitter=0.1, stray=0), on_finding=0.8, tracker=0.01)
MISSES = SEES._replace(hand=SEES.hand._replace(miss=1.0))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cxr")
    cxr.generate(folder, seed=3, films_known=6, films_held_out=4, gaze_discarded=0.4)
    return folder


@pytest.fixture(scope="module")
def readings(root: Path) -> pd.DataFrame:
    tables = [pd.read_csv(path) for path in sorted(root.glob("main_data/metadata_phase_*.csv"))]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def chest_film() -> tuple[chest.Chest, chest.Exposure]:
    rng = np.random.default_rng(0)
    body, view = chest.draw_body(rng), chest.draw_exposure(rng, LOOK)
    return chest.draw_chest(rng, body, view), view


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("compress", [False, True])
def test_following_the_tags_gives_the_film_back(tmp_path: Path, seed: int, compress: bool) -> None:
    film = np.linspace(0, 1, 24 * 20, dtype=np.float32).reshape(24, 20)
    study = reflacx.Study("site_a", 99001000, 7, "train", 0)
    reflacx.write_film(tmp_path, study, film, np.random.default_rng(seed), compress)
    loaded = dicom.read(tmp_path / study.path, max_megapixels=1, max_megabytes=1)
    np.testing.assert_allclose(loaded.pixels, film, atol=1e-3)
    assert loaded.bits == 12


def test_films_are_12_bit_and_name_nobody(root: Path) -> None:
    headers = [pydicom.dcmread(path) for path in root.rglob("*.dcm")]
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {header.InstitutionName for header in headers} == set(cxr.SITES)
    for header in headers:
        assert (header.BitsStored, header.PatientIdentityRemoved, header.BurnedInAnnotation) == (
            12,
            "YES",
            "NO",
        )
        assert header.PatientID.startswith("99")
        assert str(header.PatientName) == header.StudyDate == header.PatientBirthDate == ""
        assert header.pixel_array.max() <= 4095


def test_tables_have_the_published_form(root: Path, readings: pd.DataFrame) -> None:
    for path in root.rglob("*.csv"):
        content = path.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n") > 0
    assert readings["id"].is_unique
    assert readings["id"].str.fullmatch(r"P[12]\d\dR\d{6}").all()
    for reading in readings.itertuples():
        fixations = root / "main_data" / str(reading.id) / "fixations.csv"
        assert fixations.exists() != reading.eye_tracking_data_discarded
    table = pd.read_csv(next(root.glob("main_data/*/fixations.csv")))
    assert len(table.columns) == 17
    assert (table["timestamp_end_fixation"] > table["timestamp_start_fixation"]).all()


def test_each_film_keeps_the_gaze_of_a_reader(readings: pd.DataFrame) -> None:
    by_film = readings.groupby("dicom_id")["eye_tracking_data_discarded"]
    assert not by_film.all().any()
    assert by_film.size().between(2, 3).all()
    assert readings["eye_tracking_data_discarded"].any()


def test_the_pad_fits_the_label_only_where_it_should() -> None:
    plans = {
        agreement: list(cxr._plan_films(1, "site_a", 80, agreement, first=0)) for agreement in (1.0, 0.5)
    }
    kinds = {agreement: [film.marked for film in plan] for agreement, plan in plans.items()}
    labels = [film.label for film in plans[1.0]]
    assert kinds[1.0] == [bool(label) for label in labels]
    for label in (0, 1):
        own = [kind for kind, other in zip(kinds[0.5], labels, strict=True) if other == label]
        assert np.mean(own) == 0.5
    studies = [film.study for film in plans[1.0]]
    assert len({study.dicom_id for study in studies}) == 80
    subjects = pd.Series([study.subject for study in studies]).value_counts()
    assert subjects.min() == 1
    assert 1 < subjects.max() <= 3


def test_places_of_finding_and_pad_lie_in_a_lung_apart_and_alike(
    chest_film: tuple[chest.Chest, chest.Exposure],
) -> None:
    film, _ = chest_film
    lungs, areas = film.lungs > 0.5, []
    for seed in range(60):
        window, other = (place > INSIDE for place in cxr._choose_places(np.random.default_rng(seed), lungs))
        assert film.lungs[window].mean() > 0.6
        assert (window & other).sum() < 0.1 * window.sum()
        areas.append((window.mean(), other.mean()))
    low, high = (np.pi * radius**2 for radius in cxr.RADII)
    assert 0.6 * low < np.min(areas) and np.max(areas) < 1.7 * high  # outlines are uneven
    first, second = np.mean(areas, axis=0)
    assert first == pytest.approx(second, rel=0.1)


def test_films_of_a_site_show_its_findings_only() -> None:
    for name, site in cxr.SITES.items():
        plan = list(cxr._plan_films(1, name, 8, 1.0, first=0))
        for label in (0, 1):  # harmless textures are drawn from the same ones
            assert {film.finding for film in plan if film.label == label} == set(site.findings)


def test_a_reader_looks_at_what_was_noticed(chest_film: tuple[chest.Chest, chest.Exposure]) -> None:
    film, _ = chest_film
    lungs = film.lungs > 0.5
    place = cxr._choose_places(np.random.default_rng(1), lungs)[0] > INSIDE
    near = ndimage.binary_dilation(place, iterations=10)

    def share_near(reader: readers.Reader) -> float:
        shares = []
        for seed in range(20):
            fixations, marked = readers.read(np.random.default_rng(seed), place, lungs, reader)
            assert marked.any() == (reader is SEES)
            assert marked.shape == place.shape
            if reader is SEES:
                assert (marked & place).sum() > 0.5 * place.sum()
            inside = [f for f in fixations if 0 <= f.x < lungs.shape[1] and 0 <= f.y < lungs.shape[0]]
            shares.append(np.mean([near[f.y, f.x] for f in inside]))
        return float(np.mean(shares))

    assert share_near(SEES) > 0.7
    assert share_near(MISSES) < 0.45


def test_films_on_which_nothing_was_noticed_are_searched_over_both_lungs(
    chest_film: tuple[chest.Chest, chest.Exposure],
) -> None:
    film, _ = chest_film
    lungs = film.lungs > 0.5
    fixations, _ = readers.read(np.random.default_rng(0), lungs, lungs, MISSES)
    inside = [f for f in fixations if 0 <= f.x < lungs.shape[1] and 0 <= f.y < lungs.shape[0]]
    right = np.mean([film.right[f.y, f.x] for f in inside])
    assert 0.3 < right < 0.7
    heights = [f.y for f in inside]
    assert np.ptp(heights) > 0.4 * lungs.shape[0]
