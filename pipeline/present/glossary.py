"""The words of the page, each explained once: quantities, the methods of this run, the field's terms."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from pipeline.common import catalogue
from pipeline.common.config import Method, Params
from pipeline.present.quantities import QUANTITIES
from pipeline.present.results import Grid


class Word(NamedTuple):
    """A word, its anchor on the page, and what it means."""

    word: str
    anchor: str
    meaning: str


TERMS = {
    "AUROC": "Area under the ROC curve: the probability that an image of label 1 scores higher than one of "
    "label 0. 0.5 is chance.",
    "CAM": "Class activation map (Zhou et al., CVPR 2016): how much each place of the last layer adds to "
    "the score of a class. The true CAM is that of the image's label, the false CAM that of the "
    "other label.",
    "difference salience": "True CAM minus false CAM, all that a two-class softmax sees: red speaks for "
    "the label, blue against it.",
    "human map": "Where people looked, or what they marked, when they judged an image.",
    "phantom": "An image that a program drew, so that its cause and its shortcut are known exactly. What "
    "holds on phantoms is no claim about real images.",
    "cause": "What makes an image of label 1 one, and what people are asked to mark.",
    "shortcut": "A mark that goes with the label in the known sources only, such as a pad, a glare or a "
    "flare.",
    "known and held-out sources": "Known ones were trained on; held-out ones were never seen, in training "
    "or in any choice.",
    "unit": "One training of every method on the same data with the same seed; differences are paired by "
    "unit.",
    "control": "A method with other maps than the image's own: what remains of a gain with it is not due to "
    "the maps.",
    "floor, ceiling": "A floor needs no network. A ceiling was told what no data set of images tells.",
    "concept": "A place that comes back from image to image and adds to the decision.",
    "interval": "In brackets: where the mean would lie in repetitions, by bootstrap. A line spans it, a dot "
    "is the mean.",
}  # fmt: skip


def entries(grid: Grid, params: Params, quantities: Iterable[str]) -> dict[str, list[Word]]:
    """Heading -> entries, in the order of the page."""
    measured = {QUANTITIES[name].title: QUANTITIES[name].meaning for name in quantities}
    methods = {name: _method(params.methods[name]) for name in dict.fromkeys(grid.cells["method"])}
    groups = {
        "What is measured": ("quantity", measured),
        "Methods": ("method", methods),
        "Terms": ("term", TERMS),
    }
    return {
        heading: [Word(word, anchor(kind, word), meaning) for word, meaning in words.items()]
        for heading, (kind, words) in groups.items()
    }


def anchor(kind: str, word: str) -> str:
    """The fragment of an entry; a method and a term may go by one word.

    >>> anchor("term", "floor, ceiling")
    'term-floor--ceiling'
    """
    return f"{kind}-" + "".join(letter if letter.isalnum() else "-" for letter in word.lower())


def _method(method: Method) -> str:
    """A method in words: the first lines of its members' files, and which maps it is given."""
    said = [_member("model/losses", method.loss)]
    said += [_member("model/regularisers", choice) for choice in method.regularisers]
    if method.map_source != "human":
        said.append(f"Maps: {_map_source(method.map_source)}")
    if method.activation is not None:
        said.append(_member("model/activations", method.activation))
    if method.weight_decay is not None:
        said.append(f"Weight decay {method.weight_decay:g}.")
    return " ".join(said)


def _member(folder: str, choice: Mapping[str, Any]) -> str:
    """The first line of a member's file, after its name and the settings that were chosen."""
    settings = ", ".join(f"{key} {value}" for key, value in choice.items() if key != "name")
    name = str(choice["name"])
    about = _first_line(_parsed(f"{folder}/{name}.py"))
    return f"{name} ({settings}): {about}" if settings else f"{name}: {about}"


def _map_source(name: str) -> str:
    functions = [node for node in _parsed("model/map_sources.py").body if isinstance(node, ast.FunctionDef)]
    return next(_first_line(node) for node in functions if node.name == name)


@cache
def _parsed(file: str) -> ast.Module:
    """Read, not imported: no network is needed for words about it."""
    return ast.parse((catalogue.PACKAGE / file).read_text(encoding="utf-8"))


def _first_line(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]
