"""What settings can only be checked together, or against the catalogues."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.common import catalogue
from pipeline.common.errors import nearest

if TYPE_CHECKING:
    from pipeline.common.config import Attack, Method, Params
    from pipeline.common.data_settings import Dataset


def catalogue_problems(raw: dict[str, Any]) -> list[str]:
    """Names and settings that must exist in a catalogue; works on raw input so all are listed at once."""
    found = [
        f"{where}: {line}"
        for where, kind, choice in _choices(raw)
        if isinstance(_inside(choice, "name"), str)  # else it was said already
        for line in catalogue.problems(kind, choice)
    ]
    watched = [("robustness.explanations", _inside(raw, "robustness", "explanations"))]
    watched += [
        (f"robustness.attacks.{name}.explanations", _inside(attack, "explanations"))
        for name, attack in _items(raw, "robustness", "attacks")
    ]
    for where, listed in watched:
        for name in listed if isinstance(listed, list) else []:
            if name not in catalogue.names("explain/explanations"):
                found.append(f"{where}: {catalogue.unknown('explain/explanations', name)}")
    return list(dict.fromkeys(found))  # one fault of a loss that lists alphas is one


def _choices(raw: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(where, catalogue, choice) of every place of params.yaml that names a member."""
    for task, choice in _items(raw, "phantoms", "tasks"):
        yield f"phantoms.tasks.{task}", "drawing", choice
    for name, dataset in _items(raw, "datasets"):
        for index, choice in _listed(_inside(dataset, "adapters")):
            yield f"datasets.{name}.adapters.{index}", "data/adapters", choice
    for name, choice in _items(raw, "backbones"):
        yield f"backbones.{name}", "model/backbones", choice
    for name, method in _items(raw, "methods"):
        if "loss" in (method if isinstance(method, dict) else ()):
            for choice in alternatives(method["loss"]):
                yield f"methods.{name}.loss", "model/losses", choice
        if _inside(method, "activation") is not None:
            yield f"methods.{name}.activation", "model/activations", method["activation"]
        for index, choice in _listed(_inside(method, "regularisers")):
            yield f"methods.{name}.regularisers.{index}", "model/regularisers", choice
    for name, attack in _items(raw, "robustness", "attacks"):
        if "attack" in (attack if isinstance(attack, dict) else ()):
            yield f"robustness.attacks.{name}.attack", "explain/attacks", attack["attack"]


def alternatives(loss: Any) -> list[Any]:
    """A loss with each alpha that it lists, in that order; itself alone if it lists none.

    >>> alternatives({"name": "cyborg", "alpha": [0.1, 0.5]})
    [{'name': 'cyborg', 'alpha': 0.1}, {'name': 'cyborg', 'alpha': 0.5}]
    """
    listed = _inside(loss, "alpha")
    return [{**loss, "alpha": alpha} for alpha in listed] if isinstance(listed, list) else [loss]


def _listed(value: Any) -> Iterator[tuple[int, Any]]:
    yield from enumerate(value if isinstance(value, list) else [])


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _items(raw: dict[str, Any], *keys: str) -> list[tuple[str, Any]]:
    value = _inside(raw, *keys)
    return list(value.items()) if isinstance(value, dict) else []


def combination_problems(params: "Params") -> list[str]:
    """Settings that are valid alone and impossible together."""
    found: list[str] = []
    if params.report.baseline not in params.methods:
        hint = nearest(params.report.baseline, params.methods)
        found.append(f"report.baseline: {params.report.baseline!r} is not in methods: {hint}")
    if len(set(params.train.seeds)) != len(params.train.seeds):
        found.append(f"train.seeds: must be distinct, got {params.train.seeds}")
    for name, method in params.methods.items():
        found += [f"methods.{name}: {problem}" for problem in _method_problems(method)]
        if unplanned := set(method.seeds or ()) - _seeds(params):
            found.append(f"methods.{name}.seeds: {sorted(unplanned)} are of no data set, nor of train")
    for name, attack in params.robustness.attacks.items():
        found += [f"robustness.attacks.{name}.{problem}" for problem in _attack_problems(attack, params)]
    for name, dataset in params.datasets.items():
        found += [f"datasets.{name}.{problem}" for problem in _dataset_problems(dataset, params)]
        found += [f"datasets.{name}.{problem}" for problem in _draw_problems(dataset, params)]
    return found


