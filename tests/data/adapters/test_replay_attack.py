"""Replay-Attack: folders and names to samples of frames, regions from boxes, one mutation per error code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.adapters.replay_attack import read
from tests.data.adapters.trees import refused, text
from tests.data.adapters.trees.replay_attack import build

LIVE = "client991_session01_webcam_authenticate_adverse_1"
ATTACK = "attack_highdef_client991_session01_highdef_photo_adverse"
PRINT = "attack_print_client993_session01_highdef_photo_controlled"


def test_good_tree(tmp_path: Path) -> None:
    """Of six frames 1, 3 and 5; boxes are told for the frames 0 to 3; `enroll` is left alone."""
    build(tmp_path)
    samples = {s.native_id: s for s in read(tmp_path, frames=3)}
    assert len(samples) == 21
    live = [samples[f"train:real:{LIVE}:0000{frame}"] for frame in (1, 3, 5)]
    assert [s.roi for s in live] == ["4,5,14,17", "4,5,14,17", ""]
    assert {(s.label, s.class_name, s.source, s.native_split) for s in live} == {(0, "live", "live", "train")}
    assert {(s.subject_id, s.group_id) for s in live} == {
        ("replay_attack:client991", f"replay_attack:train:real:{LIVE}")
    }
    attack = samples[f"train:attack:fixed:{ATTACK}:00003"]
    assert (attack.label, attack.source, attack.subject_id) == (1, "highdef_photo", "replay_attack:client991")
    assert (attack.frame, attack.source_kind, attack.roi) == (3, "attack_type", "")
    prints = [samples[f"test:attack:hand:{PRINT}:0000{frame}"] for frame in (1, 2, 3)]
    assert {(s.label, s.source, s.frame, s.native_split) for s in prints} == {
        (1, "print_photo", None, "test")
    }
    assert prints[2].image_path == tmp_path / "test" / "attack" / "hand" / PRINT / "003.jpg"
    assert {s.native_split for name, s in samples.items() if name.startswith("devel")} == {"val"}


def test_a_face_that_is_lost_has_no_region(tmp_path: Path) -> None:
    build(tmp_path)
    assert {s.frame: s.roi for s in read(tmp_path, frames=6) if LIVE in s.native_id}[4] == ""


def test_attacks_that_are_held_out_come_from_the_test_alone(tmp_path: Path) -> None:
    build(tmp_path)
    samples = read(tmp_path, frames=1, test_only=["highdef_photo"])
    assert {s.native_split for s in samples if s.source == "highdef_photo"} == {"test"}
    assert {s.native_split for s in samples if s.source == "live"} == {"train", "val", "test"}


def move(root: Path, old: str, new: str) -> None:
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "real among attacks": (
        lambda root: move(root, f"train/real/{LIVE}.mov", f"train/attack/hand/{LIVE}.mov"),
        "E_LABEL_RULE",
    ),
    "attack among real": (
        lambda root: move(root, f"train/attack/fixed/{ATTACK}.mov", f"train/real/{ATTACK}.mov"),
        "E_LABEL_RULE",
    ),
    "unknown folder": (
        lambda root: move(root, f"train/real/{LIVE}.mov", f"train/genuine/{LIVE}.mov"),
        "E_LABEL_ALIAS",
    ),
    "unknown device": (
        lambda root: move(
            root, f"test/attack/hand/{PRINT}", f"test/attack/hand/{PRINT.replace('print', 'mask')}"
        ),
        "E_ENUM",
    ),
    "no real faces": (lambda root: move(root, "train/real", "other/real"), "E_LAYOUT"),
    "a box of words": (
        lambda root: text(root / "face-locations" / "train" / "real" / f"{LIVE}.face", ["0 a b c d"]),
        "E_ROW_SHAPE",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    build(tmp_path)
    change(tmp_path)
    assert refused(lambda: read(tmp_path)) == {code}
