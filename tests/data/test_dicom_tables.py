"""Lookup tables, windows, padding and slopes of grey DICOM files, and palettes; values by hand."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.data.dicom_files import lookup_table, write
from tests.data.test_dicom import RAMP, read, refused

DIGITS = np.arange(16, dtype=np.uint8).reshape(4, 4)


def table(values: list[int] | bytes, number: int, first: int, bits: int, vr: str = "US") -> Sequence:
    """A table whose descriptor and entries are written as told."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [number, first, bits])
    item.add_new("LUTData", vr, values)
    return Sequence([item])


def shown(tmp_path: Path, values: np.ndarray, bits: int, **tags: object) -> np.ndarray:
    return read(write(tmp_path / "a", values, bits=bits, **tags)).pixels


def test_a_table_of_8_bit_values_may_have_more_than_256_entries(tmp_path: Path) -> None:
    voi = table(list(range(300, 812)), 512, 0, 10)
    values = np.array([[0, 100], [200, 255]], np.uint8)
    pixels = shown(tmp_path, values, 8, VOILUTSequence=voi)
    np.testing.assert_allclose(pixels, np.array([[300, 400], [500, 555]]) / 1023, atol=1e-6)


def test_a_table_of_65536_entries_says_0(tmp_path: Path) -> None:
    entries = (65535 - np.arange(65536)).astype("<u2").tobytes()
    values = np.array([[0, 1], [40000, 65535]], np.uint16)
    pixels = shown(tmp_path, values, 16, VOILUTSequence=table(entries, 0, 0, 16, "OW"))
    np.testing.assert_allclose(pixels, np.array([[65535, 65534], [25535, 0]]) / 65535, atol=1e-6)


@pytest.mark.parametrize("first", [-2, 65534])  # the same 16 bits
def test_the_first_mapped_value_of_signed_values_is_signed(tmp_path: Path, first: int) -> None:
    voi = table([0, 51, 102, 255], 4, first, 8)
    values = np.array([[-9, -2, -1], [0, 1, 9]], np.int16)
    pixels = shown(tmp_path, values, 16, VOILUTSequence=voi)
    np.testing.assert_allclose(pixels, [[0, 0, 0.2], [0.4, 1, 1]], atol=1e-6)


def test_the_first_mapped_value_after_a_negative_intercept_is_signed(tmp_path: Path) -> None:
    voi = table([0, 51, 102, 255], 4, 65534, 8)
    values = np.array([[0, 8], [9, 11]], np.uint16)  # -10, -2, -1, 1
    pixels = shown(tmp_path, values, 12, RescaleSlope=1, RescaleIntercept=-10, VOILUTSequence=voi)
    np.testing.assert_allclose(pixels, [[0, 0], [0.2, 1]], atol=1e-6)


