"""Writes what the stage `robustness` leaves of attacks on invented cells.

Single-class maps follow a hoax and the others stay; what `gain` a method has makes it hold by as much more.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.config import Params
from pipeline.common.files import sha256_file, sha256_text, write_csv, write_json
from pipeline.common.paths import CELLS, CIRCUMSTANCES, RECORD
from pipeline.common.seeding import numpy_rng
from pipeline.grid.cells import Cell

PLANNED = {  # name -> one attack of each kind, on some methods or seeds only
    "hoax": {"attack": {"name": "sham"}},
    "pushed": {"attack": {"name": "passive_fooling"}, "methods": ["cross_entropy", "cyborg"], "seeds": [0]},
    "moved": {"attack": {"name": "manipulation"}},
    "bounded": {"attack": {"name": "pgd"}},
    "smallest": {"attack": {"name": "minimal_perturbation"}},
}
EXPLANATIONS = ("cam", "grad_cam", "diff_grad_cam", "difference_salience", "gradient")
SINGLE = ("cam", "grad_cam")
GRID, SHOWN = 6, np.array([25, 24, 27, 26])  # cells of a CAM; rows of the store, both labels in turn
BUDGETS = (0.0, 1 / 255, 2 / 255, 4 / 255)
Row = tuple[str, str, float, float]  # explanation, metric, budget, value
BLANK = float("nan")


def write_attacks(cell: dict[str, Any], settings: Params, salt: str = "") -> None:
    """robustness/ of one trained cell, below the working directory; `salt` makes another key."""
    place = Cell(**cell)
    trained = place.folder(CELLS["train"])
    training = json.loads((trained / RECORD).read_text())
    for name, attack in settings.robustness.planned(place.dataset, place.method, place.seed).items():
        folder = place.folder(CELLS["robustness"]) / name
        kind = attack.attack["name"]
        write_csv(folder / "values.csv", values(cell, kind))
        np.savez(folder / "pictures.npz", **pictures(cell, kind))
        files = {path: sha256_file(folder / path) for path in ("values.csv", "pictures.npz")}
        made_of = {"train": training["key"], "robustness": settings.robustness.settings_of(attack)}
        key = sha256_text(f"{name}{training['key']}{salt}")
        record = training | {"stage": "robustness", "key": key, "settings": made_of, "files": files}
        shutil.copy(trained / CIRCUMSTANCES, folder / CIRCUMSTANCES)
        write_json(folder / RECORD, record)


def values(cell: dict[str, Any], kind: str) -> pd.DataFrame:
    """values.csv of one attack."""
    from fake_results import GAIN

    gain, noise = GAIN[cell["method"]], 0.01 * cell["seed"]
    makers = {"sham": _hoax, "passive_fooling": _hoax, "manipulation": _manipulation, "pgd": _pgd,
              "minimal_perturbation": _smallest}  # fmt: skip
    rows = list(makers.get(kind, _unheard_of)(gain, noise))
    if kind == "passive_fooling":
        rows = [row for row in rows if "target" not in row[1]] + [("grad_cam", "fooling_rate", BLANK, 0.9)]
    frame = pd.DataFrame(rows, columns=["explanation", "metric", "budget", "value"])
    return frame.assign(n=32, undefined=(frame["metric"] == "pearson_clean").astype(int))


def _unheard_of(gain: float, noise: float) -> Iterator[Row]:
    """What an attack reports that came after the report was written."""
    yield "", "bent_spoons", 0.25, gain + noise
    yield "cam", "turned_away", BLANK, 0.5


def _hoax(gain: float, noise: float) -> Iterator[Row]:
    for metric, value in (("accuracy", 0.95), ("auroc", 0.98)):
        yield "", f"{metric}_before", BLANK, value
        yield "", f"{metric}_after", BLANK, value - noise
    yield "", "probability_change", BLANK, 0.02
    for explanation in EXPLANATIONS:
        follows = explanation in SINGLE
        stays = 0.1 + gain + noise if follows else 0.9
        for metric in ("mse", "pearson", "ssim"):
            yield explanation, f"{metric}_clean", BLANK, stays
            yield explanation, f"{metric}_target", BLANK, 1 - stays
            yield explanation, f"{metric}_target_before", BLANK, 0.05
        for metric, before, after in (("border", 0.3, 0.9), ("entropy", 3.1, 3.4), ("cc", 0.4, -0.3),
                                      ("energy_pointing", 0.5, 0.1)):  # fmt: skip
            yield explanation, f"{metric}_before", BLANK, before
            yield explanation, f"{metric}_after", BLANK, after if follows else before


def _manipulation(gain: float, noise: float) -> Iterator[Row]:
    for turn, explanation in enumerate(EXPLANATIONS[1:]):
        stays = 0.4 + gain + noise + 0.08 * turn
        for metric in ("mse", "pearson", "ssim"):
            yield explanation, f"{metric}_clean", BLANK, 1 - stays if metric == "mse" else stays
            yield explanation, f"{metric}_target", BLANK, 0.6
            yield explanation, f"{metric}_target_before", BLANK, 0.1
        for metric, value in (("probability_change", 0.01), ("decision_changes", 0.0), ("input_linf", 0.03),
                              ("input_rms", 0.02)):  # fmt: skip
            yield explanation, metric, BLANK, value


def _pgd(gain: float, noise: float) -> Iterator[Row]:
    yield "", "auroc_clean", BLANK, 0.97 + noise
    for norm, hardness in (("linf", 160.0), ("l2", 80.0)):
        for budget in BUDGETS:
            yield "", f"accuracy_{norm}", budget, 0.9 * float(np.exp(-hardness * budget * (1 - gain))) + noise
    yield "", "accuracy_linf_unbounded", BLANK, 0.0
    yield "", "masking_linf", BLANK, float(gain == 0.1 and noise == 0)


def _smallest(gain: float, noise: float) -> Iterator[Row]:
    for metric, value in (("ara_attack", 0.01), ("ara_btr", 0.015), ("accuracy_clean", 0.95),
                          ("auroc_clean", 0.97), ("radius_median", 0.02), ("unbroken", 0.0)):  # fmt: skip
        yield "", metric, BLANK, value + noise / 100 + (gain / 10 if "ara" in metric else 0)
    for metric, hardness in (("accuracy_attack", 60), ("accuracy_btr", 50)):
        for budget in np.linspace(0, 0.1, 11):
            yield "", metric, float(budget), float(np.exp(-hardness * budget * (1 - gain)))


def pictures(cell: dict[str, Any], kind: str) -> dict[str, np.ndarray]:
    """pictures.npz of one attack."""
    rng = numpy_rng(cell["seed"], kind)
    images = np.load(f"data/prepared/{cell['dataset']}/images.npy")[SHOWN].astype(np.float32)
    maps = {name: blobs(rng, images.shape[-1] if name == "gradient" else GRID) for name in EXPLANATIONS}
    if kind not in ("manipulation", "pgd", "minimal_perturbation"):
        frame = np.pad(np.zeros((GRID - 2, GRID - 2), np.float32), 1, constant_values=1)
        before = {f"before_{name}": found for name, found in maps.items()}
        after = {
            f"after_{name}": frame + 0.2 * found if name in SINGLE else found for name, found in maps.items()
        }
        return {"index": SHOWN, **({"target": frame} if kind == "sham" else {}), **before, **after}
    changed = {step: _pixels(images + step * blobs(rng, images.shape[-1])[:, None]) for step in (-30, 6, 30)}
    if kind == "manipulation":
        found = {"index": SHOWN}
        for name in EXPLANATIONS[1:]:
            about = {
                "images": changed[6],
                "before": maps[name],
                "after": maps[name][::-1],
                "target": maps[name][::-1],
            }
            found |= {f"{key}_{name}": array for key, array in about.items()}
        return found
    if kind == "pgd":
        return {"index": SHOWN}
    scores = {f"logit_difference{key}": rng.normal(mean, 1, len(SHOWN)) for key, mean in
               (("", 0), ("_towards_0", -4), ("_towards_1", 4))}  # fmt: skip
    return {"index": SHOWN, "towards_0": changed[-30], "towards_1": changed[30], **scores}


def blobs(rng: np.random.Generator, side: int) -> np.ndarray:
    """One round blob per shown image, float32 (k, side, side)."""
    y, x = np.mgrid[:side, :side] / side
    centres = rng.uniform(0.2, 0.8, (len(SHOWN), 2))
    return np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.03) for a, b in centres]).astype(np.float32)


def _pixels(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).round().astype(np.uint8)
