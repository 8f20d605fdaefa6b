"""Leave one source out: a data set with `held_out: each` becomes one for every source left out in turn.

Folds are ordinary data sets, called `<data set>_without_<source>`, that say which data set they are of
(`fold_of`). Written out in a workspace's params.yaml, they are prepared, trained, measured and traced as all
others are; that their stores hold the same arrays is seen by `prepare`, which decodes them once.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.common.errors import UserError

EACH = "each"


def unfold(settings: Any) -> Any:
    """Settings as read, in which every data set with `held_out: each` has become its folds.

    A source of label 1 is left out at a time, with its images of label 0 if it has such too (a site); known
    sources of label 0 alone stay known, divided by subject. Attacks on the data set are on all its folds.
    Other settings stay as they are, be they right or wrong.
    Raises UserError: fewer than two sources of label 1, or none of label 0 left beside one.
    """
    problems: list[str] = []
    folds: dict[str, dict[str, Any]] = {}
    for name, dataset in _items(settings, "datasets"):
        if dict(_items(dataset, "protocol")).get("held_out") == EACH:
            problems += [f"datasets.{name}.protocol: {problem}" for problem in _problems(dataset["protocol"])]
            folds[name] = {
                f"{name}_without_{source}": _leave_out(name, dataset, source)
                for source in _sources(dataset["protocol"])["1"]
            }
    if problems:
        raise UserError(problems)
    if not folds:
        return settings
    datasets: dict[str, Any] = {}
    for name, dataset in settings["datasets"].items():
        datasets |= folds.get(name, {name: dataset})
    robustness = {**settings["robustness"], "attacks": _aim(settings["robustness"]["attacks"], folds)}
    return {**settings, "datasets": datasets, "robustness": robustness}


def _items(value: Any, key: str) -> list[tuple[str, Any]]:
    """The items of a mapping inside a mapping; none if either is something else."""
    inside = value.get(key) if isinstance(value, dict) else None
    return list(inside.items()) if isinstance(inside, dict) else []


def _sources(protocol: Mapping[str, Any]) -> dict[str, list[str]]:
    known = dict(_items(protocol, "known"))
    return {label: list(known.get(label) or ()) for label in ("0", "1")}


def _problems(protocol: Mapping[str, Any]) -> list[str]:
    known = _sources(protocol)
    if len(known["1"]) < 2:
        came = f"expected two or more known sources of label 1, got {known['1']}"
        return [f"held_out: each: {came}; none would be left to learn from"]
    return [
        f"held_out: each: without {source!r} no source of label 0 is left; give another one"
        for source in known["1"]
        if not set(known["0"]) - {source}
    ]


def _leave_out(name: str, dataset: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The data set in which one source is held out, under each label that it has."""
    known = _sources(dataset["protocol"])
    protocol = {
        **dataset["protocol"],
        "known": {label: [each for each in known[label] if each != source] for label in known},
        "held_out": {label: [source] for label in known if source in known[label]},
        "novel": [each for each in dataset["protocol"].get("novel", ()) if each == source],
    }
    fold = {
        **dataset,
        "title": f"{dataset['title']}, without {source}",
        "fold_of": name,
        "protocol": protocol,
    }
    if dataset.get("draw_of"):
        fold["draw_of"] = f"{dataset['draw_of']}_without_{source}"
    return fold


def _aim(attacks: Mapping[str, Any], folds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Attacks whose list of data sets names the folds of those that have some."""
    return {
        name: {
            **attack,
            "datasets": [fold for each in attack["datasets"] for fold in folds.get(each, [each])],
        }
        if attack.get("datasets")
        else attack
        for name, attack in attacks.items()
    }
