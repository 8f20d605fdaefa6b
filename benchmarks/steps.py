"""A guided or a regularised training step against a plain one, and against the published CYBORG loop.

Ours is the step of `train`: channels last, one forward, the loss on the whole batch. Theirs has the default
layout; a row beside it has it in channels last, so that what the layout gives is not taken for the loop's.
"""

import gc
import multiprocessing
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import ratio, seconds
from pipeline.common import catalogue
from pipeline.model import CamClassifier, build
from pipeline.model.batches import Batch
from pipeline.model.regularisers import Regularisers

SIDES = {"densenet121": 224, "resnet50": 224, "compact": 96}  # backbone -> px of its images
BATCH = 16  # images per step
REGULARISED = "compact"  # regularised steps take several times as long and as much memory
MODES = ("plain", "pgd", "trades")  # of saliency_adversarial
EPOCH = 10
PLAIN, GUIDED = "cross_entropy", "cyborg"
Choice = dict[str, Any]
ADDED: list[Choice] = [{"name": "transplant"}, {"name": "neutral_features"}]  # by the method `transplant`
METHOD = " + ".join(["evidence", *(each["name"] for each in ADDED)])
Row = tuple[str, str, str, str]  # what, measured, target, met


def rows(device: str, rounds: int) -> list[Row]:
    """All comparisons of training steps on one device."""
    found: list[Row] = []
    for backbone in SIDES:
        found += _times(backbone, device, rounds)
        found += _memory(backbone, device)
    return found + _regularised(device, rounds)


def _times(backbone: str, device: str, rounds: int) -> list[Row]:
    losses = catalogue.names("model/losses")
    steps = {name: _step(backbone, name, device) for name in losses}
    theirs = "the published CYBORG step"
    steps[theirs] = _published_step(backbone, device, torch.contiguous_format)
    steps[f"{theirs}, channels last"] = _published_step(backbone, device, torch.channels_last)
    steps[METHOD] = _step(backbone, "evidence", device, ADDED)
    taken = seconds(steps, rounds)
    found: list[Row] = []
    for name in sorted(set(losses) - {PLAIN}):
        value = ratio(taken[name], taken[PLAIN])
        what = f"{backbone}: `{name}` step / `{PLAIN}` step"
        found.append((what, f"{value:.3f}", "at most 1.05", _met(value <= 1.05)))
    value = ratio(taken[METHOD], taken[PLAIN])
    what = f"{backbone}: `{METHOD}` step / `{PLAIN}` step"
    found.append((what, f"{value:.3f}", "at most 1.10", _met(value <= 1.10)))
    for name in (theirs, f"{theirs}, channels last"):
        what = f"{backbone}: {name} / our `{GUIDED}` step"
        found.append((what, f"{ratio(taken[name], taken[GUIDED]):.2f}", "-", "-"))
    speed = BATCH / statistics.median(taken[GUIDED])
    found.append((f"{backbone}: `{GUIDED}` training, images per second", f"{speed:.1f}", "-", "-"))
    return found


def _regularised(device: str, rounds: int) -> list[Row]:
    """What each regulariser costs, with the activation it needs."""
    names = set(catalogue.names("model/regularisers")) - {"saliency_adversarial"}
    choices: list[Choice] = [{"name": name} for name in sorted(names)]
    choices += [{"name": "saliency_adversarial", "mode": mode} for mode in MODES]
    steps = {" ".join(choice.values()): _step(REGULARISED, PLAIN, device, [choice]) for choice in choices}
    taken = seconds({"none": _step(REGULARISED, PLAIN, device), **steps}, rounds)
    what = f"{REGULARISED}: step with `{{}}` / step without"
    return [(what.format(name), f"{ratio(taken[name], taken['none']):.2f}", "-", "-") for name in steps]


def _memory(backbone: str, device: str) -> list[Row]:
    peaks = {name: _peak(backbone, name, device) for name in catalogue.names("model/losses")}
    found: list[Row] = []
    for name in sorted(set(peaks) - {PLAIN}):
        value = peaks[name] / peaks[PLAIN] - 1
        what = f"{backbone}: peak memory of a `{name}` step over `{PLAIN}`"
        found.append((what, f"{value:+.1%}", "at most +3 %", _met(value <= 0.03)))
    return found


