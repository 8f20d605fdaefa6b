"""What is true of members that are one file each, checked in a copy of the project that has them.

    python one_file_claims.py <folder of contract tests> <file for the answers>

The answers say of every claim what was wrong with it, or nothing. See `test_one_file.py`.
"""

import json
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_cells

from pipeline import train
from pipeline.common import catalogue
from pipeline.common.config import Params, parse
from pipeline.common.errors import UserError
from pipeline.data.store import Store, open_store
from pipeline.grid import records
from pipeline.measure import under_attack
from pipeline.model import CamClassifier, inference

CE = {"name": "cross_entropy"}
GRADIENTS = [{"name": "outside_gradients"}]
METHODS = {
    "cross_entropy": {"loss": CE},
    "focal": {"loss": {"name": "focal", "gamma": 1.0}, "activation": {"name": "squareplus"}},
    "outside": {"loss": {"name": "outside"}},
    "outside_shuffled": {"loss": {"name": "outside"}, "map_source": "shuffled"},
    "gradients": {"loss": CE, "regularisers": GRADIENTS},
    "gradients_shuffled": {"loss": CE, "regularisers": GRADIENTS, "map_source": "shuffled"},
}
FLIP = {"name": "VerticalFlip", "p": 0.5}
ATTACK = {"name": "dimming", "by": 0.5}


def settings(methods: dict[str, Any] = METHODS) -> Params:
    raw = tiny_cells.settings().model_dump()
    raw["backbones"] = {"small": {"name": "patches", "width": 4}}
    raw["methods"] = methods
    raw["train"]["augment"] = [*raw["train"]["augment"], FLIP]
    raw["robustness"] |= {"explanations": ["own_share", "cam"], "images": 4, "shown": 1}
    raw["robustness"]["attacks"] = {"dark": {"attack": ATTACK}}
    raw["datasets"]["tiny"]["task"] = "fundus_grading"
    return parse(raw)


@cache
def trained() -> Store:
    """The store, with every cell trained on it."""
    store = open_store(tiny_cells.write(Path("data/prepared/tiny")))
    train.train(settings(), "tiny")
    return store


def trained_cell(method: str) -> tuple[dict[str, Any], CamClassifier]:
    trained()
    folder = Path("runs/tiny/small") / method / "0"
    record = records.read(folder)
    assert record is not None
    return record["settings"], inference.open_model(folder / "model.safetensors", "cpu")


def mistakes_in_new_settings_are_told() -> None:
    with pytest.raises(UserError, match=r"methods\.focal\.loss: gama: unknown key; did you mean 'gamma'"):
        settings({**METHODS, "focal": {"loss": {"name": "focal", "gama": 1.0}}})


def a_loss_without_maps() -> None:
    kept, _ = trained_cell("focal")
    assert kept["method"]["loss"] == {"name": "focal", "gamma": 1.0}
    without = {name: METHODS[name] for name in ("cross_entropy", "focal")}
    bare = open_store(Path("data/prepared/tiny"))
    bare.has_map = np.zeros(len(bare.labels), bool)
    train._check(settings(without), bare)  # wants no map


def a_loss_with_maps_and_no_alpha() -> None:
    bare = open_store(Path("data/prepared/tiny"))
    bare.has_map = np.zeros(len(bare.labels), bool)
    with pytest.raises(UserError, match="outside is guided by human maps"):
        train._check(settings(), bare)


def controls_of_losses_and_regularisers_that_read_maps() -> None:
    for name in ("outside", "gradients"):
        (_, plain), (kept, control) = trained_cell(name), trained_cell(f"{name}_shuffled")
        assert kept["method"]["map_source"] == "shuffled"
        assert not (plain.head.weight == control.head.weight).all()


def an_activation() -> None:
    _, model = trained_cell("focal")
    assert [type(layer).__name__ for layer in model.features][2::3] == ["Squareplus"] * 2


def a_backbone_with_gelu_group_norm_and_stride_4() -> None:
    _, model = trained_cell("outside")
    outputs = model(inference.load_images(model, trained().images, trained().rows("val")))
    assert outputs.cams.shape[2:] == (8, 8) and outputs.features.shape[1] == 8
    assert outputs.features.min() < 0


def an_augmentation() -> None:
    kept, _ = trained_cell("outside")
    assert kept["train"]["augment"][-1] == FLIP


def an_explanation_and_an_attack() -> None:
    _, model = trained_cell("outside")
    section = settings().robustness
    chosen = {**section.settings_of(section.attacks["dark"]), "seed": 0}
    values = under_attack.measure(model, trained(), chosen).tables["values"]
    assert values["metric"].tolist() == ["accuracy", "mean", "mean"]
    assert values["explanation"].tolist() == ["", "own_share", "cam"]
    assert catalogue.declared("explain/attacks", "dimming", "TABLE") == "other"


def a_word_for_a_modality() -> None:
    choice = {"name": "image_table", "collection": "eyes", "modality": "fundus", "labels": {"a": 0}}
    assert catalogue.problems("data/adapters", choice) == []


CLAIMS = (
    mistakes_in_new_settings_are_told,
    a_loss_without_maps,
    a_loss_with_maps_and_no_alpha,
    controls_of_losses_and_regularisers_that_read_maps,
    an_activation,
    a_backbone_with_gelu_group_norm_and_stride_4,
    an_augmentation,
    an_explanation_and_an_attack,
    a_word_for_a_modality,
)


def contract_tests(folder: Path, members: list[str]) -> str:
    """Blank if all contract tests that name a new member pass, and there are any."""
    files = [str(path) for path in folder.rglob("test_*.py")]
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", " or ".join(members), *files])
    return "" if code == 0 else f"pytest ended with {code}"


def main() -> None:
    """Write what was wrong with each claim."""
    folder, answers, *members = sys.argv[1:]
    found = {}
    for claim in CLAIMS:
        try:
            claim()
            found[claim.__name__] = ""
        except BaseException:
            found[claim.__name__] = traceback.format_exc()
    found["contract_tests"] = contract_tests(Path(folder), members)
    Path(answers).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