def test_the_header_and_not_the_values_tells_whether_they_may_be_negative(tmp_path: Path) -> None:
    voi = table([0, 51, 102, 255], 4, 65534, 8)
    values = np.array([[0, 4], [6, 8]], np.uint16)  # 3, 1, 0, -1; without the last none is negative
    tags = {"RescaleSlope": -0.5, "RescaleIntercept": 3, "VOILUTSequence": voi}
    np.testing.assert_allclose(shown(tmp_path, values, 12, **tags), [[1, 1], [0.4, 0.2]], atol=1e-6)
    np.testing.assert_allclose(shown(tmp_path, values[:, :1], 12, **tags), [[1], [0.4]], atol=1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_what_a_modality_table_gives_is_never_negative(tmp_path: Path, syntax: str) -> None:
    modality = table([0, 40000, 40001, 40002], 4, -1, 16)
    voi = table([0, 51, 102, 255], 4, 40000, 8)  # implicit: nothing tells that 40000 is unsigned
    values = np.array([[-1, 0], [1, 2]], np.int16)
    tags = {"ModalityLUTSequence": modality, "VOILUTSequence": voi}
    pixels = shown(tmp_path, values, 12, syntax=syntax, **tags)
    np.testing.assert_allclose(pixels, [[0, 0], [0.2, 0.4]], atol=1e-6)


def test_the_first_mapped_value_of_unsigned_values_is_unsigned(tmp_path: Path) -> None:
    voi = table([0, 51, 102, 255], 4, 40000, 8)
    values = np.array([[0, 40001], [40002, 65535]], np.uint16)
    pixels = shown(tmp_path, values, 16, VOILUTSequence=voi)
    np.testing.assert_allclose(pixels, [[0, 0.2], [0.4, 1]], atol=1e-6)


@pytest.mark.parametrize("bits", [5, 8])
def test_a_modality_table_of_signed_bytes(tmp_path: Path, bits: int) -> None:
    values = np.array([[-3, -2], [0, 2]], np.int8)
    modality = table([10, 0, 30, 40, 50], 5, -2, 8)
    pixels = shown(tmp_path, values, bits, ModalityLUTSequence=modality)  # 10, 10, 30, 50
    np.testing.assert_allclose(pixels, [[0, 0], [0.5, 1]], atol=1e-6)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("vr", ["OW", "US"])
def test_bytes_of_a_table_may_be_packed_two_into_a_word(tmp_path: Path, packed: bool, vr: str) -> None:
    held = bytes([0, 51, 102, 255, 7, 0]) if packed else np.array([0, 51, 102, 255, 7], "<u2").tobytes()
    values = held if vr == "OW" else np.frombuffer(held, "<u2").tolist()
    pixels = shown(tmp_path, DIGITS[:2, :2] % 5, 8, VOILUTSequence=table(values, 5, 0, 8, vr))  # 0, 1, 4, 0
    np.testing.assert_allclose(pixels, np.array([[0, 51], [7, 0]]) / 255, atol=1e-6)


def test_tables_of_big_endian_files(tmp_path: Path) -> None:
    voi = table(np.arange(16, dtype=">u2").tobytes(), 16, 0, 12, "OW")
    values = DIGITS.astype(">u2")
    pixels = shown(tmp_path, values, 12, syntax=ExplicitVRBigEndian, VOILUTSequence=voi)
    np.testing.assert_allclose(pixels, DIGITS / 4095, atol=1e-6)


WRONG = {
    "too few entries": table([1, 2, 3], 4, 0, 8),
    "too many entries": table([1, 2, 3, 4, 5], 4, 0, 8),
    "entries beyond their bits": table([1, 2, 3, 256], 4, 0, 8),
    "bits": table([1, 2, 3, 4], 4, 0, 17),
    "no entries": Sequence([Dataset()]),
}


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("case", WRONG)
def test_tables_that_contradict_themselves_are_refused(tmp_path: Path, keyword: str, case: str) -> None:
    assert refused(write(tmp_path / "a", DIGITS, bits=8, **{keyword: WRONG[case]})).startswith("E_DECODE a: ")


def test_of_several_windows_and_tables_the_first_counts_and_tables_before_windows(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint8)
    windows = {"WindowCenter": [2, 100], "WindowWidth": [5, 7]}
    np.testing.assert_allclose(shown(tmp_path, values, 8, **windows), (values - 1.5) / 4 + 0.5)
    first, second = (lookup_table(entries, 0, 8) for entries in ([255, 51, 102, 0], [0, 1, 2, 3]))
    both = Sequence([first[0], second[0]])
    expected = [[1, 0.2], [0.4, 0]]
    np.testing.assert_allclose(
        shown(tmp_path, values, 8, **windows, VOILUTSequence=both), expected, atol=1e-6
    )


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_negative_slope_turns_the_picture(tmp_path: Path, photometric: str) -> None:
    tags = {"RescaleSlope": -2, "RescaleIntercept": 100, "PhotometricInterpretation": photometric}
    values = np.array([[0, 10], [20, 40]], np.uint16)  # 100, 80, 60, 20
    expected = np.array([[1, 0.75], [0.5, 0]])
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    np.testing.assert_allclose(shown(tmp_path, values, 12, **tags), expected, atol=1e-6)
    windowed = shown(tmp_path, values, 12, **tags, WindowCenter=60.5, WindowWidth=81)
    np.testing.assert_allclose(windowed, expected, atol=1e-6)


@pytest.mark.parametrize("ends", [(-5, -7), (-7, -5), (65531, 65529)])
def test_a_range_of_padding_in_signed_values(tmp_path: Path, ends: tuple[int, int]) -> None:
    values = np.array([[-8, -7, -6], [-5, -4, 0]], np.int16)
    path = write(tmp_path / "a", values, bits=12)
    dataset = pydicom.dcmread(path)
    vr = "SS" if min(ends) < 0 else "US"
    dataset.add_new("PixelPaddingValue", vr, ends[0])
    dataset.add_new("PixelPaddingRangeLimit", vr, ends[1])
    dataset.save_as(path)
    np.testing.assert_allclose(read(path).pixels, [[0, 0, 0], [0, 0.5, 1]])


def palette(entries: dict[str, list[int]], number: int, first: int, bits: int) -> dict[str, object]:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, values in entries.items():
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [number, first, bits]
        held = np.array(values, f"<u{bits // 8}").tobytes()
        tags[f"{colour}PaletteColorLookupTableData"] = held + b"\0" * (len(held) % 2)
    return tags


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colours(tmp_path: Path, bits: int) -> None:
    most = 2**bits - 1
    entries = {"Red": [0, most, 5], "Green": [most, 0, 6], "Blue": [1, 2, most]}
    loaded = read(write(tmp_path / "a", DIGITS[:1], bits=8, **palette(entries, 3, 1, bits)))
    expected = np.array([[0, most, 1], [0, most, 1], [most, 0, 2], [5, 6, most]]) / most
    np.testing.assert_allclose(loaded.pixels, expected[None], atol=1e-6)
    assert loaded.photometric == "RGB"


def test_the_right_frame_of_several_and_its_own_transform(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1]])
    path = write(tmp_path / "a", RAMP, NumberOfFrames=2, PixelData=frames.tobytes())
    assert "2 frames" in refused(path)
    assert "asks for 3" in refused(path, dicom_frame=3)
    np.testing.assert_allclose(read(path, dicom_frame=2).pixels, RAMP[::-1] / 3840, atol=1e-6)
    dataset = pydicom.dcmread(path)
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    slope = Dataset()
    slope.RescaleSlope, slope.RescaleIntercept = 2, 10
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [slope]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    for group, width in zip(dataset.PerFrameFunctionalGroupsSequence, (7681, 15361), strict=True):
        window = Dataset()
        window.WindowCenter, window.WindowWidth = (width - 1) / 2 + 0.5 + 10, width
        group.FrameVOILUTSequence = [window]
    dataset.save_as(path)
    np.testing.assert_allclose(read(path, dicom_frame=1).pixels, RAMP / 3840, atol=1e-6)
    np.testing.assert_allclose(read(path, dicom_frame=2).pixels, RAMP[::-1] / 7680, atol=1e-6)
    np.testing.assert_allclose(
        read(write(tmp_path / "b", RAMP), dicom_frame=5).pixels, RAMP / 3840, atol=1e-6
    )


