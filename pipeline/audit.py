"""Audit any torch network: what it decides by, where it looks, and what its explanations are worth.

    python -m pipeline.audit --model mine.py:network --data iris
    python -m pipeline.audit --weights densenet121.pth --class 3 --data cxr

The function takes nothing and returns a torch.nn.Module. Its forward takes images (N, C, S, S) in [0, 1], as
`prepare` leaves them, and ends in global average pooling and a linear layer: one output, two, or many with
--class. A file of weights is the state dict of a DenseNet-121, as torchvision and TorchXRayVision name it.

Nothing is trained. The network becomes a two-logit CAM classifier as it is (pipeline/model/adopted.py) and is
measured as `evaluate`, `identify` and `robustness` measure trained cells, with every attack that params.yaml
names. Leaves tables, record.json, pictures and index.html in audited/<function>-<data set>/.
"""

import argparse
import copy
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pipeline.common.cli import exit_with, stage_parser
from pipeline.common.code import code_hash
from pipeline.common.config import Params, load
from pipeline.common.errors import UserError, nearest
from pipeline.common.files import building, sha256_file
from pipeline.common.paths import AUDITED, PAGE, PREPARED
from pipeline.common.progress import working
from pipeline.data.store import Store, open_unchanged
from pipeline.grid import measurements, measuring, records
from pipeline.grid.cells import Cell, Task, key
from pipeline.measure import evaluation, identification, under_attack
from pipeline.model.adopted import Adopted, adopt
from pipeline.model.batches import as_floats
from pipeline.model.densenet_file import DenseNetFile
from pipeline.model.devices import choose_device
from pipeline.model.python_file import network_of
from pipeline.present.audited import Audit, answers, draw, sentence, write_page

TRIED = 8  # images that a network is tried on before it is measured
CODE = (
    "pipeline.model.adopted:adopt",
    "pipeline.measure.evaluation:measure",
    "pipeline.measure.identification:measure",
)


def audit(
    params: Params,
    dataset: str,
    *,
    model: str | None = None,
    weights: Path | None = None,
    output: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure a network on a prepared data set; raises UserError for what is not there or does not fit.

    model: `file.py:function`, or weights: a file, one of the two. output: which of the network's outputs
    speaks for label 1. out: the folder to write to.
    """
    if dataset not in params.datasets:
        raise UserError(f"--data {dataset!r} is not in params.yaml: {nearest(dataset, params.datasets)}")
    store = open_unchanged(PREPARED / dataset)
    name, file, network = open_network(model, weights)
    out = out or AUDITED / f"{name}-{dataset}"
    if out.exists() and (records.read(out) or {}).get("stage") != "audit":
        raise UserError(f"{out}: exists and is no earlier audit; give another --out")
    rows = np.linspace(0, len(store.labels) - 1, TRIED).astype(int)
    adopted = adopt(network, as_floats(store.images[rows], choose_device(params.train.device)), output)
    about = {"name": name, "output": output, "file": file.name, "sha256": sha256_file(file)}
    started = time.perf_counter()
    with working(f"{name} on {dataset}"), building(out) as folder:
        task = describe(params, adopted, store, folder, about)
        found = measure(params, adopted, store, name)
        write(found, store, task, {"total_s": time.perf_counter() - started})
    print(sentence(found))
    for question, answer in answers(found).items():
        print(f"  {question:25} {answer}")
    print(f"see {out / 'index.html'}")


def open_network(model: str | None, weights: Path | None) -> tuple[str, Path, nn.Module]:
    """What a network is called, the file that it is from, and itself."""
    if weights is not None:
        return weights.stem, weights, DenseNetFile(weights)
    file, _, function = (model or "").rpartition(":")
    if not file or not function.isidentifier():
        raise UserError(f"--model {model}: expected file.py:function")
    return function, Path(file), network_of(Path(file), function)


def measure(params: Params, adopted: Adopted, store: Store, name: str) -> Audit:
    """All measurements; an attack that cannot be run on the network is noted with its reason."""
    attacked, refused = {}, {}
    for attack, chosen in params.robustness.attacks.items():
        settings = {**params.robustness.settings_of(chosen), "seed": 0}
        try:
            attacked[attack] = under_attack.measure(copy.deepcopy(adopted), store, settings)
        except UserError as error:
            refused[attack] = " ".join(error.problems)
    return Audit(
        name,
        evaluation.measure(adopted, store, measurements.evaluation(params, store)),
        identification.measure(adopted, store, measurements.identification(params)),
        attacked,
        refused,
    )


def write(found: Audit, store: Store, task: Task, timings: dict[str, float]) -> None:
    """Tables, pictures, the page and, last, the record, in the task's folder."""
    parts = {"evaluate": (found.evaluated, "evaluate"), "identify": (found.identified, "identify")}
    parts |= {f"robustness/{name}": (each, "robustness") for name, each in found.attacked.items()}
    files = [
        f"{place}/{file}"
        for place, (measured, stage) in parts.items()
        for file in measuring.write(measured, task.folder / place, stage)
    ]
    captions = draw(found, store, task.folder)
    write_page(task.folder / PAGE, found, store, captions, files)
    results = {
        f"{place}/{name}": value for place, (each, _) in parts.items() for name, value in each.results.items()
    }
    records.write(task, stage="audit", files=[*files, *captions, PAGE], results=results, timings=timings)


def describe(params: Params, adopted: Adopted, store: Store, folder: Path, about: dict[str, Any]) -> Task:
    """The audit as a task: all that its results are a function of."""
    attacks = params.robustness.attacks
    settings = {
        "network": {**about, "tensors": digest(adopted)},
        "truth": store.truth_digest(),
        "evaluate": measurements.evaluation(params, store),
        "identify": measurements.identification(params),
        "robustness": {name: params.robustness.settings_of(each) for name, each in attacks.items()},
    }
    attacking = {entry for each in attacks.values() for entry in measurements.attack_code(each, params)}
    program = code_hash(*CODE, *sorted(attacking))
    seen = store.digest("train", *measuring.SEEN)
    cell = Cell(store.info["dataset"], about["name"], "audited", 0)
    return Task(cell, folder, key(settings, seen, program), settings, seen, program)


def digest(network: nn.Module) -> str:
    """Hex SHA-256 of all parameters and buffers by name."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made: argparse.ArgumentParser = stage_parser("audit", __doc__)
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="file.py:function, a function that returns a torch.nn.Module")
    source.add_argument("--weights", type=Path, help="state dict of a DenseNet-121, .safetensors or .pth")
    made.add_argument("--data", required=True, help="a data set of params.yaml, prepared")
    made.add_argument("--class", dest="output", type=int, help="which output speaks for label 1, from 0")
    made.add_argument("--out", type=Path, help="folder to write to (default audited/<function>-<data set>)")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    exit_with(
        lambda: audit(
            load(args.params),
            args.data,
            model=args.model,
            weights=args.weights,
            output=args.output,
            out=args.out,
        ),
        debug=args.debug,
        name="audit",
    )


if __name__ == "__main__":
    main()
