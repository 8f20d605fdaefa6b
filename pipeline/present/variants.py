"""How methods differ: the settings that robustness is studied against, and which method is whose variant."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.common import catalogue, checks
from pipeline.common.config import Method, Params
from pipeline.common.files import canonical_json

SETTINGS = ("weight_decay", "beta", "hessian_weight")  # each a defence by itself


def variants(params: Params) -> pd.DataFrame:
    """One row per method, indexed by name, in the order of params.yaml.

    Columns: guided (its loss sees human maps); objective (the loss with its settings and the maps that it
    sees, as one text); plain (neither activation nor regularisers nor a weight decay of its own); base: the
    plain method with the same objective, itself if it is plain, blank if there is none; nearest: the method
    that is the same but for one defence that it lacks or for the images' own maps, blank if there is none;
    weight_decay; activation as text; beta of its softplus, infinite for the backbone's own activation, NaN
    for others; names of the regularisers; hessian_weight, 0 without; and per setting s `but_s`: all the rest
    as one text, equal for methods that differ in s only.
    """
    described = {name: _described(method, params) for name, method in params.methods.items()}
    texts = {name: canonical_json(about) for name, about in described.items()}
    bases = {_objective(method): name for name, method in reversed(params.methods.items()) if _plain(method)}
    rows = []
    for name, method in params.methods.items():
        about = described[name]
        others = {f"but_{setting}": _without(about, setting) for setting in SETTINGS}
        row = {
            "guided": is_guided(method),
            "objective": _objective(method),
            "plain": _plain(method),
            "base": bases.get(_objective(method), ""),
            "nearest": _nearest(method, texts, params),
            "weight_decay": about["weight_decay"],
            "activation": _activation_text(method),
            "beta": about["beta"],
            "regularisers": " ".join(choice["name"] for choice in method.regularisers),
            "hessian_weight": about["hessian_weight"],
        }
        rows.append({**row, **others})
    return pd.DataFrame(rows, index=pd.Index(list(described), name="method"))


def is_guided(method: Method) -> bool:
    """Whether the loss sees human maps, whatever the regularisers see."""
    return bool(catalogue.declared("model/losses", method.loss["name"], "USES_MAPS"))


def to_bases(methods: pd.DataFrame) -> list[tuple[str, str]]:
    """(method, other) of each method with the nearest one and with the plain one, each pair once."""
    return [
        (method, other)
        for method, *others in methods[["nearest", "base"]].itertuples(name=None)
        for other in dict.fromkeys(others)
        if other not in ("", method)
    ]


def _plain(method: Method) -> bool:
    return method.activation is None and not method.regularisers and method.weight_decay is None


def _objective(method: Method) -> str:
    """The loss and the maps that it sees; without guidance a loss sees none."""
    seen = method.map_source if is_guided(method) else None
    losses = [catalogue.filled("model/losses", each) for each in checks.alternatives(method.loss)]
    return canonical_json([losses, seen])


def _nearest(method: Method, texts: dict[str, str], params: Params) -> str:
    """The first method of params.yaml that is this one, simpler by one step."""
    own = canonical_json(_described(method, params))
    simpler = {canonical_json(_described(step, params)) for step in _simpler(method)} - {own}
    return next((name for name, text in texts.items() if text in simpler), "")


def _simpler(method: Method) -> Iterator[Method]:
    """The method with one of its defences, or the maps that it sees, set back to the default."""
    for name in ("weight_decay", "activation", "map_source"):
        yield method.model_copy(update={name: Method.model_fields[name].default})
    for place in range(len(method.regularisers)):
        others = [choice for other, choice in enumerate(method.regularisers) if other != place]
        yield method.model_copy(update={"regularisers": others})


def _described(method: Method, params: Params) -> dict[str, Any]:
    """All that makes a method, defaults filled in, with the studied settings under their names."""
    regularisers = [catalogue.filled("model/regularisers", choice) for choice in method.regularisers]
    activation = method.activation and catalogue.filled("model/activations", method.activation)
    smooth = activation if activation and activation["name"] == "softplus" else None
    decay = method.weight_decay
    return {
        "objective": [_objective(method), method.map_source],
        "weight_decay": params.train.optimizer.weight_decay if decay is None else decay,
        "activation": None if smooth else activation,
        "beta": smooth["beta"] if smooth else math.nan if activation else math.inf,
        "hessian_weight": sum(entry["weight"] for entry in regularisers if entry["name"] == "hessian"),
        "regularisers": [entry for entry in regularisers if entry["name"] != "hessian"],
    }


def _without(about: dict[str, Any], setting: str) -> str:
    return canonical_json({key: value for key, value in about.items() if key != setting})


def _activation_text(method: Method) -> str:
    """The activation and its settings, as tables show it."""
    if method.activation is None:
        return "built-in"
    filled = catalogue.filled("model/activations", method.activation)
    return " ".join(f"{value:g}" if key != "name" else value for key, value in filled.items())
