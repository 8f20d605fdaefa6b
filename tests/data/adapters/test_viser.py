"""VISER: one fold to samples, kinds of attack from all test lists, and one mutation per error code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.viser import read
from pipeline.data.samples import Drawn
from tests.data.adapters.trees import edit, refused
from tests.data.adapters.trees.viser import MAPS, build


def test_good_tree(tmp_path: Path) -> None:
    """99002L is left out in the fold of the dead eyes, so that is what it is; 99005R is left out nowhere."""
    samples = read(tmp_path, **build(tmp_path), annotators=3)
    assert {s.native_id: (s.label, s.source, s.native_split, s.subject_id) for s in samples} == {
        "img:99001L_1": (0, "live", "train", "viser:99001"),
        "img:99002L_1": (1, "postmortem", "train", "viser:99002"),
        "img:99005R_1": (1, "attack", "train", "viser:99005"),
        "img:99003R_1": (0, "live", "val", "viser:99003"),
        "img:99004L_1": (1, "print", "test", "viser:99004"),
        "img:99006R_1": (0, "live", "test", "viser:99006"),
    }
    dead = samples[1]
    assert (dead.class_name, dead.source_kind, dead.size) == ("postmortem", "attack_type", (64, 48))
    assert dead.annotations == [Drawn(tmp_path / MAPS / "99002L_1_blended.png")]
    assert dead.annotators == 3
    assert [s.annotations for s in samples if s is not dead] == [[]] * 5


def test_paths_of_the_authors_machine(tmp_path: Path) -> None:
    settings = build(tmp_path)
    for path in (tmp_path / "CSVs").rglob("*.csv"):
        path.write_text(path.read_text().replace("/img/", "/home/inv/img/"))
    (tmp_path / "img").rename(tmp_path / "irises")
    found = read(tmp_path, **settings, prefix="/home/inv/img/", images="irises")
    assert [s.native_id for s in found][:2] == ["99001L_1", "99002L_1"]
    assert found[1].source == "postmortem"


def test_the_other_fold(tmp_path: Path) -> None:
    settings = build(tmp_path)
    lists = tmp_path / "CSVs" / "Train"
    (lists / "Printout_Left_Out_Train.csv").rename(lists / "Post_Mortem_Left_Out_Train.csv")
    edit(lists / "Post_Mortem_Left_Out_Train.csv", "99002L", "99004L")
    found = {
        s.native_id: (s.source, s.native_split)
        for s in read(tmp_path, **settings | {"left_out": "postmortem"})
    }
    assert found["img:99002L_1"] == ("postmortem", "test")
    assert found["img:99004L_1"] == ("print", "train")


def test_an_attack_that_viser_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'print'"):
        read(tmp_path, left_out="prints")


TRAIN = "CSVs/Train/Printout_Left_Out_Train.csv"
TEST = "CSVs/Test/Printout_Left_Out_Test.csv"


def map_elsewhere(root: Path) -> None:
    path = root / MAPS / "99002L_1_blended.png"
    path.rename(root.parent / "outside.png")
    path.symlink_to(root.parent / "outside.png")


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "map elsewhere": (map_elsewhere, "E_PATH_ESCAPE"),
    "absent image": (lambda root: (root / "img" / "99001L_1.png").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / TRAIN, "/img/99001L", "/../99001L"), "E_PATH_ESCAPE"),
    "no such label": (lambda root: edit(root / TRAIN, "Train,Live", "Train,Alive"), "E_LABEL_ALIAS"),
    "no such split": (lambda root: edit(root / TRAIN, "Train,Live", "Val,Live"), "E_ENUM"),
    "other columns": (lambda root: edit(root / TEST, "Image_Location", "Image"), "E_HEADER"),
    "two fields": (lambda root: edit(root / TRAIN, "Train,Live", "Live"), "E_ROW_SHAPE"),
    "no test list": (lambda root: (root / TEST).unlink(), "E_LAYOUT"),
    "no maps": (lambda root: (root / MAPS).rename(root / "maps"), "E_LAYOUT"),
    "two kinds": (lambda root: edit(root / TEST, "99004L", "99002L"), "E_JOIN"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    settings = build(tmp_path / "viser")
    change(tmp_path / "viser")
    assert refused(lambda: read(tmp_path / "viser", **settings)) == {code}
