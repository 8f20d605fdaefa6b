"""The real sample images through image_table: folders, masks in rectangles, and a second table of labels."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.adapters.image_table import read
from pipeline.data.annotations import combine, draw_maps
from pipeline.data.images import load
from pipeline.data.samples import Drawn, Pasted


def test_kermany(real_films: Path) -> None:
    samples = read(
        real_films / "kermany_224",
        collection="kermany",
        modality="cxr",
        glob="train/*/*.jpeg",
        labels={"NORMAL": 0, "PNEUMONIA": 1},
        patterns={"label": "^train/([A-Z]+)/", "subject": r"/(person\d+|(?:NORMAL2-)?IM-\d+)"},
        constants={"source": "kermany"},
    )
    assert Counter(s.label for s in samples) == {0: 300, 1: 303}
    assert all(s.subject_id for s in samples)


def test_generalblockchain(sample_data: Path) -> None:
    samples = read(
        sample_data / "cxr" / "generalblockchain",
        collection="generalblockchain",
        modality="cxr",
        table="metadata.csv",
        folder="images",
        columns={"image": "filename", "label": "finding", "subject": "patientid"},
        labels={"Pneumocystis": 1, "COVID-19": 1, "Streptococcus": 1, "Legionella": 1, "ARDS": 1},
        constants={"source": "generalblockchain"},
        maps={
            "kind": "pasted",
            "table": "structure.csv",
            "key": "Filename",
            "path": "Mask",
            "corners": ["Left", "Top"],
            "where": "Template Name",
            "keep": ["Ground Glass Opacities", "Consolidation", "Pneumothorax"],
        },
    )
    assert len(samples) == 27
    assert len({s.subject_id for s in samples}) == 24
    assert sum(len(a.parts) for s in samples for a in s.annotations if isinstance(a, Pasted)) == 26 + 9 + 1
    sample = min(samples, key=lambda s: s.image_path.stat().st_size)
    loaded = load(sample.image_path, max_megapixels=64, max_megabytes=512)
    human_map = combine(draw_maps(sample.annotations, loaded.width, loaded.height), granularity="map", blur=0)
    assert human_map is not None
    assert 0 < np.mean(human_map) < 0.5


def test_lung_masks_lie_on_the_lungs_of_hannover(real_films: Path) -> None:
    """Lungs are dark: on every film the mask covers a plausible share, less bright than the rest."""
    samples = read(
        real_films / "hannover",
        collection="hannover",
        modality="cxr",
        table="films.csv",
        folder="films",
        columns={"image": "film", "subject": "patient_id"},
        labels={"COVID-19": 1},
        constants={"label": "COVID-19", "source": "hannover"},
        maps={"kind": "drawn", "folder": "lungs"},
    )
    assert len(samples) == 53 and len({s.subject_id for s in samples}) == 28
    darker = []
    for sample in samples:
        (drawn,) = sample.annotations
        assert isinstance(drawn, Drawn)
        mask, film = (np.asarray(Image.open(path)) for path in (drawn.path, sample.image_path))
        assert mask.shape == film.shape and set(np.unique(mask)) == {0, 255}
        assert 0.1 < (mask > 0).mean() < 0.7
        darker.append(film[mask > 0].mean() < film[mask == 0].mean())
    assert np.mean(darker) > 0.8


def test_nih_label_conflict_is_found(real_films: Path) -> None:
    samples = read(
        real_films / "nih64",
        collection="nih",
        modality="cxr",
        glob="*/*/*.png",
        labels={"0_normal": 0, "1_abnormal": 1},
        patterns={"label": r"/(\d_[a-z]+)/", "subject": r"/(\d{8})_", "split": "^(train|valid)/"},
        constants={"source": "nih64"},
        check={
            "table": "Data_Entry_2017_v2020_subset.csv",
            "key": "Image Index",
            "label": "Finding Labels",
            "normal": "No Finding",
        },
    )
    assert Counter((s.native_split, s.label) for s in samples) == {
        ("train", 0): 300,
        ("train", 1): 300,
        ("val", 0): 100,
        ("val", 1): 100,
    }
    assert len({s.subject_id for s in samples}) == 221
    assert [s.image_path.name for s in samples if s.problem] == ["00000193_019.png"]
