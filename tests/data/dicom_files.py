"""Small invented DICOM files for tests; patient fields hold words that no message may repeat."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

SECRET = "INVSECRET"


def write(path: Path, stored: np.ndarray, *, bits: int = 12, **tags: Any) -> Path:
    """A file with these stored values (H, W) or (H, W, 3); `tags` add to the header or change it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.99"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1.1", "2.25.99"
    dataset.PatientName, dataset.PatientID, dataset.StudyDescription = SECRET, SECRET, SECRET
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored = stored.dtype.itemsize * 8, bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def lookup_table(values: list[int], first: int, bits: int) -> Sequence:
    """One table for ModalityLUTSequence or VOILUTSequence."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.add_new("LUTData", "US", values)
    item.ModalityLUTType = "US"
    return Sequence([item])
