"""Settings to start from with real images: what a new profile says, each part with its reason."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from pipeline.data.placing import TABLE, Entry

BACKBONE = "densenet121"
FEWEST_MAPS = 5  # of a label that has any: below it a control may meet a single one in training
CROSS_ENTROPY = {"cross_entropy": {"loss": {"name": "cross_entropy"}}}
TRANSPLANT = {
    "loss": {"name": "evidence", "alpha": 0.7},
    "regularisers": [{"name": "transplant"}, {"name": "neutral_features", "weight": 1}],
}
GUIDED = {
    **CROSS_ENTROPY,
    "cyborg": {"loss": {"name": "cyborg", "alpha": 0.5}},
    "divergence": {"loss": {"name": "divergence", "alpha": 0.5}},
    "divergence_shuffled": {"loss": {"name": "divergence", "alpha": 0.5}, "map_source": "shuffled"},
    "transplant": TRANSPLANT,
    "transplant_class_mean": {**TRANSPLANT, "map_source": "class_mean"},
}
UNGUIDED = {
    **CROSS_ENTROPY,
    "spectral_decoupling": {"loss": {"name": "spectral_decoupling"}},
    "random_erasing": {"loss": {"name": "cross_entropy"}, "regularisers": [{"name": "random_erasing"}]},
}
TRAIN = {
    "epochs": 50,
    "batch_size": 20,
    "optimizer": {"name": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.000001},
    "schedule": {"name": "step", "step_epochs": 12, "gamma": 0.1},
}


class Facts(NamedTuple):
    """What was decided of a collection."""

    labels: Mapping[str, int]
    protocol: Mapping[str, Any]
    split_by: str  # subject, native
    channels: int  # 1 grey, 3 colour
    guided: bool
    pretrained: bool  # weights from ImageNet are at hand


def has_enough_maps(entries: Sequence[Entry], labels: Sequence[int]) -> bool:
    """Whether losses can be guided: some label has maps, and each that has any has at least FEWEST_MAPS."""
    counts = [
        sum(entry.map is not None and mine == label for entry, mine in zip(entries, labels, strict=True))
        for label in (0, 1)
    ]
    return max(counts) > 0 and all(count == 0 or count >= FEWEST_MAPS for count in counts)


def write_profile(name: str, facts: Facts, head: str) -> str:
    """The text of profiles/<name>.yaml; `head` says where it comes from."""
    weights = (
        "ImageNet's" if facts.pretrained else "none; with those of ImageNet fewer images suffice: imagenet"
    )
    methods = (
        "The floor, losses guided by maps, and controls that see other images' maps, or their mean"
        if facts.guided
        else "Only methods that need no human maps; params.yaml has some that do"
    )
    first = "imagenet" if facts.pretrained else None
    parts: list[tuple[str, dict[str, Any]]] = [
        (head, {"phantoms": {"tasks": {}}, "datasets": {name: _dataset(name, facts)}}),
        ("px, what the network was made for", {"prepare": {"image_size": 224}}),
        (f"First weights: {weights}", {"backbones": {BACKBONE: {"name": BACKBONE, "weights": first}}}),
        (methods, {"methods": GUIDED if facts.guided else UNGUIDED}),
        (
            "The schedule of CYBORG (Boyd et al., WACV 2023); all else is that of params.yaml",
            {"train": TRAIN},
        ),
        ("No attacks; profiles/robustness.yaml has some to name here", {"robustness": {"attacks": {}}}),
        ("The method that differences are taken to", {"report": {"baseline": "cross_entropy"}}),
    ]
    return "\n".join(f"# {comment}\n{_dump(section)}" for comment, section in parts)


def _dataset(name: str, facts: Facts) -> dict[str, Any]:
    columns = {"image": "image", "label": "label", "source": "source", "subject": "subject", "split": "split"}
    adapter: dict[str, Any] = {
        "name": "image_table",
        "collection": name,
        "modality": "image",
        "table": TABLE,
        "columns": columns,
        "labels": dict(facts.labels),
    }
    if facts.guided:
        adapter["maps"] = {"kind": "drawn", "path": "map"}
    return {
        "title": name.replace("_", " ").capitalize(),
        "phantom": False,
        "task": name,
        "root": f"data/raw/{name}",
        "adapters": [adapter],
        "channels": facts.channels,
        "crop": "square",
        "annotations": {"granularity": "map", "blur": 0.02},
        "split": {"by": facts.split_by, "val": 0.15, "test": 0.25},
        "protocol": dict(facts.protocol),
    }


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice, where YAML would write a link."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(section: dict[str, Any]) -> str:
    return yaml.dump(
        section, Dumper=_Plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
