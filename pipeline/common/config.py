"""`params.yaml` as typed, frozen settings; every mistake in it is reported at once.

The sections are the stages' names. `datasets`, `backbones` and `methods` are the axes of the grid.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.common import catalogue
from pipeline.common.errors import UserError, nearest

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
MAP_READER = "saliency_adversarial"  # the regulariser that is made of human maps
Explanation = Literal[  # of pipeline/explain/explanations.py
    "cam",
    "grad_cam",
    "grad_cam_pp",
    "diff_grad_cam",
    "diff_grad_cam_mean",
    "diff_grad_cam_max",
    "diff_grad_cam_pp",
    "difference_salience",
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "smooth_grad",
    "guided_backprop",
]


class Section(BaseModel):
    """A part of params.yaml: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Phantoms(Section):
    """Which phantoms to draw, each with its generator's own settings."""

    seed: int
    tasks: dict[Name, dict[str, Any]]


class Annotations(Section):
    """How human annotations become one map per image (`formats.md` section 6)."""

    granularity: Literal["map", "box"]
    blur: Annotated[float, Field(ge=0, le=0.5)]  # Gaussian sigma as a share of the image width


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
    """The open-set protocol (`formats.md` section 10): sources by label, 0 and 1."""

    known: dict[Literal["0", "1"], list[Name]]
    held_out: dict[Literal["0", "1"], list[Name]]
    excluded: list[Name] = []
    threshold: Threshold


class Dataset(Section):
    """One data set: where it lies, who reads it, how it is cropped, split and held out."""

    title: str
    notice: str | None = None  # shown wherever a result of this data set is shown
    phantom: bool
    task: Literal["cxr_anomaly", "iris_pad", "face_pad", "finger_pad", "synth_face"]
    root: str
    adapters: list[dict[str, Any]]  # [{adapter: name, root: sub-folder, **settings}], concatenated
    channels: Literal[1, 3]
    crop: Literal["none", "roi", "square"]
    annotations: Annotations
    split: Split
    protocol: Protocol
    methods: list[Name] | None = None  # None: all


class Prepare(Section):
    """What `prepare` does to every data set."""

    image_size: Annotated[int, Field(ge=16, le=1024)]
    max_quarantined: Annotated[int, Field(ge=0)]
    max_megapixels: Positive
    max_megabytes: Positive
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]
    seed: int


class Backbone(Section):
    """A feature extractor and where its first weights come from."""

    weights: str | None = None


class Method(Section):
    """A named way to train: a loss with its settings, the maps it sees, and what makes it robust."""

    loss: str
    alpha: Annotated[float, Field(ge=0, le=1)] = 1.0
    map_source: Literal["human", "shuffled", "inverted"] = "human"
    settings: dict[str, Any] = {}
    weight_decay: Annotated[float, Field(ge=0)] | None = None  # None: that of train.optimizer
    activation: dict[str, Any] | None = None  # {name, **settings}; None: the backbone's own
    regularisers: list[dict[str, Any]] = []  # {name, **settings} each


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


class Augment(Section):
    """Random changes applied to image and map together; 0 switches one off."""

    horizontal_flip: Annotated[float, Field(ge=0, le=1)]  # probability
    shift: Annotated[float, Field(ge=0, le=0.5)]  # share of the side
    scale: Annotated[float, Field(ge=0, lt=1)]  # relative
    rotate: Annotated[float, Field(ge=0, le=180)]  # degrees
    brightness: Annotated[float, Field(ge=0, le=1)]
    contrast: Annotated[float, Field(ge=0, le=1)]