HEADERS = {
    "more bits than there are": ({"BitsStored": 17}, "do not fit together"),
    "high bit too high": ({"HighBit": 16}, "do not fit together"),
    "high bit too low": ({"HighBit": 10}, "do not fit together"),
    "odd allocation": ({"BitsAllocated": 12}, "BitsAllocated is 12"),
    "sign": ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
    "no sign": ({"PixelRepresentation": None}, "PixelRepresentation missing"),
    "grey in three bands": ({"SamplesPerPixel": 3}, "MONOCHROME2 with SamplesPerPixel 3"),
    "colour in one band": ({"PhotometricInterpretation": "RGB"}, "RGB with SamplesPerPixel 1"),
    "12-bit YBR": ({"PhotometricInterpretation": "YBR_FULL"}, "YBR_FULL with BitsAllocated 16"),
    "unknown colours": ({"PhotometricInterpretation": "HSV"}, "must be one of MONOCHROME1"),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_contradict_themselves_are_refused(tmp_path: Path, case: str) -> None:
    tags, told = HEADERS[case]
    assert told in refused(write(tmp_path / "a", RAMP, **tags))


def test_all_contradictions_are_told_at_once(tmp_path: Path) -> None:
    line = refused(write(tmp_path / "a", RAMP, HighBit=3, PixelRepresentation=7, SamplesPerPixel=3))
    assert all(told in line for told in ("HighBit 3", "is 7", "SamplesPerPixel 3", "PlanarConfiguration"))
