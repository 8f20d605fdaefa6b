"""What an adapter hands to `prepare`: one Sample per image, with its annotations as they were recorded."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class Problem:
    """A broken rule of `formats.md` section 9 or 10; `str` of it is the line a user reads."""

    code: str  # E_..., P_... or W_...
    where: str  # file, line, column, sample id: whatever leads there
    message: str  # what was expected, what came, what to do

    def __str__(self) -> str:
        return f"{self.code} {self.where}: {self.message}"


def refuse(problems: list[Problem], limit: int = 20) -> None:
    """Raise UserError with the first `limit` problems, if there are any."""
    if problems:
        lines = [str(problem) for problem in problems[:limit]]
        if len(problems) > limit:
            lines.append(f"... and {len(problems) - limit} more")
        raise UserError(lines)


@dataclass(frozen=True)
class Fixations:
    """One reader's gaze; all arrays have one entry per fixation, positions in original image px."""

    x: np.ndarray
    y: np.ndarray
    sigma_x: np.ndarray  # px
    sigma_y: np.ndarray  # px
    weight: np.ndarray  # seconds, or 1 for counts
    shown: np.ndarray | None = (
        None  # (n, 4): x0, y0, x1, y1 of the part on screen; Gaussians are clipped to it
    )


@dataclass(frozen=True)
class Boxes:
    """One annotator's rectangles, (n, 4) x0, y0, x1, y1 in original image px, half-open; n may be 0."""

    corners: np.ndarray


@dataclass(frozen=True)
class Ellipses:
    """One annotator's axis-aligned ellipses by their boxes, (n, 4) x0, y0, x1, y1 in original image px."""

    corners: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """One grey map file: drawn by one person, or already averaged; same size as the image."""

    path: Path
    threshold: bool = False  # True: a person's strokes, cut to 0 or 1 before averaging


@dataclass(frozen=True)
class Pasted:
    """Mask files that each cover a rectangle: (path, left, top), their union is the map.

    Foreground is any pixel with a colour channel above 0; alpha is ignored.
    """

    parts: tuple[tuple[Path, int, int], ...]


Annotation = Fixations | Boxes | Ellipses | Drawn | Pasted


@dataclass
class Sample:
    """One image of a data set before it is decoded. Blank text means unknown."""

    native_id: str  # sample_id becomes `<adapter>:<native_id>`
    image_path: Path  # below the adapter's root
    label: int  # 0 normal, bona fide, authentic; 1 abnormal, attack, synthetic
    native_label: str
    class_name: str  # slug
    source: str  # slug; the open-set axis
    source_kind: str
    modality: str
    subject_id: str = ""  # blank: unknown
    group_id: str = ""  # blank: native_id
    native_split: str = ""
    split: str = ""  # train, val or test when the native word is known to mean that; else blank
    sensor: str = ""
    site: str = ""
    roi: str = ""  # cx,cy,r or x0,y0,x1,y1 in original px
    annotations: list[Annotation] = field(default_factory=list)  # one per annotator
    ann_kind: str = "none"
    ann_scope: str = "decision"
    ann_count: int | None = None  # when one file merges several people; None: len(annotations)
    ann_sigma_px: str = ""
    ann_weight: str = "none"
    licence: str = ""
    where: str = ""  # file and line it came from, for error messages
    problem: Problem | None = None  # why it cannot be used: it goes to quarantine.csv
