"""What was found, in a sentence per data set and one for all, as the page and the end of a run say it."""

from collections.abc import Iterable

import pandas as pd

from pipeline.present.comparisons import verdicts
from pipeline.present.results import Grid
from pipeline.present.tables import Table, bracketed_texts, gain_texts
from pipeline.score.stats import FEWEST

# On phantoms a method decides by what people marked if, on average over its units, one number is at least and
# the other at most this: the bounds that the study set itself.
CONFLICT, WITHOUT_CAUSE = 0.90, 0.65
DECIDES = "by what people marked"
SOURCES = {  # a quantity of data sets without those tests, the first that one has -> which images it is of
    "held_out_auroc": "sources never seen in training",
    "closed_auroc": "test images of known sources",
}


def overall(main: Table, grid: Grid) -> str:
    """One sentence for all data sets, or theirs one after the other where they are not all phantoms."""
    plain = _plain(main, grid)
    tested = {name: _tests(rows) for name, rows in plain.items()}
    if len(plain) < 2 or any(tests.empty for tests in tested.values()):
        return " ".join(sentences(main, grid).values())
    passed = pd.concat(tested.values())["passes"].groupby(level="method", sort=False).sum()
    some = [
        f"{name} on {count}{f' of {len(plain)} data sets' if place == 0 else ''}"
        for place, (name, count) in enumerate(passed[passed > 0].sort_values(ascending=False).items())
    ]
    none = _listed(passed.index[passed == 0])
    if not some:
        return f"No method decides {DECIDES} on any of {len(plain)} data sets."
    rest = f"; {none} on none" if none else ""
    return f"Who decides {DECIDES}: {_listed(some)}{rest}."


def sentences(main: Table, grid: Grid) -> dict[str, str]:
    """Data set -> what was found on it; of several backbones the first."""
    found = {}
    for name, rows in _plain(main, grid).items():
        said = _said_of_phantoms(rows) or _said_of_sources(rows, main, grid)
        found[name] = f"{grid.datasets[name].title}: {said}"
    return found


def _plain(main: Table, grid: Grid) -> dict[str, pd.DataFrame]:
    """Data sets that vary no other -> the defined rows of their first backbone, with text."""
    rows = main.tidy[(main.tidy["n"] > 0) & ~main.tidy["dataset"].isin(grid.variants())]
    rows = rows.assign(text=bracketed_texts(rows))
    return {
        str(name): own[own["backbone"] == own["backbone"].iloc[0]]
        for name, own in rows.groupby("dataset", sort=False)
    }


def _tests(rows: pd.DataFrame) -> pd.DataFrame:
    """By method in its own right: the means of both tests, their text, and whether it passes.

    Empty where a data set has not both tests.
    """
    own = rows[rows["beside"] == ""]
    names = ("conflict_auroc", "without_cause")
    one, two = (own[own["quantity"] == name].set_index("method")[["mean", "text"]] for name in names)
    both = one.join(two, how="inner", lsuffix="_conflict", rsuffix="_without")
    passes = (both["mean_conflict"] >= CONFLICT) & (both["mean_without"] <= WITHOUT_CAUSE)
    return both.assign(passes=passes)


def _said_of_phantoms(rows: pd.DataFrame) -> str:
    """Which methods decide by what people marked; blank where that was not tested."""
    tests = _tests(rows)
    if tests.empty:
        return ""
    lines = {
        str(row.Index): f"{row.Index} (conflict {row.text_conflict}, without cause {row.text_without})"
        for row in tests.itertuples()
    }
    passed = list(tests.index[tests["passes"]])
    if not passed:
        nearest = str(tests["mean_conflict"].idxmax())
        return f"no method decides {DECIDES}; the highest conflict has {lines[nearest]}."
    does = _listed(lines[name] for name in passed) + (" decide" if len(passed) > 1 else " decides")
    others = list(tests.index[~tests["passes"]])
    rest = f"; {_listed(others)} {'do' if len(others) > 1 else 'does'} not" if others else ""
    return f"{does} {DECIDES}{rest}.{_said_of_controls(rows)}"


def _said_of_controls(rows: pd.DataFrame) -> str:
    controls = rows[(rows["beside"] == "control") & (rows["quantity"] == "conflict_auroc")]
    listed = _listed(
        f"{text} ({name})" for name, text in zip(controls["method"], controls["text"], strict=True)
    )
    return f" With other maps than the image's own, conflict is {listed}." if listed else ""


def _said_of_sources(rows: pd.DataFrame, main: Table, grid: Grid) -> str:
    """Which method has the highest AUROC, on unseen sources if there are any, and what that is worth."""
    own = rows[rows["beside"] == ""]
    quantity = next((name for name in SOURCES if (own["quantity"] == name).any()), None)
    if quantity is None:
        return "no method has been measured."
    values = own[own["quantity"] == quantity].set_index("method")
    best, reference = str(values["mean"].idxmax()), grid.references[0]
    most = f"{best} has the highest AUROC of {len(values)} methods, {values['text'][best]}"
    said = f"on {SOURCES[quantity]}, {most}"
    gains = main.differences
    gain = gains[
        (gains["dataset"] == rows["dataset"].iloc[0])
        & (gains["backbone"] == rows["backbone"].iloc[0])
        & (gains["quantity"] == quantity)
        & (gains["method"] == best)
        & (gains["other"] == reference)
    ]
    if gain.empty:
        return f"{said}."
    words = {"unclear": ", which may be chance", "few": f"; fewer than {FEWEST} units give no verdict"}
    (verdict,), (text,) = verdicts(gain, grid.confidence), gain_texts(gain)
    return f"{said}; its difference to {reference} is {text}{words.get(verdict, '')}."


def _listed(words: Iterable[str]) -> str:
    """
    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
