"""Stored values: compressed streams against their headers, bits, signs and colours; values by hand."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from pipeline.data import dicom, dicom_header, dicom_pixels
from pipeline.data.dicom_stream import Stream, read_stream
from tests.data.dicom_files import write
from tests.data.test_dicom import RAMP, read, refused

# 16x16 px of 7 bits, the value at (x, y) is 4 (x + y) + 3; written by CharLS
LS_7_BITS = bytes.fromhex(
    "ffd8fff7000b070010001001011100ffda000801010000000018d46bfdb7ff61326daaaac2ff7f6fff74ff7fdfff7bff7f7fff5f"
    "ff77ff7dff7f7fff5fff77ff7dff7fff7f80ffd9"
)


def stored(path: Path) -> np.ndarray:
    """The stored values of a file."""
    header = dicom.read_header(path, dicom.TAGS)
    return dicom_pixels.decode(path, dicom_header.read_layout(header, path.name, None))


def compressed(path: Path, syntax: str, stream: bytes, shown: np.ndarray = RAMP, **tags: object) -> Path:
    """A file with the header of an array, whose pixels are this stream."""
    dataset = pydicom.dcmread(write(path, shown, **tags))
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path


def jpeg_start(marker: int, width: int, height: int, bits: int) -> bytes:
    """A stream of a comment, padding, the frame's header and the end."""
    start = bytes.fromhex("ffd8 fffe 0004 4142 ff")
    return start + struct.pack(">BBHBHHB", 0xFF, marker, 11, bits, height, width, 1) + b"\xff\xd9"


def lossless(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits)


def wavelets(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(values, codecformat="j2k", bitspersample=bits, level=0, reversible=True)


def test_compressed_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    stream = jpeg_start(0xF7, 60000, 50000, 12)
    assert "60000x50000" in refused(compressed(tmp_path / "a", uid.JPEGLSLossless, stream))
    stream = b"\xff\x4f\xff\x51" + struct.pack(">HH8IHBBB", 41, 0, 70, 50, 10, 20, 0, 0, 0, 0, 1, 0x8B, 1, 1)
    assert read_stream(stream) == Stream("JPEG 2000", 60, 30, 1, 12, signed=True)
    assert "60x30" in refused(compressed(tmp_path / "a", uid.JPEG2000Lossless, stream))
    assert "no whole JPEG 2000" in refused(
        compressed(tmp_path / "a", uid.JPEG2000Lossless, b"\xff\xd8\xff\xd9")
    )


def test_plain_and_run_length_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write(tmp_path / "a", np.tile(RAMP, (4, 4))))
    for compress in (False, True):
        if compress:
            dataset.compress(uid.RLELossless)
        for rows, columns in ((8, 16), (16, 8), (4, 4), (16, 32)):
            dataset.Rows, dataset.Columns = rows, columns
            dataset.save_as(tmp_path / "a")
            assert refused(tmp_path / "a").startswith("E_DECODE"), (compress, rows, columns)
        dataset.Rows, dataset.Columns = 16, 16
        dataset.save_as(tmp_path / "a")
        assert read(tmp_path / "a").pixels.shape == (16, 16)