def _attack_problems(attack: "Attack", params: "Params") -> Iterator[str]:
    """Cells that an attack is limited to and that nobody plans."""
    axes: dict[str, Collection[Any]] = {
        "datasets": params.datasets,
        "methods": params.methods,
        "seeds": _seeds(params),
    }
    for axis, known in axes.items():
        for value in getattr(attack, axis) or []:
            if value not in known:
                hint = f": {nearest(value, known)}" if isinstance(value, str) else ""
                yield f"{axis}: {value!r} is not planned{hint}"


def _seeds(params: "Params") -> set[int]:
    """All that are planned anywhere."""
    return {*params.train.seeds, *(seed for each in params.datasets.values() for seed in each.seeds or ())}


def _dataset_problems(dataset: "Dataset", params: "Params") -> Iterator[str]:
    """What does not go together within one data set."""
    axes: dict[str, Collection[str]] = {"backbones": params.backbones, "methods": params.methods}
    for axis, known in axes.items():
        for name in getattr(dataset, axis) or []:
            if name not in known:
                yield f"{axis}: {name!r} is not in {axis}: {nearest(name, known)}"
    for name, planned in params.methods.items():
        if planned.is_ceiling and not dataset.phantom and name in (dataset.methods or params.methods):
            yield f"methods: {name} needs true causes, which only phantoms have; list other methods"
    if len(set(dataset.seeds or ())) != len(dataset.seeds or ()):
        yield f"seeds: must be distinct, got {dataset.seeds}"
    if dataset.split.val + dataset.split.test >= 1:
        yield "split: val + test must leave something to train on"
    known, held_out = dataset.protocol.known, dataset.protocol.held_out
    for label in ("0", "1"):
        if not known.get(label):
            yield f"protocol.known: P_ONE_CLASS: no source for label {label}"
    parts = [{s for group in part.values() for s in group} for part in (known, held_out)]
    parts.append(set(dataset.protocol.excluded))
    for source in sorted(set().union(*parts)):
        if sum(source in part for part in parts) > 1:
            came = f"{source!r} is in more than one of known, held_out, excluded"
            yield f"protocol: P_SOURCE_TWICE: {came}; keep one"
    for source in sorted(set(dataset.protocol.novel) - parts[1]):
        yield f"protocol.novel: {source!r} is not held out: {nearest(source, parts[1])}"


def _draw_problems(dataset: "Dataset", params: "Params") -> Iterator[str]:
    """What cannot be joined with the draws of the same data set."""
    if dataset.draw_of is None:
        if dataset.variant is not None:
            yield "variant: of what? name that data set as draw_of"
        return
    original = params.datasets.get(dataset.draw_of)
    if original is not None and (original is dataset or original.draw_of is not None):
        yield f"draw_of: {dataset.draw_of!r} must not be a draw itself"
    joined = [each for key, each in params.datasets.items() if dataset.draw_of in (key, each.draw_of)]
    if len({(each.task, each.phantom) for each in joined}) > 1:
        yield f"draw_of: the draws of {dataset.draw_of!r} differ in task or phantom"


def _method_problems(method: "Method") -> list[str]:
    """What does not go together within one method."""
    found: list[str] = []
    if method.is_control and not method.map_readers():
        found.append(f"nothing in it reads human maps; drop map_source: {method.map_source}")
    alphas = method.loss.get("alpha")
    if isinstance(alphas, list) and (not alphas or len(set(alphas)) != len(alphas)):
        found.append(f"loss.alpha: expected distinct candidates, at least one, got {alphas}")
    used = [choice["name"] for choice in method.regularisers]
    found += [f"regularisers: {name} is listed twice; keep one" for name in set(used) if used.count(name) > 1]
    for name in used:
        if method.activation is None and catalogue.declared("model/regularisers", name, "NEEDS_CURVATURE"):
            found.append(
                f"{name} needs an activation with curvature, which ReLU has not; "
                "add activation: {name: softplus}"
            )
    return found
