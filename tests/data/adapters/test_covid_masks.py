"""COVID-QU-Ex and QaTa-COV19: folders are the list, and an all-black mask means that nothing is marked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.adapters import covid_qu_ex, qata_cov19
from tests.data.adapters.trees import draw, facts, mask, picture, refused
from tests.data.adapters.trees.covid_qu_ex import PART
from tests.data.adapters.trees.covid_qu_ex import build as build_covid
from tests.data.adapters.trees.qata_cov19 import build as build_qata

TRAIN = f"{PART}/Train"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build_covid(tmp_path)
    build_qata(tmp_path / "qata")
    return tmp_path


def test_golden(root: Path) -> None:
    one = [
        ("COVID-19:covid_1", 1, "covid_19", 1),
        ("Non-COVID:non_COVID--1-", 1, "non_covid", 0),
        ("Normal:Normal--1-", 0, "normal", 0),
    ]
    assert facts(covid_qu_ex.read(root)) == [
        (f"{split}:{name}", label, told, "", "", split.lower(), marked)
        for split in ("Train", "Val", "Test")
        for name, label, told, marked in one
    ]


def test_the_infection_is_the_map(root: Path) -> None:
    expected = np.zeros((20, 24))
    expected[4:14, 2:12] = 1
    np.testing.assert_array_equal(draw(covid_qu_ex.read(root)[0], 24, 20), expected)


def test_covid_against_all_others(root: Path) -> None:
    assert [s.label for s in covid_qu_ex.read(root, abnormal=["COVID-19"])][:3] == [1, 0, 0]


def test_the_whole_set_has_no_maps(root: Path) -> None:
    name = "Lung Segmentation Data"
    (root / "Infection Segmentation Data").rename(root / name)
    (root / name / "Infection Segmentation Data").rename(root / name / name)
    samples = covid_qu_ex.read(root, part="lung")
    assert [s.label for s in samples] == [1, 1, 0] * 3
    assert not any(s.annotations for s in samples)


def test_qata(root: Path) -> None:
    assert facts(qata_cov19.read(root / "qata")) == [
        ("train:covid_2", 1, "covid_19", "", "", "train", 0),  # an all-black mask
        ("train:sub-S099_run-1", 1, "covid_19", "", "", "train", 1),
        ("test:covid_1", 1, "covid_19", "", "", "test", 1),
    ]


IMAGE = f"{TRAIN}/COVID-19/images/covid_1.png"
MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no mask": (lambda root: (root / TRAIN / "COVID-19/infection masks/covid_1.png").unlink(),
                "E_ANN_MISSING"),
    "mask without image": (lambda root: mask(root / TRAIN / "Normal/infection masks/Normal (9).png", None),
                           "E_JOIN"),
    "no split": (lambda root: (root / PART / "Val").rename(root / PART / "Validation"), "E_LAYOUT"),
    "no folder": (lambda root: (root / "Infection Segmentation Data").rename(root / "Data"), "E_LAYOUT"),
    "escape": (lambda root: (root / IMAGE).unlink() or (root / IMAGE).symlink_to("/etc/hostname"),
               "E_PATH_ESCAPE"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: covid_qu_ex.read(root)) == {code}


QATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "no mask": (lambda root: (root / "Test Set/Ground-truths/mask_covid_1.png").unlink(), "E_ANN_MISSING"),
    "mask without image": (lambda root: mask(root / "Test Set/Ground-truths/mask_9.png", None), "E_JOIN"),
    "image without mask": (lambda root: picture(root / "Test Set/Images/covid_9.png"), "E_ANN_MISSING"),
    "no folder": (lambda root: (root / "Train Set").rename(root / "Train"), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", QATA)
def test_each_mutation_of_qata_gives_its_code(root: Path, mutation: str) -> None:
    change, code = QATA[mutation]
    change(root / "qata")
    assert refused(lambda: qata_cov19.read(root / "qata")) == {code}


def test_what_is_wrong_with_a_mask_sets_its_image_aside(root: Path) -> None:
    mask(root / TRAIN / "Normal/infection masks/Normal (1).png", (0, 0, 3, 3))
    (root / TRAIN / "COVID-19/infection masks/covid_1.png").write_bytes(b"no PNG")
    assert [s.problem.code for s in covid_qu_ex.read(root) if s.problem] == ["E_DECODE", "E_LABEL_CONFLICT"]
