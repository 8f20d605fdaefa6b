"""Image files among files and folders that someone names."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.data import dicom

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")


def find(inputs: Sequence[Path]) -> list[Path]:
    """Every image file among files and folders, each once; raises UserError for what is missing or empty."""
    found: dict[Path, Path] = {}
    problems = []
    for given in inputs:
        files = [given] if given.is_file() else sorted(filter(_is_image, given.rglob("*")))
        if not given.exists():
            problems.append(f"{given}: not found; expected an image file or a folder of images")
        elif not files:
            problems.append(f"{given}: no image in this folder; expected DICOM or {', '.join(SUFFIXES)}")
        for path in files:
            found.setdefault(path.resolve(), path)
    if problems:
        raise UserError(problems)
    return list(found.values())


def _is_image(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() in SUFFIXES or dicom.is_dicom(path))