@given(st.binary(max_size=60))
def test_any_bytes_have_a_stream_or_none(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51"):
        for end in (b"", b"\xff\xd9"):
            found = read_stream(start + data + end)
            assert found is None or found.kind


NOISE = np.random.default_rng(0).integers(0, 4096, (16, 16), dtype=np.uint16)
STREAMS = {
    "JPEG lossless": (uid.JPEGLosslessSV1, lossless(NOISE, 12)),
    "JPEG-LS": (uid.JPEGLSLossless, imagecodecs.jpegls_encode(NOISE)),
    "JPEG 2000": (uid.JPEG2000Lossless, wavelets(NOISE, 12)),
    "HTJ2K": (uid.HTJ2KLossless, imagecodecs.htj2k_encode(NOISE)),
    "HTJ2K, RPCL": (uid.HTJ2KLosslessRPCL, imagecodecs.htj2k_encode(NOISE)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_lossless_streams_give_the_values(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(stored(compressed(tmp_path / "a", *STREAMS[name], NOISE)), NOISE)


def test_jpeg_of_12_bits(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint16) * 130 + 50
    stream = imagecodecs.jpeg8_encode(smooth, level=98, bitspersample=12)
    path = compressed(tmp_path / "a", uid.JPEGExtended12Bit, stream, smooth)
    assert np.abs(stored(path).astype(int) - smooth).max() < 40  # of 4095: it is lossy
    # a film of 10 bits is stored in JPEG of 12, where loss may go beyond the 10
    edge = np.where(np.arange(256).reshape(16, 16) % 5, 1023, 0).astype(np.uint16)
    stream = imagecodecs.jpeg8_encode(edge, level=30, bitspersample=12)
    assert imagecodecs.jpeg8_decode(stream).max() > 1023
    assert stored(compressed(tmp_path / "a", uid.JPEGExtended12Bit, stream, edge, bits=10)).max() == 1023


def test_jpeg_ls_of_7_bits(tmp_path: Path) -> None:
    values = (4 * np.add.outer(np.arange(16), np.arange(16)) + 3).astype(np.uint8)
    path = compressed(tmp_path / "a", uid.JPEGLSLossless, LS_7_BITS, values, bits=7)
    np.testing.assert_array_equal(stored(path), values)


def test_signed_values_in_streams_without_a_sign(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    for held in (
        values.view(np.uint16),
        values.view(np.uint16) & 0xFFF,
    ):  # with and without the sign's copies
        path = compressed(
            tmp_path / "a", uid.JPEGLosslessSV1, lossless(np.ascontiguousarray(held), 16), values
        )
        np.testing.assert_array_equal(stored(path), values)
    stream = imagecodecs.htj2k_encode(values)
    assert read_stream(stream) == Stream("JPEG 2000", 2, 2, 1, 16, signed=True)
    np.testing.assert_array_equal(stored(compressed(tmp_path / "a", uid.HTJ2K, stream, values)), values)
    unsigned = compressed(tmp_path / "a", uid.HTJ2K, stream, values.view(np.uint16))
    assert "PixelRepresentation 0 contradicts" in refused(unsigned)


SMALL = (NOISE >> 4).astype(np.uint8)
CONTRADICTIONS = {
    "7 bits, stream of 8": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMALL), SMALL, {"bits": 7}),
    "1 bit, stream of 8": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMALL), SMALL, {"bits": 1}),
    "12 bits, stream of 8": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMALL), NOISE, {"bits": 12}),
    "signed JPEG": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMALL), SMALL.view(np.int8), {"bits": 8}),
    "10 bits, values of 12": (uid.JPEGLosslessSV1, lossless(NOISE, 12), NOISE, {"bits": 10}),
    "10 signed bits, values of 12": (
        uid.JPEGLosslessSV1, lossless(NOISE, 12), NOISE.view(np.int16), {"bits": 10},
    ),
    "16 in 8": (uid.JPEGLosslessSV1, lossless(NOISE, 16), SMALL, {"bits": 8}),
    "high bit": (uid.JPEGLSLossless, imagecodecs.jpegls_encode(NOISE), NOISE, {"HighBit": 15}),
    "JPEG-LS in JPEG": (uid.JPEGLosslessSV1, imagecodecs.jpegls_encode(NOISE), NOISE, {}),
    "cut": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMALL)[:-40], SMALL, {"bits": 8}),
    "three bands": (
        uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(np.dstack([SMALL] * 3)), SMALL, {"bits": 8},
    ),
    "turned colours": (
        uid.JPEG2000Lossless, wavelets(np.dstack([SMALL] * 3), 8), SMALL,
        {"bits": 8, "SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_streams_that_contradict_their_header_are_refused(tmp_path: Path, name: str) -> None:
    syntax, stream, shown, tags = CONTRADICTIONS[name]
    assert refused(compressed(tmp_path / "a", syntax, stream, shown, **tags)).startswith("E_DECODE a: ")


def test_the_highest_bit_says_where_the_values_lie(tmp_path: Path) -> None:
    values = np.array([[-8, 7], [0, -1]], np.int16)
    shifted = (values << 6).view(np.uint16) & 0x3C0 | 0xFC3F  # bits 6 to 9 count, all others are set
    path = write(tmp_path / "a", shifted.view(np.int16), bits=4, HighBit=9)
    np.testing.assert_array_equal(stored(path), values)
    path = write(tmp_path / "b", shifted, bits=4, HighBit=9)
    np.testing.assert_array_equal(stored(path), values & 15)


def test_colours_in_more_than_8_bits(tmp_path: Path) -> None:
    values = np.array([[[0, 4095, 2047], [4095, 0, 1]]], np.uint16)
    np.testing.assert_allclose(read(write(tmp_path / "a", values)).pixels, values / 4095, rtol=1e-6)


def colour_file(path: Path, stream: bytes, photometric: str) -> Path:
    shown = np.zeros((16, 16, 3), np.uint8)
    return compressed(
        path, uid.JPEGBaseline8Bit, stream, shown, bits=8, PhotometricInterpretation=photometric
    )


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_what_a_jpeg_says_of_its_colours_counts_more_than_the_header(
    tmp_path: Path, photometric: str
) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0], red[0, 0] = 200, 90  # one pixel differs: flat pictures are refused
    marked = imagecodecs.jpeg8_encode(red, level=95)  # as YCbCr, with JFIF's mark
    assert read_stream(marked).colours == "YBR"  # type: ignore[union-attr]
    pixels = read(colour_file(tmp_path / "a", marked, photometric)).pixels
    np.testing.assert_allclose(pixels[8:, 8:], np.broadcast_to([200 / 255, 0, 0], (8, 8, 3)), atol=0.02)
    plain = imagecodecs.jpeg8_encode(red, level=95, colorspace="RGB", outcolorspace="RGB")
    assert read_stream(plain).colours == "RGB"  # type: ignore[union-attr]
    pixels = read(colour_file(tmp_path / "a", plain, photometric)).pixels
    np.testing.assert_allclose(pixels[8:, 8:], np.broadcast_to([200 / 255, 0, 0], (8, 8, 3)), atol=0.02)


def test_one_bit_per_pixel(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.zeros((3, 3), np.uint8), bits=1, BitsAllocated=1, HighBit=0)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes([0b10101101, 0b1])  # the first pixel is the lowest bit
    dataset.save_as(path)
    np.testing.assert_array_equal(read(path).pixels, [[1, 0, 1], [1, 0, 1], [0, 1, 1]])
