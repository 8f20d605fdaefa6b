"""Decoding: pictures, maps and truth share one geometry; what cannot be used comes back as its problem."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import decoding
from pipeline.data.decoding import Decoded, Recipe, decode, decode_all
from pipeline.data.problems import Problem
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
    for kind in ("causal", "shortcut"):
        write(tmp_path / "truth" / kind / "a.png", 16, size)
    one = listed(path, truth=tmp_path / "truth", annotations=[Drawn(mask)], roi="8,0,40,32")
    result = decode(one, RECIPE._replace(crop=crop))
    assert isinstance(result, Decoded)
    assert result.human_map is not None
    assert result.human_map.max() == 255
    for other in (result.human_map, result.truths["causal"], result.truths["shortcut"]):
        np.testing.assert_array_equal(result.image[0], other)
    expected = {"width": 48, "height": 32, "bits": 8, "photometric": "L", "phi_flag": "absent"}
    assert result.facts == {**expected, "file_bytes": path.stat().st_size}


def test_a_missing_map_is_none(tmp_path: Path) -> None:
    result = decode(listed(write(tmp_path / "a.png")), RECIPE)
    empty = decode(listed(tmp_path / "a.png", annotations=[Boxes(np.zeros((0, 4)))]), RECIPE)
    assert isinstance(result, Decoded)
    assert isinstance(empty, Decoded)
    assert result.human_map is empty.human_map is None


def test_a_map_outside_the_crop_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", size=(64, 32))
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


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [listed(write(tmp_path / f"{n}.png", corner=n + 1)) for n in range(10)]
    samples[4] = listed(tmp_path / "absent.png")
    alone = list(decode_all(samples, RECIPE, workers=1))
    monkeypatch.setattr(decoding, "SERIAL", 0)
    together = list(decode_all(samples, RECIPE, workers=2))
    assert [isinstance(result, Problem) for result in together] == [n == 4 for n in range(10)]
    for one, two in zip(alone, together, strict=True):
        if isinstance(one, Decoded) and isinstance(two, Decoded):
            np.testing.assert_array_equal(one.image, two.image)
            assert one.facts == two.facts
        else:
            assert one == two
