"""What each measurement is given by params.yaml and by the data set, and the code that an attack runs."""

from typing import Any

from pipeline.common import catalogue
from pipeline.common.config import Attack, Params
from pipeline.data.store import Store
from pipeline.measure import under_attack

ATTACKING = "pipeline.measure.under_attack:measure"


def evaluation(params: Params, store: Store) -> dict[str, Any]:
    """`evaluate` of params.yaml, and what the protocol says of tests."""
    open_set = {"threshold": store.protocol["threshold"], "novel": store.protocol.get("novel", [])}
    return {**params.evaluate.model_dump(), **open_set}


def identification(params: Params) -> dict[str, Any]:
    """`identify` of params.yaml, and how many images one forward sees."""
    return {**params.identify.model_dump(), "batch_size": params.evaluate.batch_size}


def attack_code(attack: Attack, params: Params) -> tuple[str, ...]:
    """What an attack is given, the attack itself, and the explanations that it watches, as entry points."""
    watched = attack.explanations or params.robustness.explanations
    members = [catalogue.entry("explain/explanations", name) for name in watched]
    return (ATTACKING, catalogue.entry(under_attack.ATTACKS, attack.attack["name"]), *members)
