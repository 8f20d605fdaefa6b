"""`params.yaml` as typed, frozen settings; every mistake in it is reported at once.

The sections are the stages' names. `datasets`, `backbones` and `methods` are the axes of the grid.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from pipeline.common import catalogue, checks
from pipeline.common.data_settings import Dataset, Phantoms, Prepare
from pipeline.common.errors import UserError
from pipeline.common.limits import Count, MapSource, Name, Positive, Share
from pipeline.common.section import Choice, Section, Seeds


class Method(Section):
    """A named way to train: a loss, the maps it sees, and what makes it robust."""

    loss: Choice  # its alpha may be a list: one is chosen by train.selection
    map_source: MapSource = "human"
    weight_decay: Annotated[float, Field(ge=0)] | None = None  # None: that of train.optimizer
    activation: Choice | None = None  # None: the backbone's own
    regularisers: list[Choice] = Field(default_factory=list)
    seeds: Seeds | None = None  # of those of a data set, the ones it is trained with; None: all

    def map_readers(self) -> list[str]:
        """The loss and regularisers that look at human maps, by name."""
        chosen = [("model/losses", self.loss), *(("model/regularisers", each) for each in self.regularisers)]
        return [
            choice["name"] for kind, choice in chosen if catalogue.declared(kind, choice["name"], "USES_MAPS")
        ]

    def candidates(self) -> dict[float, "Method"]:
        """The method with each alpha that its loss lists, by alpha; none if it lists none."""
        if not isinstance(self.loss.get("alpha"), list):
            return {}
        return {
            loss["alpha"]: self.model_copy(update={"loss": loss}) for loss in checks.alternatives(self.loss)
        }

    @property
    def is_control(self) -> bool:
        """Whether it sees maps that say less than the image's own."""
        return self.map_source != "human" and not self.is_ceiling

    @property
    def is_ceiling(self) -> bool:
        """Whether it sees the true causes, which nobody knows of real images."""
        return self.map_source == "truth"


class Optimizer(Section):
    """SGD with momentum, or AdamW (momentum unused)."""

    name: Literal["sgd", "adamw"]
    lr: Positive
    momentum: Share
    weight_decay: Annotated[float, Field(ge=0)]


class Schedule(Section):
    """Learning rate over epochs; `step` multiplies by gamma every step_epochs."""

    name: Literal["constant", "step", "cosine"]
    step_epochs: Count
    gamma: Positive


class Selection(Section):
    """Which epoch, and which of several alphas, is kept; validation alone decides (model/selection.py)."""

    metric: Literal["auroc", "alignment", "counterfactual"]
    tolerance: Share  # of validation AUROC below the best


class Train(Section):
    """One schedule for every cell of the grid."""

    seeds: Seeds
    epochs: Count
    batch_size: Count
    optimizer: Optimizer
    schedule: Schedule
    early_stopping: Count | None  # epochs without a better validation AUROC; null: off
    selection: Selection
    augment: list[Choice]  # transforms of albumentations, applied to image and map together, in this order
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    precision: Literal["auto", "float32", "bfloat16"]


class Evaluate(Section):
    """How a trained cell is measured."""

    batch_size: Count
    curve_steps: Annotated[int, Field(ge=2)]  # deletion and insertion
    curve_samples: Count  # test images per role for the curves
    gallery: Count  # images per role whose maps are kept for pictures


class Identify(Section):
    """The post-hoc tool: which regions matter, and which concepts come back."""

    important_share: Annotated[float, Field(gt=0, lt=1)]  # top share of positive salience
    max_concepts: Annotated[int, Field(ge=2)]  # clusters per data set and class
    exemplars: Count


class Attack(Section):
    """A named way to attack trained cells; None: all of them, and the section's explanations."""

    attack: Choice
    explanations: Annotated[list[Name], Field(min_length=1)] | None = None
    datasets: list[Name] | None = None
    methods: list[Name] | None = None
    seeds: list[int] | None = None

    def meets(self, dataset: str, method: str, seed: int) -> bool:
        """Whether it is planned for such a cell."""
        limits = ((self.datasets, dataset), (self.methods, method), (self.seeds, seed))
        return all(chosen is None or mine in chosen for chosen, mine in limits)


class Robustness(Section):
    """Which attacks trained cells must stand, on how many test images, and whose explanations are watched."""

    images: Count  # of the closed test set
    shown: Annotated[int, Field(ge=0)]  # of these, images kept for pictures
    batch_size: Count
    explanations: Annotated[list[Name], Field(min_length=1)]
    attacks: dict[Name, Attack]

    def planned(self, dataset: str, method: str, seed: int) -> dict[str, Attack]:
        """The attacks that a cell must stand, by name, in their order in params.yaml."""
        return {name: each for name, each in self.attacks.items() if each.meets(dataset, method, seed)}

    def settings_of(self, attack: Attack) -> dict[str, Any]:
        """All of this section that can change one attack's result."""
        own = {"explanations": attack.explanations or self.explanations, "attack": attack.attack}
        return self.model_dump(exclude={"attacks"}) | own


class Report(Section):
    """How tables and figures look."""

    baseline: Name  # the method that differences are taken to
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    dpi: Annotated[int, Field(ge=50, le=600)]
    prevalence: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of label 1, where predictive values are given


class Track(Section):
    """MLflow: where the copy goes (MLFLOW_TRACKING_URI overrides)."""

    uri: str
    interval: Positive  # seconds between background copies while cells train


class Engine(Section):
    """Where cells run; never changes a result."""

    backend: Literal["loky", "ray", "dask"]
    workers: Count | Literal["auto"]
    threads: Count  # per worker
    address: str | None
    gpus_per_cell: Annotated[float, Field(ge=0)]


class Params(Section):
    """All of params.yaml."""

    phantoms: Phantoms
    datasets: dict[Name, Dataset]
    prepare: Prepare
    backbones: dict[Name, Choice]
    methods: dict[Name, Method]
    train: Train
    evaluate: Evaluate
    identify: Identify
    robustness: Robustness
    report: Report
    track: Track
    engine: Engine


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check settings; raises UserError listing every problem with its key."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the project's root folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse(raw, str(path))


def parse(raw: Any, where: str = "params.yaml") -> Params:
    """Check settings that were already read; raises UserError listing every problem."""
    if not isinstance(raw, dict):
        raise UserError(f"{where}: expected sections ({', '.join(Params.model_fields)}), got {raw!r}")
    problems: list[str] = []
    params: Params | None = None
    try:
        params = Params(**raw)
    except ValidationError as error:
        problems += catalogue.describe(error, Params)
    problems += checks.catalogue_problems(raw)
    if params is not None and not problems:
        problems += checks.combination_problems(params)
    if problems or params is None:
        raise UserError([f"{where}: {problem}" for problem in problems])
    return params
