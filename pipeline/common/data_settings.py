"""The sections of params.yaml that are about data: phantoms, datasets and prepare."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.common.limits import Name, Positive, Share
from pipeline.common.section import Choice, Section, Seeds


class Phantoms(Section):
    """Which phantoms to draw: folder below data/raw/phantoms -> generator with its settings."""

    seed: int
    tasks: dict[Name, Choice]


class Replacement(Section):
    """Newer marks of some images in place of those that the adapter reads (`camdivide annotate import`)."""

    kind: Literal["coco", "cvat", "label_studio", "via"]
    file: str  # relative to where the pipeline runs
    sha256: str  # of the file: other marks are other data


class Annotations(Section):
    """How human annotations become one map per image (docs/formats.md)."""

    granularity: Literal["map", "box"]
    blur: Annotated[float, Field(ge=0, le=0.5)]  # Gaussian sigma as a share of the image width
    replace: Replacement | None = None


class Split(Section):
    """How known sources are divided; always by subject."""

    by: Literal["subject", "native"]
    val: Share
    test: Share


class Threshold(Section):
    """The operating point, fitted on validation."""

    rule: Literal["bpcer", "apcer", "eer", "fixed"]
    value: Annotated[float, Field(ge=0, le=1)]


class Protocol(Section):
    """The open-set protocol (docs/formats.md): sources by label, 0 and 1."""

    known: dict[Literal["0", "1"], list[Name]]
    held_out: dict[Literal["0", "1"], list[Name]]
    excluded: list[Name] = Field(default_factory=list)
    novel: list[Name] = Field(default_factory=list)  # held-out sources whose causes no known source has
    threshold: Threshold

    @field_validator("held_out", mode="before")
    @classmethod
    def _refuse_each(cls, value: object) -> object:
        if value == "each":
            raise ValueError("each source in turn is for profiles/<name>.yaml, whose folds are written out")
        return value


class Dataset(Section):
    """One data set: where it lies, who reads it, how it is cropped, split and held out."""

    title: str
    notice: str | None = None  # shown wherever a result of this data set is shown
    phantom: bool
    task: Name  # a word for what label 1 is told from
    root: str
    adapters: list[Choice]  # concatenated; each may name a sub-folder of `root` as its own
    channels: Literal[1, 3]
    crop: Literal["none", "roi", "square"]
    annotations: Annotations
    split: Split
    protocol: Protocol
    backbones: list[Name] | None = None  # None: all
    methods: list[Name] | None = None  # None: all
    seeds: Seeds | None = None  # of its cells; None: train.seeds
    draw_of: Name | None = None  # whose independent draw it is; tables join draws under that name
    fold_of: Name | None = None  # the data set with `held_out: each` that it is a fold of (common/folds.py)
    variant: str | None = None  # how it differs from draw_of, in a few words; never joined with plain draws


class Prepare(Section):
    """What `prepare` does to every data set."""

    image_size: Annotated[int, Field(ge=16, le=1024)]
    max_quarantined: Annotated[int, Field(ge=0)]
    max_megapixels: Positive
    max_megabytes: Positive
    dicom_frame: Annotated[int, Field(ge=1)] | None = None  # of files with several; None refuses them
    pseudonyms: bool  # instead of names of people, images and files, except phantoms'
    seed: int
