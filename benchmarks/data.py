"""Decoding against Pillow and against reading the store every epoch, and the memory that `prepare` takes."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from benchmarks.timing import ratio, seconds
from pipeline.data import images
from pipeline.data.store import open_store

SIDE = 2048  # px of a film, stored as 16-bit
FEW, MANY = 50, 200  # films
LIMITS = {"max_megapixels": 64, "max_megabytes": 512}
Row = tuple[str, str, str, str]
ROOT = Path(__file__).parents[1]


def rows() -> list[Row]:
    """All comparisons; CPU only, since decoding never runs on a GPU."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = _write_films(folder / "films", MANY)
        peaks = {count: _prepare(folder / str(count), films[:count]) for count in (FEW, MANY)}
        growth = peaks[MANY] / peaks[FEW] - 1
        return [
            *(_per_picture(folder, suffix) for suffix in ("png", "jpg")),
            _per_epoch(folder / str(FEW) / "data" / "prepared" / "films", films[:FEW]),
            (
                f"`prepare`, {MANY} DICOM files of {SIDE}x{SIDE}: peak memory of a worker",
                f"{peaks[MANY] / 2**20:.0f} MB",
                "under 1 GB",
                "yes" if peaks[MANY] < 2**30 else "NO",
            ),
            (
                f"`prepare`: that peak with {MANY} files over {FEW} files",
                f"{growth:+.1%}",
                "flat (at most +10 %)",
                "yes" if growth <= 0.1 else "NO",
            ),
        ]


def _per_epoch(prepared: Path, films: list[Path]) -> Row:
    """One epoch's images from the store, against decoding and resizing the files."""
    store = open_store(prepared)

    def read() -> None:
        np.asarray(store.images).astype(np.float32)

    def decode() -> None:
        for path in films:
            pixels = images.load(path, **LIMITS).pixels
            images.to_square(pixels, roi="", crop="none", image_size=96, channels=1)

    taken = seconds({"read": read, "decode": decode}, rounds=3)
    value = ratio(taken["decode"], taken["read"])
    return (f"{len(films)} films: decoding each epoch / reading the store", f"{value:.0f}", "above 1", "yes")


def _per_picture(folder: Path, suffix: str) -> Row:
    """One colour picture of 1024 px to floats, against Pillow and a division."""
    path = folder / f"colour.{suffix}"
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(small).resize((1024, 1024), Image.Resampling.BICUBIC).save(path)

    def with_pillow() -> None:
        with Image.open(path) as image:
            np.asarray(image) / np.float32(255)

    def ours() -> None:
        images.load(path, **LIMITS)

    taken = seconds({"pillow": with_pillow, "ours": ours}, rounds=9)
    value = ratio(taken["ours"], taken["pillow"])
    what = f"a colour picture of 1024 px, {suffix.upper()}: decoding / Pillow alone"
    return (what, f"{value:.2f}", "at most 2", "yes" if value <= 2 else "NO")


def _write_films(folder: Path, count: int) -> list[Path]:
    """Films of smooth noise with the tags that a loader needs; half labelled 0, half 1."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        film = Dataset()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = generate_uid(
            entropy_srcs=[str(index)]
        )
        film.Rows = film.Columns = SIDE
        film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
        film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
        film.PixelData = rng.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16).tobytes()
        path = folder / str(index % 2) / f"{index // 4:03d}_{index:03d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        film.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _prepare(folder: Path, films: list[Path]) -> int:
    """Run the stage on these films as a user does; the peak resident bytes of its largest worker."""
    for film in films:
        link = folder / "films" / film.parent.name / film.name
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(film, link)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    template = params["datasets"]["cxr"]
    params["datasets"] = {"films": template | _SETTINGS | {"root": str(folder / "films")}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "pipeline.prepare", "films"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    peak = _watch(process.pid, process.poll)
    if process.returncode:
        raise RuntimeError(f"prepare failed with exit code {process.returncode}")
    return peak


_SETTINGS = {
    "title": "films",
    "phantom": False,
    "adapters": [
        {
            "name": "image_table",
            "collection": "films",
            "modality": "cxr",
            "glob": "*/*.dcm",
            "labels": {"0": 0, "1": 1},
            "patterns": {"label": r"(\d)/\d+_", "subject": r"/(\d+)_"},
            "constants": {"source": "here"},
        }
    ],
    "protocol": {
        "known": {"0": ["here"], "1": ["here"]},
        "held_out": {"0": [], "1": []},
        "threshold": {"rule": "eer", "value": 0},
    },
}


def _watch(pid: int, finished: Callable[[], int | None]) -> int:
    """Largest resident size that any child of a process reached until it finished."""
    peak = 0
    pause = threading.Event()
    while finished() is None:
        try:
            children = psutil.Process(pid).children(recursive=True)
            peak = max([peak, *(child.memory_info().rss for child in children)])
        except psutil.NoSuchProcess:
            time.sleep(0)
        pause.wait(0.05)
    return peak
