"""Image files of every kind to pictures, and the geometry that pictures and maps share."""

import struct
import timeit
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import images
from pipeline.data.images import map_to_square, to_square
from pipeline.data.picture import Picture, check_pixels
from pipeline.data.problems import UnusableImage
from tests.data.dicom_files import write as write_dicom

GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
COLOUR = np.stack([GREY, 240 - GREY, GREY // 2], axis=2)


def load(path: Path, max_megapixels: float = 64, max_megabytes: float = 512) -> Picture:
    return images.load(path, max_megapixels=max_megapixels, max_megabytes=max_megabytes)


def refused(path: Path, **limits: float) -> str:
    with pytest.raises(UnusableImage) as caught:
        load(path, **limits)
    return str(caught.value)


def with_mode(mode: str) -> Image.Image:
    """A picture of a Pillow mode whose colours are GREY or COLOUR."""
    if mode == "I;16":
        return Image.fromarray(GREY.astype(np.uint16) * 257)
    if mode == "LA":
        return Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)])
    if mode == "RGBA":
        alpha = np.full((3, 4, 1), 9, np.uint8)
        return Image.fromarray(np.concatenate([COLOUR, alpha], axis=2))
    if mode == "P":
        return Image.fromarray(COLOUR).quantize(12)
    if mode == "F":
        return Image.fromarray(GREY.astype(np.float32) / 220 * 5 - 2)
    return Image.fromarray(GREY if mode == "L" else COLOUR)


KINDS = [
    ("L", "png", 8),
    ("L", "bmp", 8),
    ("L", "PNG", 8),
    ("LA", "png", 8),
    ("I;16", "png", 16),
    ("I;16", "tif", 16),
    ("F", "tif", 32),
    ("RGB", "png", 8),
    ("RGB", "tiff", 8),
    ("RGBA", "png", 8),
    ("RGBA", "tif", 8),
    ("P", "png", 8),
]


@pytest.mark.parametrize(("mode", "suffix", "bits"), KINDS)
def test_every_kind(tmp_path: Path, mode: str, suffix: str, bits: int) -> None:
    path = tmp_path / f"a.{suffix}"
    with_mode(mode).save(path)
    loaded = load(path)
    grey = mode in ("L", "LA", "I;16", "F")
    expected = GREY / 220 if mode == "F" else (GREY if grey else COLOUR) / 255
    assert loaded.pixels.dtype == np.float32
    np.testing.assert_allclose(loaded.pixels, expected, atol=1e-6 if mode != "P" else 0.01)
    assert (loaded.width, loaded.height, loaded.bits) == (4, 3, bits)
    assert loaded.photometric == ("L" if grey else "RGB")


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_kinds(tmp_path: Path, suffix: str) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8) * 2
    Image.fromarray(smooth).convert("RGB").save(tmp_path / f"a.{suffix}", quality=95)
    np.testing.assert_allclose(load(tmp_path / f"a.{suffix}").pixels[..., 1], smooth / 255, atol=0.03)


def test_cmyk(tmp_path: Path) -> None:
    Image.fromarray(np.tile(COLOUR, (8, 8, 1))).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert load(tmp_path / "a.jpg").pixels.shape == (24, 32, 3)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    loaded = load(tmp_path / "a.png")
    np.testing.assert_allclose(loaded.pixels, np.rot90(GREY, -1) / 255, atol=1e-6)
    assert (loaded.width, loaded.height) == (3, 4)


@pytest.mark.parametrize("name", ["a", "a.png", "a.dcm"])
def test_dicom_is_told_by_content(tmp_path: Path, name: str) -> None:
    write_dicom(tmp_path / name, GREY.astype(np.uint16))
    assert load(tmp_path / name).photometric == "MONOCHROME2"


def test_png_without_extension(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a", format="PNG")
    assert load(tmp_path / "a").photometric == "L"


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path).startswith(f"E_DECODE a.{suffix}: ")


def test_not_an_image(tmp_path: Path) -> None:
    for name in ("a.png", "a", "a.dcm"):
        (tmp_path / name).write_text("index,filename\n" * 30)
        assert refused(tmp_path / name).startswith("E_DECODE")
    (tmp_path / "empty.png").touch()
    assert refused(tmp_path / "empty.png").startswith("E_DECODE")
    assert refused(tmp_path / "absent.png").startswith("E_IMAGE_MISSING")


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    assert f"{side}x{side} px" in refused(tmp_path / "a.png")
    assert not recwarn.list


def test_budget_in_megabytes(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    assert "100x100 px in 3 band(s)" in refused(tmp_path / "a.png", max_megabytes=0.1)


def test_one_channel_that_differs_is_a_picture() -> None:
    """The smallest and largest value are taken per channel, over all rows and all columns."""
    for place in ((0, 0), (1, 2)):
        pixels = np.full((2, 3, 3), 0.5, np.float32)
        pixels[*place, 1] = 0.6
        check_pixels("a", pixels)
    with pytest.raises(UnusableImage, match="E_FLAT a: all pixels are equal"):
        check_pixels("a", np.broadcast_to(np.float32([0.1, 0.5, 0.9]), (2, 3, 3)))


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 2)])
def test_one_pixel_that_is_no_number(place: tuple[int, int, int]) -> None:
    pixels = np.linspace(0, 1, 18, dtype=np.float32).reshape(2, 3, 3)
    pixels[place] = np.nan
    with pytest.raises(UnusableImage, match="not finite"):
        check_pixels("a", pixels)


