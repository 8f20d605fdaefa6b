"""What makes a cell run again: a change that could change its result, and nothing else.

Keys are computed twice, before and after a change of a setting, of the data or of the code, and compared.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import tiny_store
import yaml
from tiny_store import NAME

from pipeline import evaluate, identify, robustness, train
from pipeline.common import code
from pipeline.common.config import Params
from pipeline.common.files import sha256_file, write_json
from pipeline.common.paths import CELLS, MODEL, PREPARED, RECORD
from pipeline.data.store import open_store
from pipeline.grid import candidates

STAGES = {"train": train, "evaluate": evaluate, "identify": identify, "robustness": robustness}
ATTACKS = {
    "hoax": {"attack": {"name": "sham", "mode": "closed_form"}},
    "bounded": {"attack": {"name": "pgd", "steps": 2}, "explanations": ["gradient"]},
}
CELLS_PLANNED = 2  # two methods, one seed
Keys = dict[tuple[str, str], str]  # (stage, task) -> key


def settings(**changes: Any) -> Params:
    return tiny_cells.settings(robustness=robustness_section(), **changes)


def robustness_section(**changes: Any) -> dict[str, Any]:
    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())["robustness"]
    return {**raw, "images": 4, "attacks": ATTACKS, **changes}


def keys(params: Params) -> Keys:
    """Of every task of every stage, below the working directory."""
    store = open_store(PREPARED / NAME)
    return {
        (stage, task.name): task.key
        for stage, module in STAGES.items()
        for task in module.tasks(params, store)
    }


def run_again(before: Keys, after: Keys) -> dict[str, set[str]]:
    """Stage -> the tasks that have another key; stages without any are left out."""
    found: dict[str, set[str]] = {}
    for (stage, task), key in after.items():
        if before[stage, task] != key:
            found.setdefault(stage, set()).add(task)
    return found


# Code


def forget_code() -> None:
    for cached in (code._read, code._definition, code.code_hash):
        cached.cache_clear()


@pytest.fixture
def edited(tiny_project: Path, tmp_path_factory: pytest.TempPathFactory):
    """What would run again after edits (file of the package, edit of its text)."""
    copy = tmp_path_factory.mktemp("edited") / "pipeline"
    shutil.copytree(code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def compute(*edits: tuple[str, Callable[[str], str]]) -> dict[str, set[str]]:
        before = keys(settings())
        for name, edit in edits:
            text = (copy / name).read_text()
            assert edit(text) != text, name
            (copy / name).write_text(edit(text))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(code, "PACKAGE", copy)
            forget_code()
            after = keys(settings())
        forget_code()
        return run_again(before, after)

    return compute


def swapped(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


def in_the_body(function: str) -> Callable[[str], str]:
    """A statement more at the end of a function's signature's line block: another syntax tree."""

    def edit(text: str) -> str:
        place = text.index(f"def {function}(")
        first = text.index("\n", text.index('"""', text.index('"""', place) + 3))
        return f"{text[:first]}\n    changed = 1{text[first:]}"

    return edit


def test_a_word_runs_nothing_again(edited) -> None:
    """The progress line, a docstring and a comment in every file, the page's words, the command line."""
    everywhere = [
        (
            str(path.relative_to(code.PACKAGE)),
            lambda text: f"# A comment.\n{text}".replace('"""', '"""Now: ', 1),
        )
        for path in sorted(code.PACKAGE.rglob("*.py"))
        if '"""' in path.read_text()
    ]
    assert edited(*everywhere, ("grid/display.py", swapped("running", "at work"))) == {}


def test_a_new_explanation_and_a_key_of_the_report_run_nothing_again(edited) -> None:
    source = "SIGNED = True\n\n\ndef explanation(model, images, classes):\n    return images[:, 0]\n"
    assert edited(
        ("explain/explanations/cam.py", lambda text: text + "\n\ndef of_another_kind():\n    return 1\n"),
        ("common/config.py", swapped("    dpi:", "    theme: str = 'light'\n    dpi:")),
        ("present/pictures.py", lambda text: text + f"\n\nWORDS = {source!r}\n"),
    ) == {}  # fmt: skip


def test_a_metric_runs_evaluations_again_and_nothing_else(edited) -> None:
    found = edited(("score/metrics.py", in_the_body("bpcer_at_apcer")))
    assert found.keys() == {"evaluate"} and len(found["evaluate"]) == CELLS_PLANNED


def test_a_loss_trains_its_own_cells_again(edited) -> None:
    found = edited(("model/losses/difference_salience.py", in_the_body("loss")))
    assert found == {"train": {"tiny: difference_salience/compact/0"}}


def test_a_map_source_trains_the_cells_that_it_guides_again(edited) -> None:
    assert edited(("model/map_sources.py", in_the_body("class_mean"))) == {}
    assert len(edited(("model/map_sources.py", in_the_body("human")))["train"]) == CELLS_PLANNED