class Train(Section):
    """One schedule for every cell of the grid."""

    seeds: Annotated[list[int], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    optimizer: Optimizer
    schedule: Schedule
    early_stopping: Count | None  # epochs without improvement; null: off
    augment: Augment
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    precision: Literal["auto", "float32", "bfloat16"]


class Evaluate(Section):
    """How a trained cell is measured."""

    batch_size: Count
    curve_steps: Annotated[int, Field(ge=2)]  # deletion and insertion
    curve_samples: Count  # test images per role for the curves
    gallery: Count  # images per role whose maps are kept for pictures


class Identify(Section):
    """The post-hoc tool: which regions matter, and which come back."""

    important_share: Annotated[float, Field(gt=0, lt=1)]  # top share of positive salience
    max_features: Annotated[int, Field(ge=2)]  # clusters per data set and class
    exemplars: Count


class Attack(Section):
    """A named way to attack trained cells; None: all of them, and the section's explanations."""

    attack: str
    settings: dict[str, Any] = {}
    explanations: Annotated[list[Explanation], Field(min_length=1)] | None = None
    datasets: list[Name] | None = None
    methods: list[Name] | None = None
    seeds: list[int] | None = None


class Robustness(Section):
    """Which attacks trained cells must stand, on how many test images, and whose explanations are watched."""

    images: Count  # of the closed test set
    shown: Annotated[int, Field(ge=0)]  # of these, images kept for pictures
    batch_size: Count
    explanations: Annotated[list[Explanation], Field(min_length=1)]
    attacks: dict[Name, Attack]


class Report(Section):
    """How tables and figures look."""

    baseline: Name  # the method that differences are taken to
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    dpi: Annotated[int, Field(ge=50, le=600)]


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
    backbones: dict[str, Backbone]
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
    problems += _catalogue_problems(raw)
    if params is not None:
        problems += _combination_problems(params)
    if problems or params is None:
        raise UserError([f"{where}: {problem}" for problem in problems])
    return params


def _catalogue_problems(raw: dict[str, Any]) -> list[str]:
    """Names and settings that must exist in a catalogue; works on raw input so all are listed at once."""
    found: list[str] = []

    def check(where: str, kind: str, name: Any, settings: Any) -> None:
        if isinstance(name, str) and isinstance(settings, dict):
            lines = catalogue.problems(kind, name, settings)
            found.extend(f"{where}: {line}" for line in lines)

    for task, settings in _items(raw, "phantoms", "tasks"):
        check(f"phantoms.tasks.{task}", "data/phantoms", task, settings)
    for name, dataset in _items(raw, "datasets"):
        adapters = dataset.get("adapters") if isinstance(dataset, dict) else None
        for index, entry in enumerate(adapters if isinstance(adapters, list) else []):
            if isinstance(entry, dict):
                settings = {k: v for k, v in entry.items() if k not in ("adapter", "root")}
                where = f"datasets.{name}.adapters.{index}"
                if "adapter" not in entry:
                    found.append(f"{where}.adapter: missing; every key must be given")
                check(where, "data/adapters", entry.get("adapter"), settings)
    for name, backbone in _items(raw, "backbones"):
        check(f"backbones.{name}", "model/backbones", name, {} if backbone is not None else None)
    for name, method in _items(raw, "methods"):
        if isinstance(method, dict):
            settings = method.get("settings", {})
            if isinstance(settings, dict):
                settings = {"alpha": 1.0, **settings}
            check(f"methods.{name}", "model/losses", method.get("loss"), settings)
            for key, kind, choice in _choices(method):
                if "name" not in choice:
                    found.append(f"methods.{name}.{key}.name: missing; every key must be given")
                settings = {k: v for k, v in choice.items() if k != "name"}
                check(f"methods.{name}.{key}", kind, choice.get("name"), settings)
    for name, attack in _items(raw, "robustness", "attacks"):
        if isinstance(attack, dict):
            where = f"robustness.attacks.{name}"
            check(where, "explain/attacks", attack.get("attack"), attack.get("settings", {}))
    return found


def _choices(method: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(key, catalogue, {name, **settings}) of a method's activation and regularisers."""
    listed = method.get("regularisers")
    regularisers = enumerate(listed if isinstance(listed, list) else [])
    entries = [("activation", "model/activations", method.get("activation"))]
    entries += [(f"regularisers.{index}", "model/regularisers", choice) for index, choice in regularisers]
    return [(key, kind, choice) for key, kind, choice in entries if isinstance(choice, dict)]


def _items(raw: dict[str, Any], *keys: str) -> list[tuple[str, Any]]:
    value: Any = raw
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return list(value.items()) if isinstance(value, dict) else []


def _combination_problems(params: Params) -> list[str]:
    """Settings that are valid alone and impossible together."""
    found: list[str] = []
    if params.report.baseline not in params.methods:
        hint = nearest(params.report.baseline, params.methods)
        found.append(f"report.baseline: {params.report.baseline!r} is not in methods: {hint}")
    if len(set(params.train.seeds)) != len(params.train.seeds):
        found.append(f"train.seeds: must be distinct, got {params.train.seeds}")
    for name, method in params.methods.items():
        found += [f"methods.{name}: {problem}" for problem in _method_problems(method)]
    for name, attack in params.robustness.attacks.items():
        axes: dict[str, Collection[Any]] = {
            "datasets": params.datasets,
            "methods": params.methods,
            "seeds": params.train.seeds,
        }
        for axis, known in axes.items():
            for value in getattr(attack, axis) or []:
                if value not in known:
                    hint = f": {nearest(value, known)}" if isinstance(value, str) else ""
                    found.append(f"robustness.attacks.{name}.{axis}: {value!r} is not planned{hint}")
    for name, dataset in params.datasets.items():
        for method_name in dataset.methods or []:
            if method_name not in params.methods:
                hint = nearest(method_name, params.methods)
                found.append(f"datasets.{name}.methods: {method_name!r} is not in methods: {hint}")
        if dataset.split.val + dataset.split.test >= 1:
            found.append(f"datasets.{name}.split: val + test must leave something to train on")
        known, held_out = dataset.protocol.known, dataset.protocol.held_out
        for label in ("0", "1"):
            if not known.get(label):
                found.append(f"datasets.{name}.protocol.known: P_ONE_CLASS: no source for label {label}")
        listed = [s for part in (known, held_out) for group in part.values() for s in set(group)]
        for source in sorted(set(listed) | set(dataset.protocol.excluded)):
            in_known = any(source in group for group in known.values())
            in_held_out = any(source in group for group in held_out.values())
            if in_known + in_held_out + (source in dataset.protocol.excluded) > 1:
                found.append(
                    f"datasets.{name}.protocol: P_SOURCE_TWICE: {source!r} is in more than one of "
                    "known, held_out, excluded; keep one"
                )
    return found


def _method_problems(method: Method) -> list[str]:
    """What does not go together within one method."""
    found: list[str] = []
    used = [choice.get("name") for choice in method.regularisers]
    if method.loss == "cross_entropy" and method.map_source != "human" and MAP_READER not in used:
        found.append("cross_entropy sees no maps; drop map_source")
    if method.loss != "cross_entropy" and method.alpha == 1:
        found.append("alpha 1 leaves only cross-entropy; use a value below 1")
    found += [f"regularisers: {name} is listed twice; keep one" for name in set(used) if used.count(name) > 1]
    if "hessian" in used and method.activation is None:
        found.append(
            "hessian needs an activation with curvature, which ReLU has not; add activation: {name: softplus}"
        )
    return found
