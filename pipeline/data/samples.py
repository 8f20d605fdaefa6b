"""What an adapter hands over: one Sample per image, with its annotations as they were recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.data.problems import Finding, Problem


@dataclass(frozen=True)
class Fixations:
    """One reader's gaze; all arrays have one entry per fixation, positions in original image px."""

    x: np.ndarray
    y: np.ndarray
    sigma_x: np.ndarray  # px
    sigma_y: np.ndarray  # px
    weight: np.ndarray  # seconds, or 1 for counts
    # (n, 4): x0, y0, x1, y1 of the part on screen, to which Gaussians are clipped; None: all of the image
    shown: np.ndarray | None = None


@dataclass(frozen=True)
class Boxes:
    """One annotator's rectangles, (n, 4) x0, y0, x1, y1 in original image px, half-open; n may be 0."""

    corners: np.ndarray


@dataclass(frozen=True)
class Ellipses:
    """One annotator's axis-aligned ellipses by their boxes, (n, 4) x0, y0, x1, y1 in original image px."""

    corners: np.ndarray


@dataclass(frozen=True)
class Polygons:
    """One annotator's outlines, each (n, 2) x, y in original image px; `holes` are cut out of their union."""

    outlines: tuple[np.ndarray, ...]
    holes: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Runs:
    """One annotator's masks as lengths of runs, not marked and marked in turn, over `height` x `width` px.

    `order` is how the runs pass over the image: C row by row, F column by column. The map is the union.
    """

    parts: tuple[np.ndarray, ...]  # whole numbers >= 0; what is left after the last is not marked
    height: int
    width: int
    order: Literal["C", "F"]


@dataclass(frozen=True)
class Together:
    """One annotator's marks of several kinds; the map is their union. Without parts: nothing was marked."""

    parts: "tuple[Annotation, ...]"


@dataclass(frozen=True)
class Drawn:
    """One grey map file: drawn by one person, or already averaged."""

    path: Path
    empty: Literal["none", "refuse"] = "refuse"  # all black: nothing was marked, or something went wrong
    resize: Literal["area", "nearest", "refuse"] = "refuse"  # a map of another size than its image


@dataclass(frozen=True)
class Pasted:
    """Mask files that each cover a rectangle: (path, left, top), their union is the map.

    Foreground is any pixel with a colour channel above 0; alpha is ignored.
    """

    parts: tuple[tuple[Path, int, int], ...]


@dataclass(frozen=True)
class Masked:
    """One mask of the image's size, a file or a frame of a video; what is at least half bright is marked."""

    path: Path
    frame: int | None = None  # of a video, from 0; None: the file is a picture


Annotation = Fixations | Boxes | Ellipses | Polygons | Runs | Drawn | Pasted | Masked | Together


@dataclass
class Sample:
    """One image of a data set before it is decoded. Blank text means unknown."""

    native_id: str  # the adapter's own; unique together with the adapter's name
    image_path: Path  # below the adapter's root
    label: int  # 0 normal, bona fide, authentic; 1 abnormal, attack, synthetic
    class_name: str  # slug
    source: str  # slug; what the open-set protocol knows or holds out
    source_kind: str  # what kind of thing the source is: manifest.SOURCE_KINDS
    modality: str  # slug
    subject_id: str = ""
    group_id: str = ""  # what must never be divided; blank: the image alone
    native_split: str = ""  # train, val or test when the native word is known to mean that
    roi: str = ""  # cx,cy,r or x0,y0,x1,y1 in original px
    size: tuple[int, int] | None = None  # width and height that the file must have
    photometric: str = ""  # what the file must have, as manifest.PHOTOMETRICS names it
    frame: int | None = None  # of a video, from 0; None: the file is a picture
    annotations: list[Annotation] = field(default_factory=list)  # one per annotator
    annotation_size: tuple[int, int] | None = None  # of the image that they refer to; None: this one's
    annotators: int | None = None  # when one file merges several people; None: one per annotation
    where: str = ""  # file and line it came from, for error messages
    problem: Problem | None = None  # why it cannot be used: it goes to quarantine.csv
    adapter: str = ""  # by whose name its id begins; set once the adapter has read it
    truth: Path | None = None  # folder of a phantom's masks and twins; set likewise
    twins: tuple[str, ...] = ()  # which of store.TWINS its data set has; set likewise

    @property
    def sample_id(self) -> str:
        """The key of its manifest row."""
        return f"{self.adapter}:{self.native_id}"

    @property
    def may_be_blank(self) -> bool:
        """Whether some annotator's map is known to be kept where nothing was marked too."""
        return any(isinstance(each, Drawn) and each.empty == "none" for each in self.annotations)

    @property
    def is_marked(self) -> bool:
        """Whether any annotator marked anything; lists of no shapes mark nothing."""
        return any(_count_marks(annotation) > 0 for annotation in self.annotations)


class Found(list[Sample]):
    """The samples of a data set, and what must be known of how they were read."""

    def __init__(self, samples: Iterable[Sample] = (), noticed: Iterable[Finding] = ()) -> None:
        super().__init__(samples)
        self.noticed = list(noticed)


def _count_marks(annotation: Annotation) -> int:
    if isinstance(annotation, Together):
        return sum(map(_count_marks, annotation.parts))
    if isinstance(annotation, Boxes | Ellipses):
        return len(annotation.corners)
    if isinstance(annotation, Polygons):
        return len(annotation.outlines)
    return len(annotation.parts) if isinstance(annotation, Runs) else 1