def test_an_attack_runs_again_alone(edited) -> None:
    found = edited(("explain/attacks/sham.py", in_the_body("attack")))
    assert found.keys() == {"robustness"}
    assert {task.split(": ")[-1] for task in found["robustness"]} == {"hoax"}


@pytest.mark.parametrize(
    ("explanation", "attacks"), [("gradient", {"hoax", "bounded"}), ("grad_cam", {"hoax"})]
)
def test_an_explanation_runs_the_attacks_that_watch_it_again(
    edited, explanation: str, attacks: set[str]
) -> None:
    found = edited((f"explain/explanations/{explanation}.py", in_the_body("explanation")))
    assert found.keys() == {"robustness"}
    assert {task.split(": ")[-1] for task in found["robustness"]} == attacks


@pytest.mark.parametrize(
    ("name", "function", "stages"),
    [
        ("measure/identification.py", "concept_table", {"identify"}),
        ("measure/evaluation.py", "alignment_table", {"evaluate"}),
        ("measure/counterfactuals.py", "altered", {"evaluate"}),
        ("measure/strata.py", "strata_table", {"evaluate"}),
        ("measure/under_attack.py", "victim_of", {"robustness"}),
        ("model/backbones/compact.py", "build", {"train"}),
        ("model/training.py", "learning_rate", {"train"}),
        ("model/inference.py", "look", {"evaluate", "identify", "robustness"}),
    ],
)
def test_what_is_computed_by_whom(edited, name: str, function: str, stages: set[str]) -> None:
    assert edited((name, in_the_body(function))).keys() == stages


# Settings


ALL = {*STAGES}
TRAINED = {"train"}  # a new training gets a new key, and with it everything that is measured of it


@pytest.mark.parametrize(
    ("section", "change", "stages"),
    [
        ("train", {"epochs": 2}, TRAINED),
        ("train", {"batch_size": 11}, TRAINED),
        ("train", {"optimizer": {"name": "adamw", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}}, TRAINED),
        ("train", {"schedule": {"name": "constant", "step_epochs": 1, "gamma": 0.1}}, TRAINED),
        ("train", {"early_stopping": 1}, TRAINED),
        ("train", {"selection": {"metric": "auroc", "tolerance": 0.02}}, TRAINED),
        ("train", {"selection": {"metric": "alignment", "tolerance": 0.0}}, TRAINED),
        ("train", {"augment": []}, TRAINED),
        ("train", {"precision": "bfloat16"}, TRAINED),
        ("train", {"device": "auto"}, set()),
        ("engine", {"threads": 3}, set()),
        ("evaluate", {"curve_steps": 4}, {"evaluate"}),
        ("evaluate", {"curve_samples": 5}, {"evaluate"}),
        ("evaluate", {"gallery": 2}, {"evaluate"}),
        ("evaluate", {"batch_size": 9}, {"evaluate", "identify"}),
        ("identify", {"important_share": 0.3}, {"identify"}),
        ("identify", {"max_concepts": 3}, {"identify"}),
        ("identify", {"exemplars": 2}, {"identify"}),
        ("robustness", {"images": 6}, {"robustness"}),
        ("robustness", {"shown": 1}, {"robustness"}),
        ("robustness", {"batch_size": 3}, {"robustness"}),
        ("report", {"dpi": 60}, set()),
        ("report", {"confidence": 0.9}, set()),
        ("track", {"interval": 60.0}, set()),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else str(value)[:40],
)
def test_settings(tiny_project: Path, section: str, change: dict[str, Any], stages: set[str]) -> None:
    before = settings()
    part = getattr(before, section)
    changed = before.model_copy(update={section: type(part)(**{**part.model_dump(), **change})})
    found = run_again(keys(before), keys(changed))
    assert found.keys() == stages
    assert all(len(found[stage]) >= CELLS_PLANNED for stage in stages)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": {"name": "difference_salience", "alpha": 0.4}},
        {"loss": {"name": "difference_salience", "alpha": [0.5, 0.4]}},
        {"loss": {"name": "divergence", "alpha": 0.5}},
        {"map_source": "inverted"},
        {"map_source": "truth"},
        {"weight_decay": 0.5},
        {"activation": {"name": "softplus"}},
        {"regularisers": [{"name": "lipschitz"}]},
    ],
    ids=str,
)
def test_a_methods_settings_are_its_own_cells(tiny_project: Path, change: dict[str, Any]) -> None:
    methods = {
        **tiny_store.METHODS,
        "difference_salience": {**tiny_store.METHODS["difference_salience"], **change},
    }
    found = run_again(keys(settings()), keys(settings(methods=methods)))
    assert found == {"train": {"tiny: difference_salience/compact/0"}}


def test_which_seeds_a_method_is_trained_with_is_part_of_no_key(tiny_project: Path) -> None:
    methods = {name: {**method, "seeds": [0]} for name, method in tiny_store.METHODS.items()}
    assert run_again(keys(settings()), keys(settings(methods=methods))) == {}


