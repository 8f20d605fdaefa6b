"""OULU-NPU: lists and videos to samples of frames, regions from eyes, and one mutation per error code."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common import expendable
from pipeline.common.errors import UserError
from pipeline.data.adapters.oulu_npu import read
from tests.data.adapters.trees import edit, picture, refused, text
from tests.data.adapters.trees.oulu_npu import build

TRAIN = Path("Protocols/Protocol_1/Train.txt")
EYES = Path("Train_files/1_1_01_1.txt")


def test_good_tree(tmp_path: Path) -> None:
    """Of ten frames 2 and 7 stand in the middle of halves; of the pictures 0, 1 and 10 the first and last."""
    build(tmp_path)
    samples = read(tmp_path, frames=2)
    assert {s.native_id: (s.label, s.class_name, s.frame, s.native_split) for s in samples} == {
        "1_1_01_1:00002": (0, "live", 2, "train"),
        "1_1_01_1:00007": (0, "live", 7, "train"),
        "1_1_01_2:00002": (1, "print1", 2, "train"),
        "1_1_01_2:00007": (1, "print1", 7, "train"),
        "2_2_21_1:00002": (0, "live", 2, "val"),
        "2_2_21_1:00007": (0, "live", 7, "val"),
        "2_2_21_3:00002": (1, "print2", 2, "val"),
        "2_2_21_3:00007": (1, "print2", 7, "val"),
        "1_3_36_1:00002": (0, "live", 2, "test"),
        "1_3_36_1:00007": (0, "live", 7, "test"),
        "1_3_36_4:00000": (1, "replay1", None, "test"),
        "1_3_36_4:00010": (1, "replay1", None, "test"),
    }
    first, *_, last = samples
    assert first.image_path == tmp_path / "Train_files" / "1_1_01_1.avi"
    assert (first.subject_id, first.group_id, first.source) == ("oulu_npu:01", "oulu_npu:1_1_01_1", "live")
    assert (first.where, first.modality) == ("Protocol_1/Train.txt line 1", "face")
    assert last.image_path == tmp_path / "Test_files" / "1_3_36_4" / "frame_10.png"
    assert samples[4].image_path == tmp_path / "Dev_files" / "2-2-21-1.avi"


def test_regions_are_squares_around_the_eyes(tmp_path: Path) -> None:
    """Frame 2 has eyes at 10 and 18, 8 px apart: 20 px around 14, from 7 px above them; frame 9 none."""
    build(tmp_path)
    regions = {s.native_id: s.roi for s in read(tmp_path, frames=10)}
    assert regions["1_1_01_1:00002"] == "4,1,24,21"
    assert regions["1_1_01_1:00007"] == "9,1,29,21"
    assert regions["1_1_01_1:00009"] == regions["1_1_01_2:00002"] == ""


def test_a_source_is_an_attack_a_phone_or_a_session(tmp_path: Path) -> None:
    build(tmp_path)
    assert {(s.source, s.source_kind) for s in read(tmp_path, source="phone")} == {
        ("phone_1", "sensor"),
        ("phone_2", "sensor"),
    }
    assert {s.source for s in read(tmp_path, source="session")} == {"session_1", "session_2", "session_3"}


def test_protocols_3_and_4_have_folds(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "Protocols" / "Protocol_1").rename(tmp_path / "Protocols" / "Protocol_4")
    for path in (tmp_path / "Protocols" / "Protocol_4").iterdir():
        path.rename(path.with_stem(f"{path.stem}_6"))
    assert len(read(tmp_path, protocol=4, fold=6, frames=1)) == 6
    with pytest.raises(UserError, match="protocol 4 needs a fold"):
        read(tmp_path, protocol=4)
    with pytest.raises(UserError, match="protocol 1 has no fold"):
        read(tmp_path, fold=1)


def test_lists_and_videos_that_were_unpacked_twice(tmp_path: Path) -> None:
    build(tmp_path)
    for folder in ("Protocols", "Train_files"):
        (tmp_path / folder).rename(tmp_path / "aside")
        (tmp_path / folder).mkdir()
        (tmp_path / "aside").rename(tmp_path / folder / folder)
    assert len(read(tmp_path, frames=2)) == 12


def test_hidden_files_of_macos_are_left_alone(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "Train_files" / "._1_1_01_1.avi").write_bytes(b"\0\5\x16\7")
    (tmp_path / "Test_files" / "1_3_36_4" / "._frame_1.png").write_bytes(b"\0\5\x16\7")
    assert len(read(tmp_path, frames=2)) == 12


def test_a_damaged_video_costs_its_own_sample(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "Train_files" / "1_1_01_2.avi"
    path.write_bytes(path.read_bytes()[:40])
    problems = {s.native_id: s.problem for s in read(tmp_path, frames=2) if s.problem}
    assert list(problems) == ["1_1_01_2:00000"]
    assert str(problems["1_1_01_2:00000"]).startswith(
        "E_DECODE Train_files/1_1_01_2.avi (Protocol_1/Train.txt line 2): "
    )


def test_a_video_that_ends_its_decoder_costs_its_own_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise expendable.Lost("died (SIGSEGV)")

    build(tmp_path)
    monkeypatch.setattr(expendable, "call", lose)
    problems = [str(s.problem) for s in read(tmp_path, frames=2) if s.problem]
    assert len(problems) == 5
    assert problems[0].startswith(
        "E_DECODE Train_files/1_1_01_1.avi (Protocol_1/Train.txt line 1): its decoder died"
    )


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent video": (lambda root: (root / "Train_files" / "1_1_01_2.avi").unlink(), "E_IMAGE_MISSING"),
    "no such label": (lambda root: edit(root / TRAIN, "-1,", "0,"), "E_LABEL_ALIAS"),
    "label against name": (lambda root: edit(root / TRAIN, "-1,", "+1,"), "E_LABEL_RULE"),
    "no such file number": (lambda root: edit(root / TRAIN, "01_2", "01_9"), "E_ENUM"),
    "path for a name": (lambda root: edit(root / TRAIN, "1_1_01_2", "../1_1_01_2"), "E_ENUM"),
    "three fields": (lambda root: edit(root / TRAIN, "-1,", "-1,0,"), "E_ROW_SHAPE"),
    "no list": (lambda root: (root / TRAIN).with_name("Dev.txt").unlink(), "E_LAYOUT"),
    "a name twice": (
        lambda root: shutil.copy(root / "Train_files" / "1_1_01_2.avi", root / "Dev_files"),
        "E_JOIN",
    ),
    "frames beside the video": (lambda root: picture(root / "Train_files" / "1_1_01_2" / "1.png"), "E_JOIN"),
    "a frame twice": (lambda root: picture(root / "Test_files" / "1_3_36_4" / "010.png"), "E_JOIN"),
    "a frame without number": (
        lambda root: picture(root / "Test_files" / "1_3_36_4" / "last.png"),
        "E_LAYOUT",
    ),
    "eyes without numbers": (
        lambda root: text(root / EYES, ["a,b"]),
        "E_ROW_SHAPE",
    ),
    "eyes at infinity": (
        lambda root: text(root / EYES, ["0,1,1,nan,1"]),
        "E_ROW_SHAPE",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    build(tmp_path)
    change(tmp_path)
    assert refused(lambda: read(tmp_path)) == {code}
