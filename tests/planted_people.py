"""An invented X-ray archive full of names, ids and dates, and a search for them in whatever came of it."""

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.common.config import Params, parse
from pipeline.common.files import sha256_file, sha256_text
from pipeline.common.seeding import numpy_rng

WORDS = (
    "kowalczyk", "zdzislawa", "quagliarella", "mrn7714", "acc55809", "19470613", "1947-06-13", "20190822",
    "2019-08-22", "2.25.31415926", "dunmore88", "lighthouse",
)  # fmt: skip
TABLE = "lists/KOWALCZYK lighthouse.csv"
ADAPTER = {
    "name": "image_table",
    "collection": "ward",
    "modality": "cxr",
    "table": TABLE,
    "labels": {"clear": 0, "opacity": 1},
    "columns": {"image": "film", "label": "finding", "source": "site", "subject": "MRN", "split": "part"},
    "maps": {"kind": "drawn", "folder": "maps"},
}
SETTINGS: dict[str, Any] = {
    "title": "Ward",
    "phantom": False,
    "task": "cxr_anomaly",
    "root": "raw",
    "adapters": [ADAPTER],
    "channels": 1,
    "crop": "none",
    "annotations": {"granularity": "map", "blur": 0},
    "split": {"by": "subject", "val": 0.25, "test": 0.25},
    "protocol": {
        "known": {"0": ["site_a"], "1": ["site_a"]},
        "held_out": {"0": ["site_z"], "1": ["site_z"]},
        "threshold": {"rule": "eer", "value": 0},
    },
}
SIDE, KNOWN, UNSEEN = 32, 48, 12


def settings(**prepare: Any) -> Params:
    """The project's settings for the archive, made small."""
    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = {"ward": SETTINGS}
    raw["methods"] = {name: raw["methods"][name] for name in ("cross_entropy", "cyborg")}
    raw["prepare"] |= {"image_size": SIDE, "max_quarantined": 2, **prepare}
    raw["train"] |= {"seeds": [0], "epochs": 1, "device": "cpu"}
    raw["evaluate"] |= {"curve_steps": 3, "curve_samples": 4, "gallery": 3}
    raw["identify"] |= {"max_concepts": 2, "exemplars": 2}
    attack = {"name": "pgd", "linf": [0.01], "l2": [], "steps": 1, "restarts": 1}
    raw["robustness"] |= {"images": 4, "shown": 2, "attacks": {"pgd": {"attack": attack}}}
    raw["engine"] |= {"workers": 1}
    return parse(raw)


def write(root: Path) -> None:
    """The archive: DICOM and PNG films, a table of them, maps, a copy, two empty films, an unlisted one."""
    lines = ["film,finding,site,MRN,part,remark"]
    for number in range(KNOWN + UNSEEN):
        suffix = "png" if number % 12 == 5 else "dcm"
        place = f"films/KOWALCZYK^ZDZISLAWA 1947-06-13/ACC55809{number:02}_20190822.{suffix}"
        subject = number // 2 if number != KNOWN else 0  # of both sites
        site = "site_a" if number < KNOWN else "site_z"
        part = ("train", "test")[number % 2] if number < 4 else ""
        finding = ("clear", "opacity")[number // 2 % 2]
        lines.append(f"{place},{finding},{site},MRN7714{subject:03},{part},=Zdzislawa fell on 2019-08-22")
        film = _draw(number if number != 9 else 8, finding == "opacity")
        _save(root / place, np.full_like(film, 7) if number in (20, 33) else film, number)
        drawn = root / "maps" / Path(place).with_suffix(".png").name
        drawn.parent.mkdir(exist_ok=True)
        Image.fromarray((film > 200).astype(np.uint8) * 255).save(drawn)
    _save(root / "films/KOWALCZYK^ZDZISLAWA 1947-06-13/ACC5580999_20190822.dcm", _draw(99, False), 99)
    (root / TABLE).parent.mkdir()
    (root / TABLE).write_text("\n".join(lines) + "\n")


def _draw(number: int, marked: bool) -> np.ndarray:
    film = numpy_rng(number, "film").integers(20, 190, (SIDE, SIDE), dtype=np.uint8)
    y, x = numpy_rng(number, "place").integers(2, SIDE // 2, 2)
    film[y : y + 9, x : x + 9] = np.uint8(250) if marked else np.uint8(205)
    return film


def _save(path: Path, film: np.ndarray, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        told = PngImagePlugin.PngInfo()
        told.add_text("Patient", "Kowalczyk, Zdzislawa, 1947-06-13", zip=number % 24 == 5)
        Image.fromarray(film).save(path, pnginfo=told)
        return
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1.1"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = f"2.25.31415926{number}"
    header.PatientName, header.PatientID = "Kowalczyk^Zdzislawa", f"MRN7714{number:03}"
    header.PatientBirthDate, header.StudyDate, header.AccessionNumber = "19470613", "20190822", "ACC5580917"
    header.ReferringPhysicianName, header.StudyDescription = "Quagliarella", "lighthouse keeper, 1947-06-13"
    header.private_block(0x0011, "DUNMORE88 TAGS", create=True).add_new(1, "LO", "Kowalczyk, Dunmore88")
    header.Rows = header.Columns = SIDE
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = film.tobytes()
    header.save_as(path, enforce_file_format=True)


def found_in(outputs: Iterable[Path], root: Path) -> list[str]:
    """Where any planted word, or the hash of a listed file or of its path, stands in files or their names."""
    listed = [path for path in (root / "films").rglob("*") if path.is_file()]
    hashes = [sha256_file(path) for path in listed]
    hashes += [sha256_text(path.relative_to(root).as_posix()) for path in listed]
    needles = [word.encode() for word in (*WORDS, *hashes)]
    found = []
    for path in outputs:
        parts = [*contents(path.read_bytes()), str(path).encode()]
        found += [
            f"{path}: {needle.decode()}"
            for needle in needles
            if any(needle in part.lower() for part in parts)
        ]
    return found


def contents(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is packed in them: archives, compressed texts of PNG, pictures of a page."""
    yield data
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from contents(archive.read(name))
    elif data.startswith(b"\x1f\x8b"):
        yield from contents(gzip.decompress(data))
    elif data.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            yield repr(picture.info).encode()
            yield picture.tobytes()
    else:
        for packed in re.findall(rb"base64,([A-Za-z0-9+/=]{40,})", data):
            yield from contents(base64.b64decode(packed))
    if data[:1] == b"\x78":
        yield zlib.decompress(data)
