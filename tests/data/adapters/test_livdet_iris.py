"""LivDet-Iris 2017: lists of three sites to samples, unknown test sets apart, one mutation per error code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.livdet_iris import read
from tests.data.adapters.trees import codes, edit, picture, refused
from tests.data.adapters.trees.livdet_iris import build, iiitd_wvu, warsaw

Facts = dict[str, tuple[int, str, str, str]]


def facts(root: Path, **settings: object) -> Facts:
    samples = read(root, **settings)  # type: ignore[arg-type]
    return {s.native_id: (s.label, s.source, s.native_split, s.subject_id) for s in samples}


def test_notre_dame_lists_stems(tmp_path: Path) -> None:
    settings = build(tmp_path)
    assert facts(tmp_path, **settings) == {
        "99001d1": (0, "notre_dame_live", "train", "notre_dame:99001"),
        "99002d7": (1, "notre_dame_textured_contact", "train", "notre_dame:99002"),
        "99003d1": (0, "notre_dame_live", "test", "notre_dame:99003"),
        "99003d2": (1, "notre_dame_textured_contact", "test", "notre_dame:99003"),
        "99004d1": (0, "notre_dame_live_unknown", "test", "notre_dame:99004"),
        "99004d2": (1, "notre_dame_textured_contact_unknown", "test", "notre_dame:99004"),
    }
    first, second, *_ = read(tmp_path, **settings)
    assert first.image_path == tmp_path / "images" / "train" / "99001d1.tiff"
    assert (first.class_name, second.class_name, first.size) == ("live", "textured_contact", (64, 48))
    assert (first.modality, first.photometric, first.source_kind) == ("iris_nir", "L", "attack_type")


def test_warsaw_lists_paths_below_a_header(tmp_path: Path) -> None:
    assert facts(tmp_path, **warsaw(tmp_path)) == {
        "train:99_1": (0, "warsaw_live", "train", "warsaw:99"),
        "train:99_2": (1, "warsaw_print", "train", "warsaw:99"),
        "test:99_3": (0, "warsaw_live", "test", "warsaw:99"),
        "test:99_4": (1, "warsaw_print", "test", "warsaw:99"),
        "unknown_test:99_5": (0, "warsaw_live_unknown", "test", "warsaw:99"),
        "unknown_test:99_6": (1, "warsaw_print_unknown", "test", "warsaw:99"),
    }


def test_iiitd_wvu_tests_on_unknown_only(tmp_path: Path) -> None:
    assert facts(tmp_path, **iiitd_wvu(tmp_path)) == {
        "trainset:Live:99_1": (0, "iiitd_wvu_live", "train", ""),
        "trainset:Print:99_2": (1, "iiitd_wvu_print", "train", ""),
        "testset:Live:99_3": (0, "iiitd_wvu_live_unknown", "test", ""),
        "testset:Print:99_4": (1, "iiitd_wvu_print_unknown", "test", ""),
    }


def test_clarkson_needs_the_names_of_its_lists(tmp_path: Path) -> None:
    settings = warsaw(tmp_path) | {"site": "clarkson"}
    with pytest.raises(UserError, match="the lists of clarkson have no published names; give `lists`"):
        read(tmp_path, **settings)
    found = facts(tmp_path, **settings, lists={"train": "train.txt"})
    assert found == {
        "train:99_1": (0, "clarkson_live", "train", "clarkson:99"),
        "train:99_2": (1, "clarkson_attack", "train", "clarkson:99"),
    }


def test_sizes_are_promised_unless_they_are_not(tmp_path: Path) -> None:
    build(tmp_path)
    assert {s.size for s in read(tmp_path, site="notre_dame")} == {(640, 480)}
    assert {(s.size, s.photometric) for s in read(tmp_path, site="notre_dame", size=None)} == {(None, "")}


TRAIN = "livdet-train.txt"
MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "images" / "train" / "99001d1.tiff").unlink(), "E_IMAGE_MISSING"),
    "two of a name": (lambda root: picture(root / "images" / "more" / "99001d1.png"), "E_JOIN"),
    "no such label": (lambda root: edit(root / TRAIN, "99001d1 0", "99001d1 2"), "E_LABEL_ALIAS"),
    "escape": (lambda root: edit(root / TRAIN, "99001d1", "../99001d1"), "E_PATH_ESCAPE"),
    "no label": (lambda root: edit(root / TRAIN, "99001d1 0", "99001d1"), "E_ROW_SHAPE"),
    "no test list": (lambda root: (root / "livdet-test.txt").unlink(), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    settings = build(tmp_path)
    change(tmp_path)
    assert refused(lambda: read(tmp_path, **settings)) == {code}


def test_a_list_without_its_header_loses_no_image(tmp_path: Path) -> None:
    settings = warsaw(tmp_path)
    edit(tmp_path / "train.txt", "image,label\n", "")
    with pytest.raises(UserError) as caught:
        read(tmp_path, **settings)
    assert codes(caught.value) == {"E_HEADER"}


def test_an_unknown_kind_of_attack(tmp_path: Path) -> None:
    settings = iiitd_wvu(tmp_path) | {"type_pattern": "/(?P<type>Pri)"}
    with pytest.raises(UserError, match="did you mean 'print'") as caught:
        read(tmp_path, **settings)
    assert codes(caught.value) == {"E_ENUM"}
