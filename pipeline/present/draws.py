"""Which data sets are draws of one another, and so are shown as one; variants are shown apart."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.common import catalogue
from pipeline.common.config import Params
from pipeline.common.data_settings import Dataset
from pipeline.common.paths import PHANTOMS

AGREEMENT = "shortcut_agreement"  # the setting of generators that variants are a dose of
SAYS_NOTHING = 0.5  # agreement of a shortcut that is as often wrong as right


class Joined(NamedTuple):
    """Data sets that are shown under one name: independent draws of the same thing."""

    draws: tuple[str, ...]  # names in params.yaml, in their order there
    base: str  # what they are draws of
    variant: str  # how they differ from that; blank for plain draws


def joined(datasets: Mapping[str, Dataset]) -> dict[str, Joined]:
    """What is shown together, by the name that tables, files and anchors have for it, in order.

    Plain draws go by the name of what they are draws of, a variant by that name and its own words.
    """
    found: dict[str, Joined] = {}
    for name, dataset in datasets.items():
        base, variant = dataset.draw_of or name, dataset.variant or ""
        shown = f"{base}_{re.sub('[^a-z0-9]+', '_', variant.lower()).strip('_')}" if variant else base
        earlier = found[shown].draws if shown in found else ()
        found[shown] = Joined((*earlier, name), base, variant)
    return found


def doses(params: Params, draws: Mapping[str, Joined], base: str) -> dict[str, float]:
    """How often the shortcut fits the label in the known sources of a phantom and of its variants, 0..1.

    Only of those variants that differ from `base` in this, and in nothing else; by the name under which they
    are shown, rising. Empty for real data.
    """
    plain = _drawn_with(params, draws[base].draws[0])
    found = {}
    for name, group in draws.items():
        settings = _drawn_with(params, group.draws[0]) if group.base == draws[base].base else None
        if not (plain and settings and AGREEMENT in settings):
            continue
        same = settings[AGREEMENT] == plain[AGREEMENT]  # a variant in another respect, such as its network
        if _but_agreement(settings) == _but_agreement(plain) and not (same and group.variant):
            found[name] = float(settings[AGREEMENT])
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _drawn_with(params: Params, dataset: str) -> dict[str, Any] | None:
    """The settings of the generator that drew a data set, defaults too; None where none did."""
    root = params.datasets[dataset].root
    for task, choice in params.phantoms.tasks.items():
        if root == str(PHANTOMS / task):
            return catalogue.filled("drawing", choice)
    return None


def _but_agreement(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in (AGREEMENT, "seed")}
