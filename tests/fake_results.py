"""Writes prepared stores and the records of trained, evaluated and identified cells, without training.

Numbers are drawn so that guided methods are better by a known amount; the columns are the stages' own.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from fake_attacks import write_attacks
from PIL import Image

from pipeline.common.config import Params, parse
from pipeline.common.files import sha256_file, sha256_text, write_json, write_text
from pipeline.common.paths import CIRCUMSTANCES, RECORD
from pipeline.common.seeding import numpy_rng
from pipeline.data import manifest, protocol, store
from pipeline.grid import records
from pipeline.measure import scopes, strata
from pipeline.score import metrics

SIZE, GRID = 32, 6
METHODS = {
    "cross_entropy": {"loss": {"name": "cross_entropy"}},
    "cyborg": {"loss": {"name": "cyborg", "alpha": 0.5}},
    "difference_salience": {"loss": {"name": "difference_salience", "alpha": 0.5}},
    "divergence_shuffled": {"loss": {"name": "divergence", "alpha": 0.5}, "map_source": "shuffled"},
}
SOFTPLUS = {"name": "softplus", "beta": 20}
VARIANTS = {  # of cross_entropy, each with one defence more
    "decayed": {"loss": {"name": "cross_entropy"}, "weight_decay": 0.1},
    "smooth": {"loss": {"name": "cross_entropy"}, "activation": SOFTPLUS},
    "flat": {
        "loss": {"name": "cross_entropy"},
        "activation": SOFTPLUS,
        "regularisers": [{"name": "hessian", "weight": 0.01}],
    },
}
GAIN = {"cross_entropy": 0.0, "cyborg": 0.05, "difference_salience": 0.12, "divergence_shuffled": -0.02,
        "decayed": 0.03, "smooth": 0.1, "flat": 0.2}  # fmt: skip
PROTOCOL = {
    "known": {"0": ["site_a"], "1": ["site_a"]},
    "held_out": {"0": ["site_c"], "1": ["site_c", "unseen_type"]},
    "novel": ["unseen_type"],
}
FLOORS = {"block_means": 0.3, "patch_detector": 1.2}  # strength of their scores


def params(
    datasets: int = 1, seeds: int = 3, about: dict[str, dict[str, Any]] | None = None, **changes: Any
) -> Params:
    """Settings of a small grid; `about` adds to data sets by name, `changes` replace whole sections."""
    dataset = {
        "phantom": True,
        "notice": "phantom: drawn, not a real image",
        "task": "cxr_anomaly",
        "root": "data/raw",
        "adapters": [],
        "channels": 1,
        "crop": "none",
        "annotations": {"granularity": "map", "blur": 0},
        "split": {"by": "subject", "val": 0.2, "test": 0.2},
        "protocol": {**PROTOCOL, "threshold": {"rule": "bpcer", "value": 0.1}},
    }
    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = {
        name: {"title": f"Toy {name[4:]} (phantom)", **dataset, **(about or {}).get(name, {})}
        for name in (f"toy_{i}" for i in range(datasets))
    }
    raw["methods"] = METHODS
    raw["robustness"]["attacks"] = {}
    raw["train"]["seeds"] = list(range(seeds))
    raw["train"]["epochs"] = 4
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if isinstance(value, dict) else value
    return parse(raw)


def write_store(folder: Path, name: str, phantom: bool = True) -> None:
    """A prepared data set of 56 little images: a blob marks the abnormal ones."""
    rng = numpy_rng(0, name)
    rows = []
    arrays: dict[str, list[np.ndarray]] = {"images": [], "maps": [], "truth/causal": [], "truth/shortcut": []}
    plan = [("train", "site_a")] * 16 + [("val", "site_a")] * 8 + [("test", "site_a")] * 12
    plan += [("test", "site_c")] * 14 + [("test", "unseen_type")] * 6
    for index, (split, source) in enumerate(plan):
        label = 1 if source == "unseen_type" else index % 2
        image = rng.integers(60, 120, (1, SIZE, SIZE), dtype=np.uint8)
        blob, corner = np.zeros((2, SIZE, SIZE), np.uint8)
        y, x = rng.integers(4, SIZE - 10, 2)
        blob[y : y + 7, x : x + 6] = 255
        corner[:4, :4] = 255 * (label if source == "site_a" else index // 2 % 2)
        image[0][blob > 0] += 60 * label
        drawn = (image, blob * (source == "site_a"), blob * label, corner)
        for array, value in zip(arrays.values(), drawn, strict=True):
            array.append(value)
        rows.append(_row(name, index, label, split, source))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "manifest.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    for file, array in arrays.items():
        if phantom or not file.startswith("truth"):
            (folder / file).parent.mkdir(exist_ok=True)
            np.save(folder / f"{file}.npy", np.stack(array), allow_pickle=False)
    threshold = {"rule": "bpcer", "value": 0.1}
    open_set = protocol.build({**PROTOCOL, "excluded": [], "threshold": threshold}, "subject")
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    warning = {"code": "W_SHORTCUT", "where": "bits", "message": "bits predict <the> class", "remedy": "-"}
    looks = {"code": "W_SHORTCUT_PIXELS", "where": "pixels: border", "message": "AUROC 0.90", "remedy": "-"}
    Image.new("L", (6, 2), 128).save(folder / "shortcuts.png")
    counts = [{"role": "train", "source": "site_a", "label": 0, "rows": 8, "annotated": 8}]
    write_json(folder / "audit.json", {"findings": [warning, looks], "counts": counts, "quarantined": 0})
    sizes = {"image_size": SIZE, "channels": 1, "crop": "none", "max_megapixels": 4, "max_megabytes": 64}
    info = {"dataset": name, "title": f"{name} (phantom)", "notice": "drawn, not real", "phantom": phantom}
    store.seal(folder, {**info, "task": "cxr_anomaly", "n": len(rows), "preprocessing": sizes})


def _row(name: str, index: int, label: int, split: str, source: str) -> dict[str, str]:
    marked = source == "site_a"
    return {
        **dict.fromkeys(manifest.COLUMNS, ""),
        "sample_id": f"{name}:{index:03d}", "image_path": f"{index:03d}.png",
        "label": str(label), "class_name": "odd" if label else "plain", "source": source, "split": split,
        "subject_id": f"p{index}", "annotators": str(int(marked)),
    }  # fmt: skip


def write_record(folder: Path, stage: str, cell: dict[str, Any], key: str, **more: Any) -> None:
    """A record that lists every file now in `folder`, and how it was made beside it."""
    listed = (path for path in sorted(folder.iterdir()) if path.suffix != ".json")
    timings = more.pop("timings", {"total_s": 2.0})
    record = {
        "schema": records.SCHEMA, "stage": stage, "cell": cell, "key": key, "settings": {},
        "data_hash": "d" * 64, "code_hash": "c" * 64,
        "files": {path.name: sha256_file(path) for path in listed}, "results": {},
    }  # fmt: skip
    circumstances = {
        "started": "2026-01-01T00:00:00.000+00:00", "ended": "2026-01-01T00:00:02.000+00:00",
        "timings": timings, "git_commit": "0" * 40, "versions": {"torch": "2"}, "hardware": {"cpu": "abacus"},
    }  # fmt: skip
    write_json(folder / CIRCUMSTANCES, circumstances)
    write_json(folder / RECORD, record | more)


def record_again(root: Path) -> None:
    """Let every record below `root` describe its files as they are now."""
    for path in root.rglob(RECORD):
        record = json.loads(path.read_text(encoding="utf-8"))
        write_json(
            path, record | {"files": {name: sha256_file(path.parent / name) for name in record["files"]}}
        )


def write_cell(cell: dict[str, Any], salt: str = "") -> None:
    """runs/, evaluate/ and identify/ of one cell, below the working directory."""
    name = f"{cell['dataset']}/{cell['backbone']}/{cell['method']}/{cell['seed']}"
    key = hashlib.sha256((name + salt).encode()).hexdigest()
    _write_run(Path("runs") / name, cell, key)
    _write_evaluation(Path("evaluate") / name, cell, key)
    _write_identification(Path("identify") / name, cell, key)


def _write_run(folder: Path, cell: dict[str, Any], key: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    epochs = np.arange(1, 5)
    falling = np.exp(-epochs / 2) + 0.01 * cell["seed"]
    history = pd.DataFrame(
        {"epoch": epochs, "lr": 0.01, "loss": falling, "classification": falling / 2, "guidance": falling / 3,
         "penalty": falling / 9, "val_loss": falling, "val_auroc": 0.9 - falling / 4,
         "val_alignment": 0.5 - falling / 4}
    )  # fmt: skip
    history.to_csv(folder / "history.csv", index=False, lineterminator="\n", float_format="%.10g")
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    write_record(
        folder, "train", cell, key,
        settings={"backbone": {"name": cell["backbone"], "weights": None}, "seed": cell["seed"],
                  "method": {"loss": (METHODS | VARIANTS)[cell["method"]]["loss"], "alpha": 0.5}},
        timings={"total_s": 2.0 + cell["seed"], "epoch_s": 0.5, "peak_memory_mb": 300.0,
                 "epoch_ends_s": [0.5, 1.0, 1.5, 2.0]},
        results={"best_epoch": 3, "val_auroc": 0.85, "epochs": 4, "parameters": 1000},
    )  # fmt: skip


def _write_evaluation(folder: Path, cell: dict[str, Any], key: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(f"data/prepared/{cell['dataset']}/manifest.csv", dtype=str)
    rng = numpy_rng(cell["seed"], cell["dataset"])  # the same noise for every method: paired seeds
    role = _roles(rows)
    label = rows["label"].astype(int)
    strength = 1.0 + 8 * GAIN[cell["method"]]
    difference = (2 * label - 1) * strength + 2 * rng.normal(size=len(rows))
    scores = _scores(rows, role, difference)
    _csv(folder / "scores.csv", scores)
    _write_errors(folder, cell["dataset"], scores, GAIN[cell["method"]])
    _csv(folder / "alignment.csv", _alignment(cell))
    faith = [
        {"role": r, "order": o, "curve": c, "area": 0.4 + GAIN[cell["method"]], "n": 10}
        for r in ("test_closed", "test_open")
        for o in ("difference_salience", "true_cam", "random")
        for c in ("deletion", "insertion")
    ]
    _csv(folder / "faithfulness.csv", pd.DataFrame(faith))
    chosen = np.array([24, 25, 26, 27, 36, 37, 38, 39], dtype=np.int64)
    shown = rows.iloc[chosen].assign(role=role[chosen], region_of=rows["sample_id"].iloc[25])
    columns = ["sample_id", "role", "label", "region_of", "test", "logit_difference"]
    tests = [
        shown.assign(test=test, logit_difference=difference[chosen] * share)[columns]
        for test, share in (("as_is", 1.0), ("without", 0.4), ("only", 0.8))
    ]
    _csv(folder / "shown_scores.csv", pd.concat(tests))
    cams = rng.normal(size=(len(chosen), 2, GRID, GRID)).astype(np.float32)
    np.savez(folder / "gallery.npz", index=chosen, cams=cams, logit_difference=difference.to_numpy()[chosen])
    results = {"threshold": 0.25, "closed_auroc": 0.8, "open_auroc": 0.7}
    write_record(
        folder, "evaluate", cell, sha256_text("evaluate" + key), results=results, settings={"train": key}
    )


def _scores(rows: pd.DataFrame, role: pd.Series, difference: pd.Series) -> pd.DataFrame:
    about = rows[["sample_id", "source", "class_name", "subject_id"]].assign(label=rows["label"].astype(int))
    places = np.arange(len(rows))
    marked = about["label"].where(rows["source"] == "site_a", places // 2 % 2)
    found = about.assign(role=role, marked=marked, logit_difference=difference)
    return found[found["role"] != "train"]


def _write_errors(folder: Path, dataset: str, scores: pd.DataFrame, gain: float, **more: str) -> None:
    """metrics.csv, strata.csv and counterfactuals.csv of a cell, or the same rows of a floor."""
    novel = PROTOCOL["novel"]
    table = strata.strata_table(scores.assign(marked=scores["marked"] == 1), novel)
    for name, frame in (
        ("metrics", _metrics(scores)), ("strata", table), ("counterfactuals", _counterfactuals(gain))
    ):  # fmt: skip
        path = folder / f"{name}.csv"
        earlier = [pd.read_csv(path, keep_default_na=False, na_values=[""])] if more and path.exists() else []
        _csv(path, pd.concat([*earlier, frame.assign(**more)]))


def _metrics(scores: pd.DataFrame) -> pd.DataFrame:
    """AUROC of the scores, all other errors the same for every cell."""
    unseen = scopes.held_out_groups(scores)
    found = {source: _auroc(group) for source, group in unseen.items()}
    groups = [("closed", "", _auroc(scores[scores["role"] == "test_closed"]))]
    groups += [("held_out", source, auroc) for source, auroc in found.items()]
    groups += [
        (scope, "", float(np.mean([found[source] for source in sources])))
        for scope, sources in scopes.means(unseen, PROTOCOL["novel"]).items()
    ]
    rows = []
    for scope, source, auroc in groups:
        limits = {"auroc_low": auroc - 0.05, "auroc_high": auroc + 0.05} if scope != "macro" else {}
        values = {"auroc": auroc, **limits, "ap": auroc,
                  "eer": 0.2, "apcer_odd": 0.3, "apcer_max": 0.3, "apcer_mean": 0.3, "apcer_pooled": 0.3,
                  "bpcer": 0.1, "acer_max": 0.2, "acer_mean": 0.2, "bpcer10": 0.3, "bpcer20": 0.4,
                  "bpcer100": 0.6, "accuracy": 0.8, "ece": 0.1}  # fmt: skip
        for metric, value in values.items():
            rows.append({"scope": scope, "source": source, "metric": metric, "value": value,
                         "n_negative": 7, "n_positive": 7})  # fmt: skip
    return pd.DataFrame(rows)


def _auroc(scores: pd.DataFrame) -> float:
    return metrics.auroc(scores["label"].to_numpy(), scores["logit_difference"].to_numpy())


def _counterfactuals(gain: float) -> pd.DataFrame:
    """The better a method, the less is left without the region and the more with it alone."""
    left = {"as_is": 0.9, "without": 0.9 - gain, "only": 0.6 + gain}
    fills = {"human": ("blur", "swap"), "cause": ("blur", "swap", "twin"), "shortcut": ("blur", "twin")}
    return pd.DataFrame(
        [
            {"role": role, "source": source, "region": region, "fill": fill, "test": test,
             "auroc": auroc, "change": auroc - 0.9, "n_negative": 6, "n_positive": 6, "n_annotated": 6}
            for role, source in (("val", ""), ("test_closed", ""), ("test_open", "site_c"))
            for region, names in fills.items() for fill in names
            for test, auroc in left.items() if fill != "twin" or test != "only"
        ]
    )  # fmt: skip


def write_floors(dataset: str) -> None:
    """evaluate/<dataset>/floors."""
    folder = Path("evaluate") / dataset / "floors"
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(f"data/prepared/{dataset}/manifest.csv", dtype=str)
    noise = numpy_rng(0, dataset, "floors").normal(size=len(rows))
    found = []
    for name, strength in FLOORS.items():
        answer = (2 * rows["label"].astype(int) - 1) * strength + noise
        found.append(_scores(rows, _roles(rows), answer).assign(floor=name))
        _write_errors(folder, dataset, found[-1], strength / 10, floor=name)
    _csv(folder / "scores.csv", pd.concat(found))
    cell = {"dataset": dataset, "backbone": "scikit-learn", "method": "floors", "seed": 0}
    write_record(folder, "evaluate", cell, sha256_text(f"floors {dataset}"))


def _roles(rows: pd.DataFrame) -> pd.Series:
    role = rows["split"].where(rows["split"] != "test", "test_closed")
    return role.where(rows["source"] == "site_a", "test_open")


def _alignment(cell: dict[str, Any]) -> pd.DataFrame:
    metrics = ("cc", "sim", "kl", "nss", "auc_judd", "pointing", "energy_pointing", "iou")
    return pd.DataFrame(
        [
            {"role": role, "map": kind, "reference": reference, "metric": metric,
             "value": 0.3 + GAIN[cell["method"]] + 0.01 * cell["seed"], "n": 12, "undefined": 0}
            for role, reference in
            (("test_closed", "human"), ("test_closed", "truth"), ("test_open", "truth"))
            for kind in ("true_cam", "false_cam", "difference_salience")
            for metric in metrics
        ]
    )  # fmt: skip


def _write_identification(folder: Path, cell: dict[str, Any], key: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    summary = [
        {"role": role, "metric": metric, "reference": reference, "value": 0.2 + GAIN[cell["method"]], "n": 12}
        for role in ("test_closed", "test_open")
        for metric, references in (
            ("shared_salience", [""]), ("completeness_error", [""]), ("precision", ["causal", "shortcut"]),
            ("recall", ["causal", "shortcut"]), ("iou", ["causal", "shortcut"]),
            ("energy", ["causal", "shortcut"]))
        for reference in references
    ]  # fmt: skip
    _csv(folder / "summary.csv", pd.DataFrame(summary))
    concepts = [
        {"predicted": c, "concept": f, "n_regions": 5, "prevalence": 0.5, "importance": 1.5, "share": 0.4,
         "margin_drop": 0.9, "x": 0.4, "y": 0.4, "area": 0.05}
        for c in (0, 1) for f in (0, 1)
    ]  # fmt: skip
    _csv(folder / "concepts.csv", pd.DataFrame(concepts))
    names = ("shortcut", "cause")
    verdicts = [
        {"predicted": c, "concept": f, "score": 0.9 - 0.6 * f, "verdict": names[f],
         "evidence": "maps sources fill", "weight": 0.5, "inside_maps": f / 2, "n_maps": 3,
         "margin_fall": 0.5, "known_auroc": 0.9, "known_auroc_min": 0.8, "unseen_auroc": 0.6,
         "unseen_auroc_min": 0.5, "in_causal": 0.1 * f, "in_shortcut": 0.1, "truth": names[f]}
        for c in (0, 1) for f in (0, 1)
    ]  # fmt: skip
    _csv(folder / "alarm.csv", pd.DataFrame(verdicts))
    exemplars = [
        {"predicted": c, "concept": f, "rank": r, "sample_id": f"{cell['dataset']}:{24 + r:03d}", "x": 0.3,
         "y": 0.3, "width": 0.2, "height": 0.25}
        for c in (0, 1) for f in (0, 1) for r in range(3)
    ]  # fmt: skip
    _csv(folder / "exemplars.csv", pd.DataFrame(exemplars))
    write_record(folder, "identify", cell, sha256_text("identify" + key), settings={"train": key})


def _csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False, lineterminator="\n", float_format="%.10g")


def write_all(settings: Params) -> list[dict[str, Any]]:
    """Stores and all cells of a grid, below the working directory; the cells' coordinates."""
    written = []
    for dataset in settings.datasets:
        write_store(Path("data/prepared") / dataset, dataset)
        write_floors(dataset)
        for backbone in settings.backbones:
            for method in settings.methods:
                for seed in settings.train.seeds:
                    cell = {"dataset": dataset, "backbone": backbone, "method": method, "seed": seed}
                    write_cell(cell)
                    write_attacks(cell, settings)
                    written.append(cell)
    return written
