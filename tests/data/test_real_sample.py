"""The project's real films: small, credited, free of facts about people, and enough for a profile."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from pipeline.common import workspace

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
FOLDERS = ("cxr/kermany_224", "cxr/hannover/films", "cxr/hannover/lungs", "cxr/nih64")
IMAGES = (".jpeg", ".png")
TABLES = {
    "cxr/hannover/films.csv": "film,patient_id,modality,projection",
    "cxr/nih64/Data_Entry_2017_v2020_subset.csv": "Image Index,Finding Labels",
}


def paths() -> list[Path]:
    return sorted(path for path in SAMPLES.rglob("*") if path.is_file())


def test_they_take_less_than_12_megabytes() -> None:
    assert sum(path.stat().st_size for path in paths()) < 12e6


def test_every_folder_has_a_licence_and_every_file_a_folder() -> None:
    credit = (SAMPLES / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(f"`{folder}`" in credit for folder in FOLDERS)
    assert all(f"## {folder}\n" in credit for folder in FOLDERS)
    for path in paths():
        name = path.relative_to(SAMPLES).as_posix()
        known = name.startswith(FOLDERS) if path.suffix in IMAGES else name in {*TABLES, "ATTRIBUTION.md"}
        assert known, name


def test_no_file_tells_more_of_a_person_than_its_public_id() -> None:
    for name, header in TABLES.items():
        assert (SAMPLES / name).read_text(encoding="utf-8").splitlines()[0] == header
    allowed = {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    for path in paths():
        if path.suffix in IMAGES:
            with Image.open(path) as image:
                assert set(image.info) <= allowed and not image.getexif(), path


def test_the_profile_needs_nothing_but_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMDIVIDE_SAMPLE_DATA", "nowhere")
    settings = yaml.safe_load((workspace.PROJECT / "profiles" / "real_sample.yaml").read_text())
    assert settings["phantoms"]["tasks"] == {}
    for dataset in settings["datasets"].values():
        assert (workspace.PROJECT / dataset["root"]).resolve().is_relative_to(SAMPLES)
        assert dataset["notice"]
        for adapter in dataset["adapters"]:
            assert (workspace.PROJECT / dataset["root"] / adapter["root"]).is_dir()
