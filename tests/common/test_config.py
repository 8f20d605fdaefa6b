"""params.yaml: every mistake is reported, all at once, with the nearest valid name."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.common.config import load, parse
from pipeline.common.errors import UserError

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict[str, Any]:
    """The shipped settings, free to break."""
    return copy.deepcopy(yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8")))


def problems(raw: Any) -> str:
    with pytest.raises(UserError) as caught:
        parse(raw)
    return str(caught.value)


def test_the_shipped_settings_are_valid() -> None:
    params = load(PROJECT / "params.yaml")
    assert set(params.datasets) == {"cxr", "iris", "face"}


@pytest.mark.parametrize(
    ("path", "key", "value", "expected"),
    [
        (("methods", "cyborg", "loss"), "name", "cyborgg", "model/losses: did you mean 'cyborg'?"),
        (("methods", "cyborg"), "loss", "cyborg", "cyborg.loss: expected {name: <a file of the cat"),
        (("methods", "cyborg"), "map_sorce", "human", "cyborg.map_sorce: unknown key; did you mean"),
        (("methods", "cyborg", "loss"), "alfa", 0.5, "loss: alfa: unknown key; did you mean 'alpha'?"),
        (("methods", "cyborg", "loss"), "alpha", -1, "cyborg.loss: alpha: Input should be greater"),
        (("methods", "cyborg", "loss"), "alpha", 1.0, "loss: alpha: Input should be less than 1"),
        (("methods", "cyborg", "loss"), "cam_class", "tru", "cam_class: Input should be"),
        (("methods", "cross_entropy", "loss"), "alpha", 0.5, "cross_entropy.loss: alpha: unknown key"),
        (("methods", "cross_entropy"), "map_source", "shuffled", "nothing in it reads human maps"),
        (("backbones", "compact"), "name", "compactt", "backbones: did you mean 'compact'?"),
        (("backbones", "compact"), "weight", "x", "compact: weight: unknown key; did you mean 'wei"),
        (("train",), "epochs", "many", "train.epochs: Input should be a valid integer"),
        (("train",), "seeds", [1, 1], "train.seeds: must be distinct"),
        (("train",), "device", "gpu", "train.device"),
        ((), "trian", {}, "trian: unknown key; did you mean 'train'?"),
        (("report",), "baseline", "cyborgs", "'cyborgs' is not in methods: did you mean 'cyborg'?"),
        (("methods", "cyborg", "loss"), "alpha", [0.5, 2], "cyborg.loss: alpha: Input should be less than 1"),
        (("methods", "cyborg", "loss"), "alpha", [], "cyborg: loss.alpha: expected distinct candidates, at"),
        (("methods", "cyborg", "loss"), "alpha", [0.1, 0.1], "expected distinct candidates, at least"),
        (("methods", "cyborg"), "map_source", "class mean", "cyborg.map_source: Input should be 'human', "),
        (("train", "selection"), "metric", "accuracy", "train.selection.metric: Input should be 'auroc'"),
        (("train", "selection"), "tolerance", 1, "train.selection.tolerance: Input should be less than 1"),
        (("datasets", "cxr"), "seeds", [2, 2], "datasets.cxr.seeds: must be distinct"),
        (("datasets", "cxr"), "seeds", [], "datasets.cxr.seeds: List should have at least 1 item"),
        (("datasets", "cxr"), "backbones", ["compcat"], "cxr.backbones: 'compcat' is not in backbones: did"),
        (("methods", "cyborg"), "seeds", [0, 7], "cyborg.seeds: [7] are of no data set, nor of train"),
        (("datasets", "cxr"), "draw_of", "cxr", "datasets.cxr.draw_of: 'cxr' must not be a draw itself"),
        (("datasets", "cxr"), "draw_of", "iris", "draw_of: the draws of 'iris' differ in task or phantom"),
        (("datasets", "cxr"), "variant", "no shortcut", "cxr.variant: of what? name that data set as"),
        (("datasets", "cxr", "protocol"), "novel", ["site_a"], "protocol.novel: 'site_a' is not held out"),
        (("datasets", "cxr", "split"), "val", 0.9, "datasets.cxr.split: val + test"),
        (("datasets", "cxr"), "methods", ["cyborgs"], "datasets.cxr.methods: 'cyborgs' is not in methods"),
        (("phantoms", "tasks", "iris"), "name", "irsi", "pipeline/drawing: did you mean 'iris'?"),
        (("phantoms", "tasks"), "iris", {"name": "iris", "x": 1}, "phantoms.tasks.iris: x: unknown key"),
        (("phantoms", "tasks", "iris"), "cue_strength", "2e-1", "cue_strength: Input should be a valid"),
        (("datasets", "iris", "adapters", 0), "lists", [], "lists: List should have at least 1 item"),
        (("robustness", "attacks", "pgd", "attack"), "name", "pdg", "attacks: did you mean 'pgd'?"),
        (("robustness", "attacks", "pgd", "attack"), "step", 9, "attack: step: unknown key; did you"),
        (("robustness", "attacks", "pgd"), "methods", ["cybrog"], "pgd.methods: 'cybrog' is not planned"),
        (("robustness", "attacks", "pgd"), "seeds", [7], "robustness.attacks.pgd.seeds: 7 is not planned"),
        (("robustness",), "explanations", ["gradcam"], "explanations: did you mean 'grad_cam'?"),
    ],
)  # fmt: skip
def test_one_mistake(raw: dict[str, Any], path: tuple[Any, ...], key: str, value: Any, expected: str) -> None:
    section = raw
    for part in path:
        section = section[part]
    section[key] = value
    assert expected in problems(raw)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("weight_decay", -1, "weight_decay: Input should be greater"),
        ("activation", "softplus", "activation: expected {name: "),
        ("activation", {"beta": 9}, "activation: expected {name: "),
        ("activation", {"name": "softplas"}, "activation: 'softplas' is not in pipeline/model/activations"),
        ("activation", {"name": "softplus", "beta": 0}, "activation: beta: Input should be greater"),
        ("regularisers", {"name": "lipschitz"}, "regularisers: Input should be a valid list"),
        ("regularisers", [{"weight": 1}], "regularisers.0: expected {name: "),
        ("regularisers", [{"name": "lipschitz"}, {"name": "hesian"}], "regularisers.1: 'hesian' is not in"),
        ("regularisers", [{"name": "lipschitz", "z": 0}], "regularisers.0: z: Input should be greater"),
    ],
)
def test_one_mistake_about_robustness(raw: dict[str, Any], key: str, value: Any, expected: str) -> None:
    raw["methods"]["cyborg"][key] = value
    assert f"methods.cyborg.{expected}" in problems(raw)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lipschitz", "lipschitz"], "regularisers: lipschitz is listed twice; keep one"),
        (
            ["hessian"],
            "hessian needs an activation with curvature, which ReLU has not; "
            "add activation: {name: softplus}",
        ),
    ],
)
def test_regularisers_that_do_not_fit(raw: dict[str, Any], names: list[str], expected: str) -> None:
    raw["methods"]["cyborg"]["regularisers"] = [{"name": name} for name in names]
    assert problems(raw) == f"params.yaml: methods.cyborg: {expected}"


def test_robust_methods_are_read_as_given(raw: dict[str, Any]) -> None:
    given = {
        "loss": {"name": "cross_entropy"},
        "map_source": "shuffled",  # which the regulariser reads
        "weight_decay": 0,
        "activation": {"name": "softplus", "beta": 10},
        "regularisers": [{"name": "hessian", "weight": 0.1}, {"name": "saliency_adversarial", "mode": "pgd"}],
    }
    raw["methods"]["robust"] = given
    methods = parse(raw).methods
    assert methods["robust"].model_dump() == {**given, "seeds": None}
    assert methods["robust"].map_readers() == ["saliency_adversarial"]
    assert methods["robust"].is_control and not methods["cyborg"].is_control
    plain = methods["cyborg"]
    assert (plain.weight_decay, plain.activation, plain.regularisers) == (None, None, [])


def test_a_loss_that_lists_alphas_is_several_candidates(raw: dict[str, Any]) -> None:
    raw["methods"]["cyborg"]["loss"] = {"name": "cyborg", "alpha": [0.3, 0.1], "cam_class": "true"}
    methods = parse(raw).methods
    found = methods["cyborg"].candidates()
    assert list(found) == [0.3, 0.1]
    assert found[0.1].loss == {"name": "cyborg", "alpha": 0.1, "cam_class": "true"}
    assert found[0.1].map_source == "human" and methods["divergence"].candidates() == {}


def test_one_mistake_in_a_loss_that_lists_alphas_is_one_line(raw: dict[str, Any]) -> None:
    raw["methods"]["cyborg"]["loss"] = {"name": "cyborg", "alpha": [0.3, 0.1], "cam": "true"}
    assert problems(raw).count("\n") == 0


def test_truth_is_a_ceiling_and_for_phantoms_alone(raw: dict[str, Any]) -> None:
    raw["methods"]["cyborg"]["map_source"] = "truth"
    method = parse(raw).methods["cyborg"]
    assert method.is_ceiling and not method.is_control
    raw["datasets"]["iris"]["phantom"] = False
    expected = "datasets.iris.methods: cyborg needs true causes, which only phantoms have; list other methods"
    assert problems(raw) == f"params.yaml: {expected}"
    raw["datasets"]["iris"]["methods"] = ["cross_entropy"]
    parse(raw)


def test_draws_of_a_data_set(raw: dict[str, Any]) -> None:
    raw["datasets"]["cxr_1"] = {**raw["datasets"]["cxr"], "draw_of": "cxr", "seeds": [7]}
    raw["datasets"]["cxr_09"] = {**raw["datasets"]["cxr"], "draw_of": "cxr", "variant": "agreement 0.9"}
    raw["robustness"]["attacks"]["pgd"]["seeds"] = [7]
    assert parse(raw).datasets["cxr_1"].seeds == [7]
    raw["datasets"]["cxr_1"]["phantom"] = False
    assert problems(raw).count("the draws of 'cxr' differ in task or phantom") == 2
    raw["datasets"]["cxr_1"] |= {"phantom": True, "draw_of": "cxr_09"}
    assert "datasets.cxr_1.draw_of: 'cxr_09' must not be a draw itself" in problems(raw)


def test_all_mistakes_of_one_robust_method_are_listed_together(raw: dict[str, Any]) -> None:
    raw["methods"]["cyborg"] |= {
        "weight_decay": "much",
        "activation": {"name": "half_huber", "wdth": 1},
        "regularisers": [{"name": "lipschitz", "z": 0}, {"name": "hesian"}],
    }
    text = problems(raw)
    for expected in ("weight_decay: ", "activation: wdth", "regularisers.0: z: ", "regularisers.1: 'hesian'"):
        assert f"methods.cyborg.{expected}" in text


def test_unknown_adapter_and_its_settings(raw: dict[str, Any]) -> None:
    raw["datasets"]["iris"]["adapters"][0]["name"] = "cvrl_irs"
    text = problems(raw)
    assert "datasets.iris.adapters.0" in text
    assert "did you mean 'cvrl_iris'?" in text


def test_a_source_may_play_one_part_only(raw: dict[str, Any]) -> None:
    raw["datasets"]["cxr"]["protocol"]["excluded"] = ["site_c"]
    assert "P_SOURCE_TWICE: 'site_c'" in problems(raw)


def test_mistakes_of_every_kind_are_listed_together(raw: dict[str, Any]) -> None:
    raw["methods"]["cyborg"]["loss"]["name"] = "cyborgg"
    raw["train"]["epochs"] = 0
    del raw["prepare"]["image_size"]
    raw["evaluate"]["batchsize"] = 4
    text = problems(raw)
    for expected in ("cyborgg", "train.epochs", "prepare.image_size: missing", "did you mean 'batch_size'"):
        assert expected in text


@pytest.mark.parametrize(("text", "expected"), [("a: [", "not valid YAML"), ("- 1", "expected sections")])
def test_a_file_that_is_no_settings_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=expected):
        load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        load(tmp_path / "params.yaml")