def test_an_alphas_training_hangs_on_no_other_alpha(tiny_project: Path) -> None:
    """A list that grows or shrinks is chosen from anew; what was trained of it stays."""
    found = []
    for alphas in ([0.5, 0.4], [0.3, 0.4]):
        method = {"loss": {"name": "difference_salience", "alpha": alphas}}
        planned = settings(methods={**tiny_store.METHODS, "difference_salience": method})
        _, task = train.tasks(planned, open_store(PREPARED / NAME))
        found.append({alpha: each.key for alpha, each in candidates.of(task).items()})
    assert found[0][0.4] == found[1][0.4] and len({*found[0].values(), *found[1].values()}) == 3
    assert found[0][0.5] == keys(settings())["train", "tiny: difference_salience/compact/0"]


def test_an_attacks_settings_are_its_own(tiny_project: Path) -> None:
    changed = {**ATTACKS, "bounded": {**ATTACKS["bounded"], "attack": {"name": "pgd", "steps": 3}}}
    after = settings().model_copy(
        update={"robustness": type(settings().robustness)(**robustness_section(attacks=changed))}
    )
    found = run_again(keys(settings()), keys(after))
    assert {task.split(": ")[-1] for task in found.pop("robustness")} == {"bounded"} and not found


# Data


def resealed(edit: Callable[[Path], None]) -> None:
    """Change the prepared data set and let its hashes follow, as `prepare` would."""
    folder = PREPARED / NAME
    edit(folder)
    info = json.loads((folder / "store.json").read_text())
    protocol = json.loads((folder / "protocol.json").read_text())
    protocol["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", protocol)
    info["sha256"] = {name: sha256_file(folder / name) for name in info["sha256"]}
    write_json(folder / "store.json", info)


def array(name: str) -> Callable[[Path], None]:
    """One pixel more."""

    def edit(folder: Path) -> None:
        values = np.load(folder / f"{name}.npy")
        values.flat[0] += 1
        np.save(folder / f"{name}.npy", values, allow_pickle=False)

    return edit


def row(number: int, **cells: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
        for column, value in cells.items():
            assert table.loc[number, column] != value
            table.loc[number, column] = value
        table.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")

    return edit


def protocol(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        known = json.loads((folder / "protocol.json").read_text())
        write_json(folder / "protocol.json", known | changes)

    return edit


TRAIN_ROW, VAL_ROW, TEST_ROW, UNSEEN_ROW = 0, 20, 32, 42  # of `tiny_cells.SOURCES`


@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        (array("images"), ALL),
        (array("maps"), ALL),
        (array("truth/causal"), {"evaluate", "identify"}),
        (array("truth/shortcut"), {"evaluate", "identify"}),
        (row(TRAIN_ROW, label="1"), {"train", "robustness"}),
        (row(VAL_ROW, label="1"), ALL),
        (row(TEST_ROW, label="1"), {"evaluate", "identify", "robustness"}),
        (row(TEST_ROW, class_name="print"), {"evaluate", "identify", "robustness"}),
        (row(UNSEEN_ROW, label="1"), {"evaluate", "identify"}),
        (row(TRAIN_ROW, split="none"), {"train", "robustness"}),
        (row(TRAIN_ROW, annotators="0"), {"train", "robustness"}),
        (protocol(threshold={"rule": "eer", "value": 0.0}), {"evaluate"}),
        (protocol(novel=["lens"]), {"evaluate"}),
        (protocol(held_out={"0": ["site_b"], "1": ["site_b", "lens"]}), {"evaluate", "identify"}),
    ],
    ids=[
        *("images", "maps", "causal", "shortcut", "train label", "val label", "test label", "test class"),
        *("unseen label", "split", "map or none", "threshold", "novel", "held out"),
    ],
)
def test_data(tiny_project: Path, edit: Callable[[Path], None], stages: set[str]) -> None:
    before = keys(settings())
    resealed(edit)
    assert run_again(before, keys(settings())).keys() == stages


def test_exact_causes_are_data_of_the_cells_that_they_guide(tiny_project: Path) -> None:
    methods = {name: {**method, "map_source": "truth"} for name, method in tiny_store.METHODS.items()}
    methods["cross_entropy"] = tiny_store.METHODS["cross_entropy"]
    before = keys(settings(methods=methods))
    resealed(array("truth/causal"))
    assert run_again(before, keys(settings(methods=methods)))["train"] == {
        "tiny: difference_salience/compact/0"
    }


def test_a_measurement_hangs_on_the_training_and_on_the_very_model(tiny_project: Path) -> None:
    for change in ({"key": "0" * 64}, {"files": {MODEL: "0" * 64, "history.csv": "1" * 64}}):
        before = keys(settings())
        path = CELLS["train"] / NAME / "compact/cross_entropy/0" / RECORD
        record = json.loads(path.read_text())
        write_json(path, record | change)
        found = run_again(before, keys(settings()))
        write_json(path, record)
        assert found.keys() == {"evaluate", "identify", "robustness"}
        assert all("cross_entropy" in task for tasks in found.values() for task in tasks)
