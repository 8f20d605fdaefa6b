"""Leave one source out: what a data set with `held_out: each` becomes, and what cannot be left out."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.common.config import parse
from pipeline.common.errors import UserError
from pipeline.common.folds import unfold

PROJECT = Path(__file__).parents[2]


def settings(known: dict[str, list[str]], **changes: Any) -> dict[str, Any]:
    """The project's settings with one data set, whose every source is held out."""
    raw: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    protocol = {**raw["datasets"]["iris"]["protocol"], "known": known, "held_out": "each", "novel": []}
    raw["datasets"] = {"eyes": {**raw["datasets"]["iris"], "protocol": protocol, **changes}}
    raw["robustness"]["attacks"] = {}
    return raw


def divided(raw: dict[str, Any]) -> dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]]:
    """Known and held-out sources of each fold, as checked settings have them."""
    folds = parse(unfold(raw)).datasets
    assert {fold.fold_of for fold in folds.values()} == {"eyes"}
    return {
        name: (dict(fold.protocol.known), dict(fold.protocol.held_out))  # type: ignore[arg-type]
        for name, fold in folds.items()
    }


def test_each_attack_type_is_left_out_and_bona_fide_stay() -> None:
    assert divided(settings({"0": ["live"], "1": ["print", "doll"]})) == {
        "eyes_without_print": ({"0": ["live"], "1": ["doll"]}, {"1": ["print"]}),
        "eyes_without_doll": ({"0": ["live"], "1": ["print"]}, {"1": ["doll"]}),
    }


def test_each_site_is_left_out_with_both_labels() -> None:
    assert divided(settings({"0": ["north", "south"], "1": ["north", "south"]})) == {
        "eyes_without_north": ({"0": ["south"], "1": ["south"]}, {"0": ["north"], "1": ["north"]}),
        "eyes_without_south": ({"0": ["north"], "1": ["north"]}, {"0": ["south"], "1": ["south"]}),
    }


def test_draws_and_attacks_follow_the_folds() -> None:
    raw = settings({"0": ["live"], "1": ["print", "doll"]}, draw_of="iris")
    raw["robustness"]["attacks"] = {"a": {"datasets": ["eyes", "cxr"]}, "b": {}}
    found = unfold(raw)
    assert found["datasets"]["eyes_without_doll"]["draw_of"] == "iris_without_doll"
    expected = ["eyes_without_print", "eyes_without_doll", "cxr"]
    assert found["robustness"]["attacks"] == {"a": {"datasets": expected}, "b": {}}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"0": ["live"], "1": ["print"]}, r"two or more known sources of label 1, got \['print'\]"),
        ({"0": ["live", "other"], "1": []}, r"two or more known sources of label 1, got \[\]"),
        ({"0": ["north"], "1": ["north", "south"]}, "without 'north' no source of label 0 is left"),
    ],
)
def test_what_leaves_nothing_to_learn_from_is_refused(known: dict[str, list[str]], told: str) -> None:
    with pytest.raises(UserError, match=told):
        unfold(settings(known))


def test_folds_must_be_written_out_before_settings_are_checked() -> None:
    with pytest.raises(
        UserError, match=r"datasets.eyes.protocol.held_out: each source in turn is for profiles"
    ):
        parse(settings({"0": ["live"], "1": ["print", "doll"]}))


def test_other_settings_stay_as_they_are() -> None:
    raw = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    assert unfold(raw) == raw
