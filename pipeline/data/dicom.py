"""DICOM files to pictures.

Only the tags named here and in the modules that this one calls are ever read, so neither names nor
reports reach memory, and the texts of the libraries' own errors and warnings, which may quote values, are
never shown.
"""

from pathlib import Path

import numpy as np
import pydicom

from pipeline.data import dicom_grey, dicom_header, dicom_pixels, dicom_tables
from pipeline.data.dicom_header import Layout, undecodable
from pipeline.data.picture import Picture, check_pixels
from pipeline.data.problems import Problem, UnusableImage

TAGS = ["BurnedInAnnotation", *dicom_header.TAGS, *dicom_tables.PALETTE, *dicom_grey.TAGS]
PHOTOMETRICS = {"MONOCHROME1": "MONOCHROME1", "MONOCHROME2": "MONOCHROME2"}  # all others become RGB


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM mark; names and extensions are not looked at."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(
    path: Path, *, max_megapixels: float, max_megabytes: float, dicom_frame: int | None = None
) -> Picture:
    """Decode one frame of a DICOM file; grey values end up with 0 black and 1 white.

    The value range is that of the VOI transform (window or table), or, where the file has none, that of the
    pixels outside the padding; of colours, that of the bits stored. Padding becomes black.
    `dicom_frame` chooses of several frames, from 1; None refuses files with several.

    Raises UnusableImage: E_DECODE (unreadable, contradicts itself, several frames, over budget), E_PHI (the
    file says that patient data are burned into its pixels), E_FLAT.
    """
    header = read_header(path, TAGS)
    with dicom_pixels.silenced():
        try:
            layout = dicom_header.read_layout(header, path.name, dicom_frame)
            if _says_burned_in(header) == "YES":
                message = "BurnedInAnnotation is YES: patient data may stand in it; drop or clean the file"
                raise UnusableImage(Problem("E_PHI", path.name, message))
            dicom_header.check_size(layout, max_megapixels=max_megapixels, max_megabytes=max_megabytes)
            return _to_picture(header, dicom_pixels.decode(path, layout), layout)
        except (UnusableImage, MemoryError):
            raise
        except Exception as error:  # a value of the wrong type, somewhere in the header
            message = f"a header value cannot be used ({type(error).__name__}); the file is damaged"
            raise undecodable(path.name, message) from None


def read_header(path: Path, keywords: list[str]) -> pydicom.Dataset:
    """The named tags of a file without its pixels; UnusableImage (E_DECODE) if it is no DICOM file.

    Files that lack the preamble are read too, as little-endian.
    """
    with dicom_pixels.silenced():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords), force=True)
            for keyword in keywords:
                header.get(keyword)  # values are parsed on first use: a damaged one must fail here
        except Exception as error:
            raise undecodable(path.name, f"not a readable DICOM file ({type(error).__name__})") from None
    return header


def _to_picture(header: pydicom.Dataset, stored: np.ndarray, layout: Layout) -> Picture:
    """Stored values and header to a picture and its facts."""
    if layout.photometric in PHOTOMETRICS:
        pixels = dicom_grey.show_grey(stored, header, layout)
    elif layout.photometric == "PALETTE COLOR":
        pixels = dicom_tables.apply_palette(stored, header, layout.where)
    else:
        pixels = stored / np.float32(2**layout.stored - 1)
    check_pixels(layout.where, pixels)
    return Picture(
        pixels=pixels,
        bits=layout.stored,
        photometric=PHOTOMETRICS.get(layout.photometric, "RGB"),
        phi_flag="no" if _says_burned_in(header) == "NO" else "absent",
    )


def _says_burned_in(header: pydicom.Dataset) -> str:
    return str(header.get("BurnedInAnnotation") or "").strip().upper()
