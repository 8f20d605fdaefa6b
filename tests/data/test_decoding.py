"""Decoding: pictures, maps and truth share one geometry; what cannot be used comes back as its problem."""

import os
import time
from collections.abc import Callable
from pathlib import Path, PosixPath

import numpy as np
import pytest
from PIL import Image

from pipeline.data import apart, decoding
from pipeline.data.decoding import Decoded, Recipe, decode, decode_all, load_apart
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Boxes, Drawn, Sample

RECIPE = Recipe(16, 1, "none", "map", 0.0, max_megapixels=1, max_megabytes=8)


def listed(path: Path, **changes: object) -> Sample:
    values: dict = {
        "native_id": path.stem,
        "image_path": path,
        "label": 1,
        "class_name": "print",
        "source": "s",
        "source_kind": "site",
        "modality": "cxr",
    }
    return Sample(**{**values, **changes})


def write(path: Path, corner: int = 8, size: tuple[int, int] = (32, 32)) -> Path:
    """A black picture with a white square of `corner` px at the top left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[:corner, :corner] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("crop", ["none", "square", "roi"])
def test_picture_map_and_truth_share_one_geometry(tmp_path: Path, crop: str) -> None:
    size = (48, 32)
    path = write(tmp_path / "a.png", 16, size)
    mask = write(tmp_path / "map.png", 16, size)
    for kind in ("causal", "shortcut", "without_cause"):
        write(tmp_path / "truth" / kind / "a.png", 16, size)
    truth = {"truth": tmp_path / "truth", "twins": ("without_cause",)}
    one = listed(path, annotations=[Drawn(mask)], roi="8,0,40,32", **truth)
    result = decode(one, RECIPE._replace(crop=crop))
    assert isinstance(result, Decoded)
    assert result.human_map is not None
    assert result.human_map.max() == 255
    for other in (result.human_map, result.truths["causal"], result.truths["shortcut"]):
        np.testing.assert_array_equal(result.image[0], other)
    np.testing.assert_array_equal(result.image, result.twins["without_cause"])
    expected = {"width": 48, "height": 32, "bits": 8, "photometric": "L", "phi_flag": "absent"}
    assert result.facts == {**expected, "file_bytes": path.stat().st_size}


def test_a_missing_map_is_none(tmp_path: Path) -> None:
    result = decode(listed(write(tmp_path / "a.png")), RECIPE)
    empty = decode(listed(tmp_path / "a.png", annotations=[Boxes(np.zeros((0, 4)))]), RECIPE)
    assert isinstance(result, Decoded)
    assert isinstance(empty, Decoded)
    assert result.human_map is empty.human_map is None


@pytest.mark.parametrize(("crop", "roi", "code"), [("roi", "40,0,60,20", "E_ROI"), ("square", "", "E_FLAT")])
def test_a_part_that_shows_nothing_never_becomes_a_black_square(
    tmp_path: Path, crop: str, roi: str, code: str
) -> None:
    path = write(tmp_path / "a.png", size=(64, 32))  # white in its first 8 columns only
    result = decode(listed(path, roi=roi), RECIPE._replace(crop=crop))
    assert isinstance(result, Problem)
    assert (result.code, result.where) == (code, "a.png")
    assert "are equal" in result.message


def test_marks_of_other_proportions_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")  # 32x32
    for size, noticed in (((64, 64), []), ((200, 201), []), ((200, 203), ["W_MAP_ASPECT"])):
        half = Boxes(np.array([[0, 0, size[0] / 2, size[1]]]))
        result = decode(listed(path, annotations=[half], annotation_size=size), RECIPE)
        assert isinstance(result, Decoded)
        assert [found.code for found in result.noticed] == noticed
        assert result.human_map is not None
        assert (result.human_map[:, :8] == 255).all()
        assert (result.human_map[:, 8:] == 0).all()
    drawn = Drawn(write(tmp_path / "b.png", size=(64, 32)), resize="area")
    result = decode(listed(path, annotations=[drawn]), RECIPE)
    assert isinstance(result, Decoded)
    assert [found.message for found in result.noticed] == [
        "marks of 64x32 px on an image of 32x32 are squeezed to it"
    ]


def test_a_black_map_of_a_normal_image_is_no_map(tmp_path: Path) -> None:
    black = Drawn(write(tmp_path / "b.png", corner=0), empty="none")
    result = decode(listed(write(tmp_path / "a.png"), annotations=[black], label=0), RECIPE)
    assert isinstance(result, Decoded)
    assert result.human_map is None


def test_a_map_outside_the_crop_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 24, size=(64, 32))
    one = listed(path, annotations=[Boxes(np.array([[0, 0, 8, 8]]))])
    assert isinstance(decode(one, RECIPE), Decoded)
    result = decode(one, RECIPE._replace(crop="square"))
    assert isinstance(result, Problem)
    assert result.code == "E_ANN_EMPTY"


@pytest.mark.parametrize("kind", ["flat", "truncated", "text", "absent"])
def test_unusable_images_come_back_as_problems(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "flat":
        write(path, corner=32)
    elif kind == "truncated":
        path.write_bytes(write(path).read_bytes()[:60])
    elif kind == "text":
        path.write_text("no image")
    code = {"flat": "E_FLAT", "absent": "E_IMAGE_MISSING"}.get(kind, "E_DECODE")
    result = decode(listed(path), RECIPE)
    assert isinstance(result, Problem)
    assert result.code == code


@pytest.mark.parametrize(
    ("promised", "told"),
    [
        ({"size": (32, 32)}, ""),
        ({"photometric": "L"}, ""),
        ({"size": (32, 32), "photometric": "L"}, ""),
        ({"size": (640, 480), "photometric": "L"}, "expected 640x480 px L, got 32x32 px L"),
        ({"size": (32, 31)}, "expected 32x31 px, got 32x32 px L"),
        ({"photometric": "RGB"}, "expected RGB, got 32x32 px L"),
    ],
)
def test_a_file_keeps_what_its_data_set_promises(tmp_path: Path, promised: dict, told: str) -> None:
    result = decode(listed(write(tmp_path / "a.png"), **promised), RECIPE)
    if told:
        assert isinstance(result, Problem)
        assert (result.code, told in result.message) == ("E_DIMS", True)
    else:
        assert isinstance(result, Decoded)


def test_a_header_over_budget_is_not_decoded(tmp_path: Path) -> None:
    result = decode(listed(write(tmp_path / "a.png")), RECIPE._replace(max_megapixels=0.001))
    assert isinstance(result, Problem)
    assert "megapixels" in result.message


def test_a_phantom_without_truth_is_refused(tmp_path: Path) -> None:
    result = decode(listed(write(tmp_path / "a.png"), truth=tmp_path / "truth"), RECIPE)
    assert isinstance(result, Problem)
    assert result.code == "E_LAYOUT"


@pytest.fixture
def with_truth(tmp_path: Path) -> Sample:
    """A phantom with a cause and no shortcut; its twin without the cause is a smaller square."""
    write(tmp_path / "truth" / "causal" / "a.png")
    mask = tmp_path / "truth" / "shortcut" / "a.png"
    mask.parent.mkdir()
    Image.new("L", (32, 32)).save(mask)
    write(tmp_path / "truth" / "without_cause" / "a.png", 2)
    twins = ("without_cause", "without_shortcut")
    return listed(write(tmp_path / "a.png"), truth=tmp_path / "truth", twins=twins)


def test_a_twin_shows_the_image_without_its_cause(with_truth: Sample) -> None:
    result = decode(with_truth, RECIPE)
    assert isinstance(result, Decoded)
    expected = np.zeros((1, 16, 16))
    expected[0, 0, 0] = 255  # a corner of 2 px at half the size
    np.testing.assert_array_equal(result.twins["without_cause"], expected)
    np.testing.assert_array_equal(result.twins["without_shortcut"], result.image)  # it has no shortcut


def test_colour_twins_keep_their_colours(with_truth: Sample) -> None:
    for path in (with_truth.image_path, with_truth.image_path.parent / "truth" / "without_cause" / "a.png"):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[:16, :, 1] = 100
        Image.fromarray(pixels).save(path)
    result = decode(with_truth, RECIPE._replace(channels=3))
    assert isinstance(result, Decoded)
    np.testing.assert_array_equal(result.twins["without_cause"], result.image)
    assert result.image.max(axis=(1, 2)).tolist() == [0, 100, 0]


def _remove(path: Path) -> None:
    path.unlink()


def _enlarge(path: Path) -> None:
    write(path, size=(64, 64))


def _colour(path: Path) -> None:
    Image.open(path).convert("RGB").save(path)


def _promise_much(path: Path) -> None:
    Image.effect_noise((2000, 1000), 9).save(path)


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (_remove, "E_LAYOUT", "without_cause/a.png; draw the phantoms again"),
        (_enlarge, "E_DIMS", "without_cause: expected pixels (32, 32) as in the image, got (64, 64)"),
        (_colour, "E_DIMS", "got (32, 32, 3)"),
        (_promise_much, "E_DECODE", "megapixels"),
    ],
)
def test_a_twin_that_is_none_is_refused(
    with_truth: Sample, damage: Callable[[Path], None], code: str, told: str
) -> None:
    assert with_truth.truth is not None
    damage(with_truth.truth / "without_cause" / "a.png")
    result = decode(with_truth, RECIPE)
    assert isinstance(result, Problem)
    assert (result.code, told in result.message) == (code, True)


class Deadly(PosixPath):
    """A file that ends the process which looks at it."""

    def is_file(self) -> bool:
        os.abort()


class Endless(PosixPath):
    """A file that never comes."""

    def is_file(self) -> bool:
        time.sleep(600)
        return True


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [listed(write(tmp_path / f"{n}.png", corner=n + 1)) for n in range(10)]
    samples[4] = listed(tmp_path / "absent.png")
    alone = [decode(sample, RECIPE) for sample in samples]
    monkeypatch.setattr(decoding, "SERIAL", 1)
    together = list(decode_all(samples, RECIPE, workers=2))
    assert [isinstance(result, Problem) for result in together] == [n == 4 for n in range(10)]
    for one, two in zip(alone, together, strict=True):
        if isinstance(one, Decoded) and isinstance(two, Decoded):
            np.testing.assert_array_equal(one.image, two.image)
            assert one.facts == two.facts
        else:
            assert one == two


def test_a_file_that_ends_or_stops_its_process_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png")
    monkeypatch.setattr(apart, "SECONDS", 2)
    files = [path, Deadly(tmp_path / "b.png"), path, Endless(tmp_path / "c.png"), path]
    found = list(decode_all([listed(file) for file in files], RECIPE, workers=1))
    assert [str(result)[:40] for result in found if isinstance(result, Problem)] == [
        "E_DECODE b.png: its decoder died (SIGABR",
        "E_DECODE c.png: its decoder took more th",
    ]
    with pytest.raises(UnusableImage, match=r"E_DECODE b.png: its decoder died"):
        load_apart(files[1], RECIPE.limits)
    assert load_apart(path, RECIPE.limits).width == 32


def test_a_file_that_wants_too_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.linear_gradient("L").resize((4000, 4000)).save(path)
    large = RECIPE._replace(max_megapixels=99, max_megabytes=99)
    assert load_apart(path, large.limits).width == 4000
    monkeypatch.setattr(apart, "MEGABYTES", -60)
    (found,) = decode_all([listed(path)], large, workers=1)
    assert isinstance(found, Problem)
    assert str(found).startswith("E_DECODE a.png: its decoder needed more than 39 MB")
