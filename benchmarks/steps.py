"""A guided or a regularised training step against a plain one, and against one written the CYBORG way."""

import multiprocessing
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.timing import ratio, seconds
from pipeline.common import catalogue
from pipeline.model import CamClassifier, build
from pipeline.model.batches import Batch
from pipeline.model.regularisers import Regularisers

BACKBONES = ("densenet121", "resnet50")
BATCH, SIDE = 16, 224  # images per step, px
SMALL, SMALL_SIDE = "compact", 96  # regularised steps take several times as long and as much memory
MODES = ("plain", "pgd", "trades")  # of saliency_adversarial
EPOCH = 10
Choice = dict[str, str]
Row = tuple[str, str, str, str]  # what, measured, target, met


def rows(device: str, rounds: int) -> list[Row]:
    """All comparisons of training steps on one device."""
    found: list[Row] = []
    for backbone in BACKBONES:
        found += _times(backbone, device, rounds)
        found += _memory(backbone, device)
    return found + _regularised(device, rounds)


def _times(backbone: str, device: str, rounds: int) -> list[Row]:
    steps = {name: _step(backbone, name, device) for name in catalogue.names("model/losses")}
    steps["the CYBORG way"] = _cyborg_way(backbone, device)
    taken = seconds(steps, rounds)
    plain = taken["cross_entropy"]
    found: list[Row] = []
    for name in sorted(set(steps) - {"cross_entropy", "the CYBORG way"}):
        value = ratio(taken[name], plain)
        what = f"{backbone}: `{name}` step / `cross_entropy` step"
        found.append((what, f"{value:.3f}", "at most 1.05", _met(value <= 1.05)))
    value = ratio(taken["the CYBORG way"], taken["cyborg"])
    target, met = ("at least 1.9", _met(value >= 1.9)) if backbone == "densenet121" else ("-", "-")
    found.append((f"{backbone}: step the CYBORG way / our `cyborg` step", f"{value:.2f}", target, met))
    speed = BATCH / statistics.median(taken["cyborg"])
    found.append((f"{backbone}: `cyborg` training, images per second", f"{speed:.1f}", "-", "-"))
    return found


def _regularised(device: str, rounds: int) -> list[Row]:
    """What robustness costs, each with the activation it needs."""
    names = set(catalogue.names("model/regularisers")) - {"saliency_adversarial"}
    choices: list[Choice] = [{"name": name} for name in sorted(names)]
    choices += [{"name": "saliency_adversarial", "mode": mode} for mode in MODES]
    steps = {
        " ".join(choice.values()): _step(SMALL, "cross_entropy", device, choice, SMALL_SIDE)
        for choice in choices
    }
    taken = seconds({"none": _step(SMALL, "cross_entropy", device, side=SMALL_SIDE), **steps}, rounds)
    what = f"{SMALL}, {SMALL_SIDE} px: step with `{{}}` / step without"
    return [(what.format(name), f"{ratio(taken[name], taken['none']):.2f}", "-", "-") for name in steps]


def _memory(backbone: str, device: str) -> list[Row]:
    peaks = {name: _peak(backbone, name, device) for name in catalogue.names("model/losses")}
    found: list[Row] = []
    for name in sorted(set(peaks) - {"cross_entropy"}):
        value = peaks[name] / peaks["cross_entropy"] - 1
        what = f"{backbone}: peak memory of a `{name}` step over `cross_entropy`"
        found.append((what, f"{value:+.1%}", "at most +3 %", _met(value <= 0.03)))
    return found


def _peak(backbone: str, loss: str, device: str) -> int:
    """Peak bytes of three steps: the CUDA allocator's, or a fresh process's resident set on the CPU."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (backbone, loss, device))


def _peak_here(backbone: str, loss: str, device: str) -> int:
    step = _step(backbone, loss, device)
    for _ in range(3):
        step()
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage would count the parent's too
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def _batch(device: str, side: int = SIDE) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 3, side, side, generator=generator).to(device)
    if device == "cuda":
        images = images.contiguous(memory_format=torch.channels_last)
    labels = (torch.arange(BATCH) % 2).to(device)
    maps = torch.rand(BATCH, side, side, generator=generator).to(device)
    return Batch(images, labels, maps, torch.ones(BATCH, dtype=torch.bool, device=device))


def _model(
    backbone: str, device: str, activation: Choice | None = None
) -> tuple[CamClassifier, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = build(backbone, activation=activation).to(device).train()
    if device == "cuda":
        model = model.to(memory_format=torch.channels_last)
    return model, torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)


def _step(
    backbone: str, name: str, device: str, choice: Choice | None = None, side: int = SIDE
) -> Callable[[], None]:
    """One step as `train` does it: one forward, the loss on the whole batch, what a regulariser adds."""
    smooth = {"name": "softplus"} if choice == {"name": "hessian"} else None
    model, optimizer = _model(backbone, device, smooth)
    batch = _batch(device, side)
    loss = catalogue.get("model/losses", name)
    regularisers = Regularisers([] if choice is None else [choice]).to(device)

    def autocast() -> torch.autocast:
        return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def step() -> None:
        with autocast():
            seen = regularisers.perturb(model, batch, EPOCH)
        with autocast():
            outputs = model(seen.images)
        terms = loss(outputs, *seen[1:], alpha=0.5)
        with autocast():
            penalty = regularisers.penalty(model, seen, outputs, terms.classification)
        optimizer.zero_grad()
        (terms.total + penalty).backward()
        optimizer.step()

    return step


def _cyborg_way(backbone: str, device: str) -> Callable[[], None]:
    """The shape of the published scripts, written anew: a second forward, a loop over samples."""
    model, optimizer = _model(backbone, device)
    images, labels, maps, _ = _batch(device)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(images).logits
            features = model.features((images - model.mean) / model.std)
        guidance = []
        for sample, predicted in zip(range(BATCH), logits.argmax(1).tolist(), strict=True):
            cam = torch.einsum("k,khw->hw", model.head.weight[predicted], features[sample].float())
            cam = (cam - cam.min()) / (cam.max() - cam.min())
            human = functional.interpolate(maps[sample][None, None], cam.shape, mode="bilinear")[0, 0]
            guidance.append(functional.mse_loss(cam, human))
        total = 0.5 * functional.cross_entropy(logits, labels) + 0.5 * torch.stack(guidance).mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def _met(good: bool) -> str:
    return "yes" if good else "NO"
