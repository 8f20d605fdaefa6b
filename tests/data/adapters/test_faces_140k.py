"""140k faces: 1 is real in the tables; label, word and folder must agree; one mutation per error code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.faces_140k import read
from tests.data.adapters.trees import codes, edit, refused, text
from tests.data.adapters.trees.faces_140k import HEADER, build


def test_good_tree(tmp_path: Path) -> None:
    build(tmp_path)
    samples = read(tmp_path)
    assert {s.native_id: (s.label, s.class_name, s.source, s.native_split, s.group_id) for s in samples} == {
        "train:real:09900": (0, "authentic", "ffhq", "train", "ffhq:09900"),
        "train:fake:INV0": (1, "synthetic", "stylegan", "train", ""),
        "valid:real:09901": (0, "authentic", "ffhq", "val", "ffhq:09901"),
        "valid:fake:INV1": (1, "synthetic", "stylegan", "val", ""),
        "test:real:09902": (0, "authentic", "ffhq", "test", "ffhq:09902"),
        "test:fake:INV2": (1, "synthetic", "stylegan", "test", ""),
    }
    assert samples[0].image_path == tmp_path / "real_vs_fake/real-vs-fake/train/real/09900.jpg"
    assert (samples[0].where, samples[0].source_kind) == (f"{tmp_path.name}/train.csv line 2", "generator")


def test_folders_that_are_not_nested(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "real_vs_fake" / "real-vs-fake").rename(tmp_path / "images")
    assert len(read(tmp_path, images="images", lists=["train.csv"])) == 2


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "0 for real": (lambda path: edit(path, ",1,real,", ",0,real,"), "E_LABEL_RULE"),
    "fake for real": (lambda path: edit(path, ",1,real,", ",1,fake,"), "E_LABEL_RULE"),
    "in the other folder": (lambda path: edit(path, ",1,real,", ",0,fake,"), "E_LABEL_RULE"),
    "no such label": (lambda path: edit(path, ",1,real,", ",2,real,"), "E_LABEL_ALIAS"),
    "no such word": (lambda path: edit(path, ",1,real,", ",1,reel,"), "E_LABEL_ALIAS"),
    "other columns": (lambda path: edit(path, "label_str", "word"), "E_HEADER"),
    "no header": (lambda path: edit(path, HEADER + "\n", ""), "E_HEADER"),
    "empty": (lambda path: text(path, []), "E_HEADER"),
    "too few fields": (lambda path: edit(path, ",1,real,", ",1,"), "E_ROW_SHAPE"),
    "absent": (
        lambda path: edit(path, "real/09900.jpg,09900,1,real,train", "a,09900,1,real,valid"),
        "E_IMAGE_MISSING",
    ),
    "escape": (lambda path: edit(path, "real,train/", "real,../train/"), "E_PATH_ESCAPE"),
    "no list": (lambda path: path.unlink(), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    build(tmp_path)
    change(tmp_path / "train.csv")
    assert refused(lambda: read(tmp_path)) == {code}


def test_a_split_that_is_none(tmp_path: Path) -> None:
    build(tmp_path)
    images = tmp_path / "real_vs_fake" / "real-vs-fake"
    (images / "train").rename(images / "first")
    edit(tmp_path / "train.csv", ",train/", ",first/")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert codes(caught.value) == {"E_ENUM"}
