"""What an audit found of somebody's network: a sentence, an answer to each question, and a page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.common.files import write_text
from pipeline.data.store import Store
from pipeline.measure import Measurement
from pipeline.measure.counterfactuals import KIND
from pipeline.present import attack_gallery, gallery
from pipeline.present.answer import CONFLICT, DECIDES, WITHOUT_CAUSE
from pipeline.present.page import template

SAMPLES = 6  # test images whose maps are shown
MAPS = (
    "Test images and maps. Each CAM runs over its own range; their difference is red for the true label "
    "and blue against it."
)
REGIONS = "the regions that come back, three examples of each kind (a concept), the heaviest first."


class Audit(NamedTuple):
    """All that was measured of one network on one data set."""

    name: str
    evaluated: Measurement
    identified: Measurement
    attacked: dict[str, Measurement]  # by the attack's name
    refused: dict[str, str]  # attacks that could not be run, and why


def sentence(audit: Audit) -> str:
    """What was found, in one sentence."""
    found = audit.evaluated.results
    conflict, without, gap = (found[name] for name in ("conflict_auroc", "without_cause", "evidence_gap"))
    if not np.isnan(conflict + without):
        does = "decides" if conflict >= CONFLICT and without <= WITHOUT_CAUSE else "does not decide"
        return f"{audit.name} {does} {DECIDES} (conflict {conflict:.2f}, without cause {without:.2f})."
    if not np.isnan(gap):
        more, less = ("what people marked", "the rest") if gap > 0 else ("the rest", "what people marked")
        return (
            f"{audit.name} gets more from {more} of an image than from {less} (AUROC apart: {abs(gap):.2f})."
        )
    auroc = found["closed_auroc"]
    return f"{audit.name} has a closed AUROC of {auroc:.2f}; no human map tells what it decides by."


def answers(audit: Audit) -> dict[str, str]:
    """Question -> what was found, in an order to read; only what the data set can tell."""
    found = {
        "tells the labels apart": _detection(audit.evaluated),
        "looks where people look": _alignment(audit.evaluated.tables["alignment"]),
        "needs what people marked": _marked(audit.evaluated.tables["counterfactuals"]),
        "follows a shortcut's mark": _conflict(audit.evaluated.results),
        "decides by the cause": _cause(audit.evaluated.results),
        "relies on": _regions(audit.identified),
    }
    found |= {f"under {name}": _attack(each.tables["values"]) for name, each in audit.attacked.items()}
    found |= {f"under {name}": f"could not be run: {why}" for name, why in audit.refused.items()}
    return {question: answer for question, answer in found.items() if answer}


def draw(audit: Audit, store: Store, folder: Path) -> dict[str, str]:
    """Write the pictures into `folder`, where the tables of the attacks are; gives file -> caption."""
    captions = {}
    for file, caption, sheet in _sheets(audit, store):
        gallery.save(sheet, f"{audit.name}, {store.info['title']}", folder / file)
        captions[file] = caption
    return captions


def write_page(
    path: Path, audit: Audit, store: Store, captions: Mapping[str, str], files: Sequence[str]
) -> None:
    """Write the page; captions: of pictures beside it; files: tables to link."""
    text = template("audited.html.j2").render(
        title=f"{audit.name} on {store.info['title']}",
        phantom=store.info["phantom"],
        notice=store.info["notice"],
        sentence=sentence(audit),
        answers=answers(audit),
        captions=captions,
        files=files,
    )
    write_text(path, text)


def _sheets(audit: Audit, store: Store) -> Iterator[tuple[str, str, gallery.Sheet]]:
    shown = audit.evaluated.arrays or {}
    maps = gallery.Maps(shown["index"], shown["cams"], shown["logit_difference"])
    chosen = gallery.choose(store, maps.rows, SAMPLES)
    if chosen:
        yield "maps.png", MAPS, gallery.gallery(store, {audit.name: maps}, chosen)
    for predicted in (0, 1):
        found = {audit.name: (audit.identified.tables["concepts"], audit.identified.tables["exemplars"])}
        if (found[audit.name][0]["predicted"] == predicted).any():
            caption = f"What decisions for label {predicted} rest on: {REGIONS}"
            yield f"regions_{predicted}.png", caption, gallery.exemplars(store, found, predicted)
    for name, each in audit.attacked.items():
        pictures = each.arrays or {}
        sheet = attack_gallery.sheet(pictures, store.images[pictures["index"]])
        if sheet is not None:
            yield f"robustness/{name}/picture.png", f"Test images and maps under {name}.", sheet


def _detection(evaluated: Measurement) -> str:
    metrics = evaluated.tables["metrics"].set_index(["scope", "source", "metric"])["value"]
    low, high = (metrics.get(("closed", "", name), np.nan) for name in ("auroc_low", "auroc_high"))
    auroc, unseen = (evaluated.results[name] for name in ("closed_auroc", "open_auroc"))
    text = f"AUROC {auroc:.2f} [{low:.2f}, {high:.2f}] on test images of known sources"
    text += "" if np.isnan(unseen) else f", {unseen:.2f} on held-out sources"
    return text + ("; is the right output called label 1 (--class)?" if high < 0.5 else "")


def _alignment(table: pd.DataFrame) -> str:
    own = table[
        (table["role"] == "test_closed") & (table["reference"] == "human") & (table["metric"] == "cc")
    ]
    if own.empty:
        return ""
    cc = own.set_index("map")["value"]
    return (
        f"correlation with human maps {cc['true_cam']:.2f} (CAM of the true label), "
        f"{cc['difference_salience']:.2f} (difference salience), {own['n'].max()} images"
    )


def _marked(table: pd.DataFrame) -> str:
    auroc = table.set_index(["role", "source", *KIND])["auroc"]
    tests = ("as_is", "without", "only")
    values = [auroc.get(("test_closed", "", "human", "blur", test), np.nan) for test in tests]
    if np.isnan(values).all():
        return ""
    whole, without, only = values
    return f"AUROC {whole:.2f}, {without:.2f} with the marked region blurred, {only:.2f} with it alone"


def _conflict(results: Mapping[str, float]) -> str:
    value = results["conflict_auroc"]
    return (
        ""
        if np.isnan(value)
        else f"AUROC {value:.2f} where the mark contradicts the label; following it gives 0"
    )


def _cause(results: Mapping[str, float]) -> str:
    value = results["without_cause"]
    return "" if np.isnan(value) else f"AUROC {value:.2f} with the cause drawn out; deciding by it gives 0.5"


def _regions(identified: Measurement) -> str:
    found = identified.results
    text = f"{found['concepts']:.0f} kinds of regions that come back"
    weight = found["shortcut_weight"]
    return text + (
        "" if np.isnan(weight) else f"; {weight:.0%} of what speaks for label 1 is called a shortcut"
    )


def _attack(values: pd.DataFrame) -> str:
    """The lines that a hoax or an attack on decisions has; of another kind, where to read it."""
    whole = values[values["explanation"] == ""]
    once = whole[whole["budget"].isna()].set_index("metric")["value"]
    maps = values[values["explanation"] != ""].set_index(["explanation", "metric"])["value"]
    said = []
    if ("cam", "border_after") in maps:
        before, after = (maps["cam", f"border_{moment}"] for moment in ("before", "after"))
        said.append(f"CAM's energy in the border {before:.2f} -> {after:.2f}")
    if ("difference_salience", "pearson_clean") in maps:
        kept = maps["difference_salience", "pearson_clean"]
        said.append(f"difference salience correlates {kept:.2f} with its clean map")
    if "accuracy_after" in once:
        said.append(f"accuracy {once['accuracy_before']:.2f} -> {once['accuracy_after']:.2f}")
    curves = whole[whole["metric"].isin(["accuracy_linf", "accuracy_l2"]) & whole["budget"].notna()]
    for metric, curve in curves.groupby("metric", sort=False):
        points = [f"{row.value:.2f} at {row.budget:.3g}" for row in curve.itertuples()]
        said.append(
            f"accuracy by largest change ({str(metric).removeprefix('accuracy_')}): {', '.join(points)}"
        )
    return "; ".join(said) or "see its values.csv"
