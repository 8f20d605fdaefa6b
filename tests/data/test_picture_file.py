"""Image files that Pillow would show, but not as the picture that they hold."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.picture_file import read_picture, read_size
from pipeline.data.problems import UnusableImage

NOISE = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
Part = tuple[bytes, bytes]
LIMITS = {"max_megapixels": 64.0, "max_megabytes": 512.0}


def parts_of(path: Path) -> list[Part]:
    content, at, parts = path.read_bytes(), 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12
    return parts


def write_parts(path: Path, parts: list[Part], wrong: bytes = b"") -> None:
    """A PNG file of these parts; the checksum of the kind `wrong` does not fit."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        checksum = zlib.crc32(kind + data) ^ (kind == wrong)
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    path.write_bytes(content)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def refused(path: Path) -> str:
    with pytest.raises(UnusableImage, match="E_DECODE") as caught:
        read_picture(path, **LIMITS)
    return str(caught.value)


def test_a_png_of_several_parts_is_whole(png: Path) -> None:
    header, (_, pixels), end = parts_of(png)
    write_parts(png, [header, (b"tEXt", b"a\0b"), (b"IDAT", pixels[:50]), (b"IDAT", pixels[50:]), end])
    np.testing.assert_array_equal(read_picture(png, **LIMITS)[0], NOISE)


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt", b"IEND"])
def test_a_wrong_checksum_is_refused(png: Path, kind: bytes) -> None:
    header, pixels, end = parts_of(png)
    write_parts(png, [header, pixels, (b"tEXt", b"a\0b"), end], wrong=kind)
    assert f"checksum of its part {kind.decode()!r} does not fit" in refused(png)


def test_missing_rows_are_refused(png: Path) -> None:
    header, (_, pixels), end = parts_of(png)
    rows = zlib.decompress(pixels)
    assert len(rows) == 24 * 21  # each row begins with its filter
    write_parts(png, [header, (b"IDAT", zlib.compress(rows[: 21 * 23])), end])
    assert "holds 483 of 504 bytes of pixels, so rows are missing" in refused(png)
    write_parts(png, [header, end])
    assert "E_DECODE" in refused(png)


def test_a_missing_end_is_refused(png: Path) -> None:
    write_parts(png, parts_of(png)[:-1])
    assert "cut off or damaged" in refused(png)


@given(
    depth=st.sampled_from([1, 2, 4, 8, 16]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    interlaced=st.booleans(),
)
def test_rows_of_every_depth_and_order_are_counted(
    tmp_path_factory: pytest.TempPathFactory, depth: int, size: tuple[int, int], interlaced: bool
) -> None:
    """Pillow writes no interlaced files; the bytes of black ones are zeros, as many as there should be."""
    width, height = size
    columns_rows = [(width, height)]
    if interlaced:  # Adam7, by where the 8x8 pattern of the specification has each pass
        even, odd = [[1, 6, 4, 6, 2, 6, 4, 6], [5, 6] * 4, [3, 6, 4, 6] * 2, [5, 6] * 4], [7] * 8
        pattern = np.array([row for pair in even for row in (pair, odd)])
        passes = np.tile(pattern, (3, 3))[:height, :width]
        columns_rows = [
            ((passes == n).any(axis=0).sum(), (passes == n).any(axis=1).sum()) for n in range(1, 8)
        ]
    length = sum(rows * (1 + -(-columns * depth // 8)) for columns, rows in columns_rows if columns and rows)
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, interlaced)
    path = tmp_path_factory.getbasetemp() / "grey.png"
    for missing in (0, 1):
        pixels = zlib.compress(bytes(int(length) - missing))
        write_parts(path, [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")])
        if missing:
            assert "rows are missing" in refused(path)
        else:
            assert read_picture(path, **LIMITS)[0].shape == (height, width)


def test_sizes_have_no_limit_but_ours(tmp_path: Path) -> None:
    """Pillow itself refuses to open files of more than 178 megapixels."""
    header = struct.pack(">IIBBBBB", 40000, 30000, 8, 0, 0, 0, 0)
    write_parts(tmp_path / "a.png", [(b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")])
    assert read_size(tmp_path / "a.png") == (40000, 30000)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(UnusableImage, match=r"E_DECODE b\.png"):
        read_size(tmp_path / "b.png")


def several(path: Path) -> None:
    Image.fromarray(NOISE).save(path, save_all=True, append_images=[Image.fromarray(255 - NOISE)])


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_several_pages_or_frames_are_refused(tmp_path: Path, suffix: str) -> None:
    several(tmp_path / f"a.{suffix}")
    assert f"a.{suffix}: holds 2 pages or frames" in refused(tmp_path / f"a.{suffix}")


def test_a_phones_jpeg_with_a_preview_is_its_main_picture(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    preview = Image.fromarray(smooth[::2, ::2])
    Image.fromarray(smooth).save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    np.testing.assert_allclose(read_picture(tmp_path / "a.jpg", **LIMITS)[0], smooth, atol=4)


def test_the_budget_alone_decides_what_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Pillow refuses what is twice above a limit of its own, and warns above it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", **LIMITS)[0], NOISE)
    with pytest.raises(
        UnusableImage, match=r"0\.00048 megapixels and 0\.00192 MB decoded; at most 0\.0004 and 1"
    ):
        read_picture(tmp_path / "a.png", max_megapixels=0.0004, max_megabytes=1)
    assert Image.MAX_IMAGE_PIXELS == 100  # the host program's own limit stands again
    assert not recwarn.list


def damage(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + bytes([value]) + content[place + 1 :]


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_png_is_the_picture_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    Image.fromarray(NOISE).save(path)
    content = path.read_bytes()
    place %= len(content)
    path.write_bytes(content[:place] if cut else damage(content, place, value))
    try:
        pixels, _ = read_picture(path, **LIMITS)
    except UnusableImage:
        return
    np.testing.assert_array_equal(pixels, NOISE)