def test_colour_is_checked_as_fast_as_grey() -> None:
    colour = np.random.default_rng(0).random((256, 768, 3), dtype=np.float32)
    grey = colour.reshape(256, -1)
    taken = [min(timeit.repeat(lambda p=p: check_pixels("a", p), number=3, repeat=5)) for p in (colour, grey)]
    assert taken[0] < 12 * taken[1]  # over both axes at once it is 60 times slower


@pytest.mark.parametrize("colour", [7, (1, 2, 3)])
def test_flat(tmp_path: Path, colour: int | tuple[int, ...]) -> None:
    Image.new("L" if isinstance(colour, int) else "RGB", (5, 4), colour).save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png").startswith("E_FLAT a.png: ")


def test_not_finite(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, np.nan], [1, 2]], np.float32)).save(tmp_path / "a.tif")
    assert refused(tmp_path / "a.tif").startswith("E_FLAT")


# geometry


def test_whole_frame_is_squashed() -> None:
    picture = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    square = to_square(picture, roi="", crop="none", image_size=2, channels=1)
    assert square.dtype == np.uint8
    np.testing.assert_array_equal(square, [[[0, 255], [0, 255]]])


def test_central_square_and_missing_region() -> None:
    picture = np.array([[1, 0.2, 0.4, 1], [1, 0.6, 0.8, 1]], np.float32)
    for crop in ("square", "roi"):
        square = to_square(picture, roi="", crop=crop, image_size=2, channels=1)
        np.testing.assert_array_equal(square, [[[51, 102], [153, 204]]])


def test_circle_has_a_margin_and_zeros_outside() -> None:
    picture = np.ones((40, 60), np.float32)
    square = to_square(picture, roi="30,20,20", crop="roi", image_size=72, channels=1)[0]
    expected = np.zeros((72, 72))
    expected[16:56, 6:66] = 255  # square from (-6, -16) to (66, 56)
    np.testing.assert_array_equal(square, expected)


def test_rectangle() -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4) / 255
    square = to_square(picture, roi="1,2,3,4", crop="roi", image_size=2, channels=1)
    np.testing.assert_array_equal(square[0], [[9, 10], [13, 14]])


BAD_REGIONS = ["1,2,0", "a,b,c", "1,2", "3,2,1,4", "20,0,99,9", "500,2,3", "nan,1,2", "5,5,inf", "-inf,0,5,5"]
FOR_TWICE_THE_SIZE = ["10,9,4", "4,4,18,20", "5,5,20"]  # mostly outside of 10x10 px


@pytest.mark.parametrize("roi", [*BAD_REGIONS, *FOR_TWICE_THE_SIZE])
def test_bad_region(roi: str) -> None:
    with pytest.raises(UnusableImage, match="E_ROI"):
        to_square(np.eye(10, dtype=np.float32), roi=roi, crop="roi", image_size=4, channels=1)


def test_channels() -> None:
    grey = to_square(GREY / 255, roi="", crop="none", image_size=3, channels=3)
    assert grey.shape == (3, 3, 3)
    np.testing.assert_array_equal(grey[0], grey[2])
    triple = np.stack([GREY / 255] * 3, axis=2).astype(np.float32)
    one = to_square(triple, roi="", crop="none", image_size=3, channels=1)
    np.testing.assert_array_equal(one[0], grey[0])  # luma weights sum to 1


@given(st.integers(20, 90), st.integers(20, 90), st.integers(4, 20), st.integers(0, 2**32 - 1))
def test_shrinking_equals_opencv_area(height: int, width: int, size: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    ours = images.shrink(picture, (size, size))
    theirs = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(ours.mean(), picture.mean(), atol=1e-5)


@given(st.integers(3, 12), st.integers(13, 40), st.integers(0, 2**32 - 1))
def test_enlarging_equals_opencv_linear(side: int, size: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((side, side), dtype=np.float32)
    theirs = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(images.shrink(picture, (size, size)), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("crop", "roi"), [("none", ""), ("square", ""), ("roi", "70,50,30"), ("roi", "10,20,90,80")]
)
def test_maps_follow_their_pictures(crop: str, roi: str) -> None:
    """A map at half size lands where its picture does."""
    picture = (
        np.random.default_rng(0).random((100, 160), dtype=np.float32).repeat(2, 0).repeat(2, 1)[:100, :160]
    )
    half = picture[::2, ::2]
    where = {"roi": roi, "crop": crop, "image_size": 16}
    square = to_square(picture, channels=1, **where)[0] / 255
    mapped = map_to_square(half, width=160, height=100, **where)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, square, atol=0.51 / 255 + 1e-6)


def test_real_films(real_films: Path) -> None:
    """RGB, RGBA and grey files decode; grey content stays grey."""
    for path in sorted((real_films / "nih64" / "train" / "0_normal").glob("*.png"))[:60]:
        loaded = load(path)
        assert (loaded.width, loaded.height, loaded.photometric) == (64, 64, "RGB")
        assert np.ptp(loaded.pixels, axis=2).max() == 0
    film = load(real_films / "hannover" / "films" / "00870a9c.jpeg")
    assert (film.width, film.height, film.photometric) == (320, 262, "L") and film.pixels.ndim == 2


def test_a_real_webp_file(sample_data: Path) -> None:
    webp = next((sample_data / "synthetic_face" / "stylegan2" / "webp").glob("*.webp"))
    assert load(webp).pixels.shape == (256, 256, 3)
