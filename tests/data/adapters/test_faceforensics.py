"""FaceForensics++: pairs that stay together, masks frame by frame, and one mutation per error code."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.data.adapters.faceforensics import read
from pipeline.data.annotations import combine, draw_maps
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Masked
from tests.data.adapters.trees import refused, text
from tests.data.adapters.trees.faceforensics import build, mask
from tests.data.videos import film

METHODS = ["Deepfakes", "FaceSwap"]
FAKES = Path("manipulated_sequences")


def test_good_tree(tmp_path: Path) -> None:
    """Of ten frames 2 and 7; FaceSwap has the pictures 0 and 7."""
    build(tmp_path)
    samples = {s.native_id: s for s in read(tmp_path, methods=METHODS, frames=2)}
    videos = [
        *(f"original:{name}" for name in ("033", "097", "672", "720")),
        "deepfakes:033_097",
        "deepfakes:097_033",
    ]
    expected = {f"{name}:0000{frame}" for name in videos for frame in (2, 7)}
    assert set(samples) == expected | {"faceswap:720_672:00000", "faceswap:720_672:00007"}
    original, fake = samples["original:033:00002"], samples["deepfakes:097_033:00007"]
    assert (original.label, original.class_name, original.source) == (0, "authentic", "original")
    assert (fake.label, fake.class_name, fake.source, fake.source_kind) == (
        1,
        "deepfakes",
        "deepfakes",
        "generator",
    )
    assert original.group_id == fake.group_id == "faceforensics:033_097"
    assert (original.native_split, fake.native_split) == ("train", "train")
    assert (original.subject_id, original.annotations) == ("", [])
    assert fake.annotations == [
        Masked(tmp_path / FAKES / "Deepfakes" / "masks" / "videos" / "097_033.mp4", 7)
    ]
    swapped = samples["faceswap:720_672:00007"]
    assert (swapped.group_id, swapped.native_split) == ("faceforensics:672_720", "val")
    assert swapped.image_path == tmp_path / FAKES / "FaceSwap" / "c23" / "images" / "720_672" / "0007.png"
    assert swapped.annotations == [
        Masked(tmp_path / FAKES / "FaceSwap" / "masks" / "images" / "720_672" / "0007.png")
    ]


def test_masks_are_the_same_from_videos_and_pictures(tmp_path: Path) -> None:
    """The bright square, 16x8 of 32x24 px, although the video is compressed."""
    build(tmp_path)
    expected = np.zeros((24, 32))
    expected[:8, :16] = 1
    marked = [s.annotations for s in read(tmp_path, methods=METHODS, frames=2) if s.label]
    assert len(marked) == 6
    for annotations in marked:
        found = combine(draw_maps(annotations, 32, 24), granularity="map", blur=0)
        assert found is not None
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (mask(120), "E_ANN_EMPTY"),  # darker than half: what compression leaves
        (mask()[:, :16], "E_ANN_DIMS"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path: Path, pixels: np.ndarray, code: str) -> None:
    path = film(tmp_path / "a.mov", [pixels, pixels])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for masked in (Masked(path, 1), Masked(tmp_path / "a.png")):
        with pytest.raises(UnusableImage) as caught:
            draw_maps([masked], 32, 24)
        assert caught.value.problem.code == code
    with pytest.raises(UnusableImage) as caught:
        draw_maps([Masked(tmp_path / "b.png")], 32, 24)
    assert caught.value.problem.code == "E_ANN_MISSING"


def test_masks_may_be_left_out(tmp_path: Path) -> None:
    build(tmp_path)
    for method in METHODS:
        shutil.rmtree(tmp_path / FAKES / method / "masks")
    assert not any(s.annotations for s in read(tmp_path, methods=METHODS, masks=False))
    (tmp_path / FAKES / "FaceSwap").rename(tmp_path / FAKES / "FaceShifter")
    assert read(tmp_path, methods=["FaceShifter"])  # has none, so none are asked for


def test_an_unknown_method_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'Deepfakes'"):
        read(tmp_path, methods=["DeepFakes"])
    with pytest.raises(UserError, match="did you mean 'FaceSwap'"):
        read(tmp_path, test_only=["faceswap"])


def test_methods_that_are_held_out_come_from_test_pairs_alone(tmp_path: Path) -> None:
    build(tmp_path)
    assert "faceswap" not in {s.source for s in read(tmp_path, methods=METHODS, test_only=["FaceSwap"])}
    for split, other in (("val", "test"), ("test", "val")):
        (tmp_path / "splits" / f"{split}.json").rename(tmp_path / "splits" / f"{other}.was")
    for path in (tmp_path / "splits").glob("*.was"):
        path.rename(path.with_suffix(".json"))
    samples = read(tmp_path, methods=METHODS, test_only=["FaceSwap"])
    assert {s.native_split for s in samples if s.source == "faceswap"} == {"test"}
    assert {s.native_split for s in samples if s.source == "deepfakes"} == {"train"}


VIDEO = FAKES / "Deepfakes" / "c23" / "videos" / "033_097.mp4"


def mask_elsewhere(root: Path) -> None:
    path = root / FAKES / "Deepfakes" / "masks" / "videos" / "033_097.mp4"
    path.rename(root.parent / "outside.mp4")
    path.symlink_to(root.parent / "outside.mp4")


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "mask elsewhere": (mask_elsewhere, "E_PATH_ESCAPE"),
    "no method": (lambda root: shutil.rmtree(root / FAKES / "Deepfakes" / "c23"), "E_LAYOUT"),
    "no masks": (lambda root: shutil.rmtree(root / FAKES / "Deepfakes" / "masks"), "E_LAYOUT"),
    "no lists": (lambda root: (root / "splits" / "val.json").unlink(), "E_LAYOUT"),
    "no mask video": (
        lambda root: (root / FAKES / "Deepfakes" / "masks" / "videos" / "033_097.mp4").unlink(),
        "E_ANN_MISSING",
    ),
    "no mask picture": (
        lambda root: (root / FAKES / "FaceSwap" / "masks" / "images" / "720_672" / "0007.png").unlink(),
        "E_ANN_MISSING",
    ),
    "strange name": (lambda root: (root / VIDEO).rename((root / VIDEO).with_stem("33_97")), "E_ENUM"),
    "no pair": (lambda root: (root / VIDEO).rename((root / VIDEO).with_stem("033_720")), "E_JOIN"),
    "in no list": (lambda root: (root / VIDEO).rename((root / VIDEO).with_stem("500_501")), "E_JOIN"),
    "two partners": (lambda root: text(root / "splits" / "test.json", ['[["033", "720"]]']), "E_JOIN"),
    "numbers": (lambda root: text(root / "splits" / "test.json", ["[[33, 97]]"]), "E_ROW_SHAPE"),
    "no JSON": (lambda root: text(root / "splits" / "test.json", ["["]), "E_ROW_SHAPE"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    build(tmp_path / "ff")
    change(tmp_path / "ff")
    assert refused(lambda: read(tmp_path / "ff", methods=METHODS, frames=2)) == {code}
