"""What a DICOM header says of its pixels, refused where it contradicts itself.

Source: DICOM PS3.3 C.7.6.3.1 (image pixel attributes), PS3.5 8.1 and 8.2 (which of them fit together).
"""

from typing import Any, NamedTuple

import pydicom

from pipeline.data.picture import check_budget
from pipeline.data.problems import Problem, UnusableImage

TAGS = [
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
]
BANDS = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
ALLOCATED = (1, 8, 16, 32)


class Layout(NamedTuple):
    """How the pixels of a file lie; all values fit together."""

    where: str  # the file's name, for messages
    columns: int
    rows: int
    bands: int
    photometric: str
    allocated: int  # bits per value
    stored: int  # bits of it that count, of which `high` is the last
    high: int
    signed: bool
    frames: int
    place: int  # of the frame that is used, from 0

    @property
    def size(self) -> str:
        """Size in px and bands, for messages."""
        return f"{self.columns}x{self.rows} px in {self.bands} band(s)"


def undecodable(where: str, message: str) -> UnusableImage:
    """The error (E_DECODE) for a file that gives no picture."""
    return UnusableImage(Problem("E_DECODE", where, message))


def read_layout(header: pydicom.Dataset, where: str, dicom_frame: int | None) -> Layout:
    """The layout in a header; `dicom_frame` (from 1) chooses of several frames, None refuses several.

    Raises UnusableImage (E_DECODE) with all that is missing or contradicts itself.
    """
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")
    missing = [keyword for keyword in needed if not header.get(keyword)]
    missing += ["PixelRepresentation"] if header.get("PixelRepresentation") is None else []
    if missing:
        raise undecodable(where, f"not a DICOM image: {', '.join(missing)} missing or zero")
    frames = int(header.get("NumberOfFrames") or 1)
    stored, high = int(header.BitsStored), header.get("HighBit")
    layout = Layout(
        where,
        columns=int(header.Columns),
        rows=int(header.Rows),
        bands=int(header.get("SamplesPerPixel") or 1),
        photometric=str(header.PhotometricInterpretation),
        allocated=int(header.BitsAllocated),
        stored=stored,
        high=stored - 1 if high is None else int(high),
        signed=int(header.PixelRepresentation) == 1,
        frames=frames,
        place=_choose_frame(frames, dicom_frame, where),
    )
    wrong = _find_contradictions(layout, int(header.PixelRepresentation), header.get("PlanarConfiguration"))
    if wrong:
        raise undecodable(where, f"its header contradicts itself: {'; '.join(wrong)}; get a sound file")
    return layout


def check_size(layout: Layout, **limits: float) -> None:
    """Refuse (E_DECODE) a picture over the budget of `picture.check_budget`."""
    bands = 3 if layout.photometric == "PALETTE COLOR" else layout.bands
    check_budget(layout.where, layout.columns, layout.rows, bands, **limits)


def _choose_frame(frames: int, dicom_frame: int | None, where: str) -> int:
    if frames == 1:
        return 0
    if dicom_frame is None:
        message = f"holds {frames} frames; expected one, choose it by prepare.dicom_frame or export it"
        raise undecodable(where, message)
    if not 1 <= dicom_frame <= frames:
        raise undecodable(where, f"holds {frames} frames, prepare.dicom_frame asks for {dicom_frame}")
    return dicom_frame - 1


def _find_contradictions(layout: Layout, representation: int, planar: Any) -> list[str]:
    allocated, stored, high = layout.allocated, layout.stored, layout.high
    photometric, bands = layout.photometric, layout.bands
    listed = f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}"
    grey = photometric.startswith("MONOCHROME")
    broken = {
        f"BitsAllocated is {allocated}, of which {', '.join(map(str, ALLOCATED))} can be read": (
            allocated not in ALLOCATED
        ),
        f"{listed} do not fit together": not (1 <= stored <= allocated and stored - 1 <= high < allocated),
        f"PixelRepresentation is {representation}, not 0 or 1": representation not in (0, 1),
        f"photometric interpretation must be one of {', '.join(BANDS)}": photometric not in BANDS,
        f"{photometric} with SamplesPerPixel {bands}": bands != BANDS.get(photometric, bands),
        f"{photometric} without PlanarConfiguration 0 or 1": bands == 3 and planar not in (0, 1),
        f"{photometric} with signed values": representation == 1 and not grey,
        f"{photometric} with {listed}": (
            (photometric.startswith("YBR") and not allocated == stored == 8)
            or (photometric == "PALETTE COLOR" and allocated not in (8, 16))
            or (allocated == 1 and (bands != 1 or representation == 1))
        ),
        "NumberOfFrames is below 1": layout.frames < 1,
    }
    return [told for told, wrong in broken.items() if wrong]
