"""Which method is whose variant, and in what."""

import math

import pandas as pd
import pytest
from fake_results import params

from pipeline.present.variants import variants

SOFTPLUS = {"name": "softplus", "beta": 5}
METHODS = {
    "cross_entropy": {"loss": {"name": "cross_entropy"}},
    "cyborg": {"loss": {"name": "cyborg", "alpha": 0.5}},
    "decayed": {"loss": {"name": "cross_entropy"}, "weight_decay": 0.1},
    "smooth": {"loss": {"name": "cross_entropy"}, "activation": SOFTPLUS},
    "smoother": {"loss": {"name": "cross_entropy"}, "activation": {"name": "softplus"}},
    "half": {"loss": {"name": "cross_entropy"}, "activation": {"name": "half_huber"}},
    "flat": {
        "loss": {"name": "cross_entropy"},
        "activation": SOFTPLUS,
        "regularisers": [{"name": "hessian"}],
    },
    "sat": {"loss": {"name": "cross_entropy"}, "regularisers": [{"name": "saliency_adversarial"}]},
    "sat_shuffled": {
        "loss": {"name": "cross_entropy"},
        "map_source": "shuffled",
        "regularisers": [{"name": "saliency_adversarial"}],
    },
    "smooth_cyborg": {"loss": {"name": "cyborg", "alpha": 0.3}, "activation": SOFTPLUS},
}


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    settings = params(methods=METHODS)
    decay = settings.train.optimizer.weight_decay
    assert decay != 0.1
    return variants(settings)


def test_only_the_loss_makes_a_plain_method(found: pd.DataFrame) -> None:
    plain = set(found.index[found["plain"]])
    assert plain & set(METHODS) == {"cross_entropy", "cyborg"}


def test_the_base_has_the_same_objective(found: pd.DataFrame) -> None:
    assert set(found.loc[["cross_entropy", "decayed", "smooth", "half", "flat", "sat"], "base"]) == {
        "cross_entropy"
    }
    assert found.loc["sat_shuffled", "base"] == "cross_entropy"  # cross-entropy itself sees no maps
    assert found.loc["cyborg", "base"] == "cyborg"
    assert found.loc["smooth_cyborg", "base"] == ""  # another alpha


def test_the_nearest_method_lacks_one_defence(found: pd.DataFrame) -> None:
    nearest = found["nearest"].to_dict()
    assert nearest["decayed"] == nearest["smooth"] == nearest["half"] == nearest["sat"] == "cross_entropy"
    assert nearest["flat"] == "smooth"  # of the same beta
    assert nearest["sat_shuffled"] == "sat"  # with the images' own maps
    assert nearest["cross_entropy"] == nearest["cyborg"] == nearest["smooth_cyborg"] == ""


def test_of_two_nearest_methods_the_first_counts() -> None:
    both = {"loss": {"name": "cross_entropy"}, "weight_decay": 0.1, "activation": SOFTPLUS}
    usual = params().train.optimizer.weight_decay
    chosen = {name: METHODS[name] for name in ("cross_entropy", "cyborg", "smooth", "decayed")}
    more = {"both": both, "usual": {"loss": {"name": "cross_entropy"}, "weight_decay": usual}}
    nearest = variants(params(methods={**chosen, **more}))["nearest"]
    assert nearest["both"] == next(name for name in nearest.index if name in ("smooth", "decayed"))
    assert nearest["usual"] == ""  # the same training as cross_entropy


def test_regularisers_are_named(found: pd.DataFrame) -> None:
    names = found["regularisers"]
    assert (names["cross_entropy"], names["flat"], names["sat"]) == ("", "hessian", "saliency_adversarial")


def test_settings_are_filled_in(found: pd.DataFrame) -> None:
    assert found.loc["decayed", "weight_decay"] == 0.1
    assert found.loc["smooth", "weight_decay"] == params().train.optimizer.weight_decay
    assert found["beta"][["cross_entropy", "smooth", "smoother"]].tolist() == [math.inf, 5, 20]  # 20: default
    assert math.isnan(found.loc["half", "beta"])
    assert found["hessian_weight"][["smooth", "flat"]].tolist() == [0, 0.001]  # default of the regulariser
    assert found["activation"][["cross_entropy", "smooth", "half"]].tolist() == [
        "built-in",
        "softplus 5",
        "half_huber 0.5",
    ]


def test_methods_that_differ_in_one_setting_only_share_the_rest(found: pd.DataFrame) -> None:
    def alike(setting: str, *names: str) -> bool:
        return found.loc[list(names), f"but_{setting}"].nunique() == 1

    assert alike("weight_decay", "cross_entropy", "decayed")
    assert alike("beta", "cross_entropy", "smooth", "smoother")
    assert alike("hessian_weight", "smooth", "flat")
    assert not alike("hessian_weight", "smoother", "flat")  # they differ in beta too
    assert not alike("beta", "cross_entropy", "half")
    assert not alike("weight_decay", "sat", "sat_shuffled")