def _peak(backbone: str, loss: str, device: str) -> int:
    """Bytes that three steps add at their peak: by CUDA's allocator, or to a fresh process on the CPU."""
    if device == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _three_steps(backbone, loss, device)
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_resident_peak, (backbone, loss))


def _resident_peak(backbone: str, loss: str) -> int:
    _three_steps(backbone, loss, "cpu")
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage would count the parent's too
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def _three_steps(backbone: str, loss: str, device: str) -> None:
    step = _step(backbone, loss, device)
    for _ in range(3):
        step()


def _batch(backbone: str, device: str, layout: torch.memory_format) -> Batch:
    side, generator = SIDES[backbone], torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 3, side, side, generator=generator).to(device).contiguous(memory_format=layout)
    labels = (torch.arange(BATCH) % 2).to(device)
    maps = torch.rand(BATCH, side, side, generator=generator).to(device)
    return Batch(images, labels, maps, torch.ones(BATCH, dtype=torch.bool, device=device))


def _model(
    backbone: str, device: str, layout: torch.memory_format, activation: Choice | None = None
) -> tuple[CamClassifier, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = build(backbone, activation=activation).to(device).to(memory_format=layout).train()
    return model, torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)


def _autocast(device: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def _step(backbone: str, name: str, device: str, choices: Sequence[Choice] = ()) -> Callable[[], None]:
    """One step as `train` does it: one forward, the loss on the whole batch, what regularisers add."""
    kinds = [each["name"] for each in choices]
    curved = any(catalogue.declared("model/regularisers", kind, "NEEDS_CURVATURE") for kind in kinds)
    smooth = {"name": "softplus"} if curved else None
    model, optimizer = _model(backbone, device, torch.channels_last, smooth)
    batch = _batch(backbone, device, torch.channels_last)
    loss = catalogue.make("model/losses", {"name": name})
    regularisers = Regularisers(choices).to(device)

    def step() -> None:
        with _autocast(device):
            seen = regularisers.perturb(model, batch, EPOCH)
        with _autocast(device):
            outputs = model(seen.images)
        terms = loss(outputs, *seen[1:])
        with _autocast(device):
            penalty = regularisers.penalty(model, seen, outputs, terms.classification)
        optimizer.zero_grad()
        (terms.total + penalty).backward()
        optimizer.step()

    return step


def _published_step(backbone: str, device: str, layout: torch.memory_format) -> Callable[[], None]:
    """The loop of CYBORG's `train_cam.py` (CVRL/CYBORG, d76ff8d), written anew, around the same network.

    ResNet's maps come from a hook on the last block's third convolution. DenseNet's, and so those of
    `compact`, come from a second forward up to the last ReLU. Maps follow the predicted class, one sample
    after another, and human maps come in the size of the grid.
    """
    model, optimizer = _model(backbone, device, layout)
    images, labels, maps, _ = _batch(backbone, device, layout)
    features = _tap(backbone, model)

    def step() -> None:
        with _autocast(device):
            logits = model(images).logits
            cells = features(images).float().flatten(2)
        found = []
        for sample, predicted in enumerate(logits.argmax(1)):
            cam = torch.matmul(model.head.weight[predicted], cells[sample])
            cam = cam - cam.min()
            found.append(cam / cam.max())
        guidance = functional.mse_loss(torch.stack(found), human)
        total = 0.5 * functional.cross_entropy(logits, labels) + 0.5 * guidance
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    with torch.no_grad():
        grid = model(images).cams.shape[2:]
    human = functional.interpolate(maps[:, None], grid, mode="bilinear").flatten(1)
    return step


def _tap(backbone: str, model: CamClassifier) -> Callable[[Tensor], Tensor]:
    """What gives the features of the images that the model has just seen."""
    if "resnet" in backbone:
        seen: dict[str, Tensor] = {}
        last: nn.Module = model.features.layer4[-1].conv3
        last.register_forward_hook(lambda module, given, found: seen.update(found=found))
        return lambda images: seen["found"]
    before_relu = nn.Sequential(*list(model.features.children())[:-1])
    return lambda images: before_relu((images - model.mean) / model.std)


def _met(good: bool) -> str:
    return "yes" if good else "NO"
