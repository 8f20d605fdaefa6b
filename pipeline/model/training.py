"""The training of one cell: epochs, validation, and a state from which it can go on bit for bit.

All randomness is a pure function of (seed, purpose, epoch, sample), so the state holds no generators.
Everything is given as plain settings; files are the caller's business. Which epoch is kept is known at the
end only, so the weights of all that may still be it are held, mostly one to five, also in checkpoints.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.common.seeding import derive
from pipeline.model import selection
from pipeline.model.batches import Batch, StoreRows, TrainingBatches
from pipeline.model.classifier import CamClassifier, build
from pipeline.model.devices import choose_device
from pipeline.model.losses import Terms
from pipeline.model.regularisers import Regularisers
from pipeline.model.selection import Row
from pipeline.model.validation import Validation

STEP_COLUMNS = ("loss", "classification", "guidance", "penalty")  # the first is what is minimised: all of it


class State(NamedTuple):
    """A training after some epoch: tensors for safetensors, and what JSON can hold."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]


class Fitted(NamedTuple):
    """A finished training; `model` carries the weights of `best_epoch` (counted from 1)."""

    model: CamClassifier
    history: list[Row]
    best_epoch: int
    selected_by: str  # the metric of `selection` that chose it
    seconds: float  # from the first epoch on: imports and the building of the model do not count
    peak_memory_mb: float | None  # of this training's on a GPU; a CPU's process also remembers other cells'


def fit(
    settings: Mapping[str, Any],
    train: StoreRows,
    val: StoreRows,
    *,
    device: str = "auto",
    start: State | None = None,
    save: Callable[[State], None],
) -> Fitted:
    """Train one cell, calling `save` after each epoch; `start` is a state that was saved before.

    settings: `backbone` (a choice), `method` (a method of params.yaml, every key given), `seed`, and the
    `train` section, whose `selection` says which epoch is the best. Raises UserError when the loss stops
    being finite, the device is not there, or settings are wrong.
    """
    where = choose_device(device)
    with torch.random.fork_rng([where] if where.type == "cuda" else []):
        training = Training(settings, train, val, where)
        if start is not None:
            training.restore(start)
        while not training.over():
            training.run_epoch()
            save(training.state())
    return training.finish()


class Training:
    """A model with its optimiser, its batches and its history so far."""

    def __init__(
        self, settings: Mapping[str, Any], train: StoreRows, val: StoreRows, device: torch.device
    ) -> None:
        self.settings, self.device = settings["train"], device
        by_filling = self.settings["selection"]["metric"] == "counterfactual"
        self.validation = Validation(val, device, counterfactual=by_filling)
        self.seed, method = settings["seed"], settings["method"]
        torch.manual_seed(derive(self.seed, "init"))
        in_channels, backbone = int(train.images.shape[1]), settings["backbone"]
        # Without the weights' file and its hash, which is there for the cell's key.
        chosen = {key: value for key, value in backbone.items() if not key.startswith("weights")}
        model = build(chosen, in_channels, backbone.get("weights"), method["activation"])
        self.model: CamClassifier = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _make_optimizer(self.model, self.settings["optimizer"], method["weight_decay"])
        self.batches = TrainingBatches(train, self.settings, method["map_source"], self.seed, device)
        self.loss = catalogue.make("model/losses", method["loss"])
        self.regularisers = Regularisers(method["regularisers"]).to(device)
        self.bfloat16 = _wants_bfloat16(self.settings["precision"], device)
        self.history: list[Row] = []
        self.kept: dict[int, dict[str, Tensor]] = {}  # epoch -> weights; of those that may still be chosen
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.started = time.perf_counter()  # all is imported and built

    def over(self) -> bool:
        """Whether all epochs are done, or early stopping has had enough."""
        patience = self.settings["early_stopping"]
        aurocs = [row["val_auroc"] for row in self.history]
        stale = len(aurocs) - 1 - aurocs.index(max(aurocs)) if aurocs else 0
        return len(aurocs) >= self.settings["epochs"] or (patience is not None and stale >= patience)

    def run_epoch(self) -> None:
        """Train on every sample once, validate, and append a row to the history."""
        epoch = len(self.history)
        torch.manual_seed(derive(self.seed, "layers", epoch))  # stochastic depth and the like
        lr = learning_rate(self.settings["optimizer"]["lr"], self.settings, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        means = self._train(epoch)
        steps = dict(zip(STEP_COLUMNS, means, strict=True))
        self.history.append({"epoch": epoch + 1, "lr": lr, **steps, **self._validate()})
        self._keep()

    def _keep(self) -> None:
        """Hold the weights of every epoch that may still be chosen, and no others."""
        weights = self.model.state_dict()
        self.kept[len(self.history)] = {name: value.clone() for name, value in weights.items()}
        places = selection.contenders(self.history, **self.settings["selection"])
        self.kept = {place + 1: self.kept[place + 1] for place in places}

    def _train(self, epoch: int) -> list[float]:
        """One pass over the training samples; the mean of each of STEP_COLUMNS."""
        self.model.train()
        sums = torch.zeros(len(STEP_COLUMNS), device=self.device)
        for batch in self.batches.epoch(epoch):
            sums += self._step(batch, epoch) * len(batch.labels)
        means: list[float] = (sums / len(self.batches.samples.rows)).tolist()  # the epoch's only wait
        if not math.isfinite(means[0]):
            raise UserError(f"the loss became {means[0]} in epoch {epoch + 1}; lower train.optimizer.lr")
        return means

    def _step(self, batch: Batch, epoch: int) -> Tensor:
        """One forward, one backward, one update; returns STEP_COLUMNS, detached."""
        with self._autocast():
            batch = self.regularisers.perturb(self.model, batch, epoch)
        with self._autocast():
            outputs = self.model(batch.images)
        terms: Terms = self.loss(outputs, batch.labels, batch.maps, batch.has_map)
        with self._autocast():
            penalty = self.regularisers.penalty(self.model, batch, outputs, terms.classification)
        total = terms.total + penalty
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return torch.stack([total, terms.classification, terms.guidance, penalty]).detach()

    def _autocast(self) -> torch.autocast:
        """Never one for two passes: a weight that was cast without a graph would be used again with one."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _validate(self) -> Row:
        """What `Validation` says of the model as it is."""
        return self.validation(self.model.eval(), self._autocast)

    def state(self) -> State:
        """A copy of all that the next epoch depends on, on the CPU."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for epoch, weights in self.kept.items():
            tensors |= {f"kept.{epoch}.{name}": value for name, value in weights.items()}
        buffers = self.regularisers.state_dict()
        tensors |= {f"regularisers.{name}": value for name, value in buffers.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            kept = {name: value for name, value in values.items() if value is not None}
            tensors |= {f"optimizer.{index}.{name}": value for name, value in kept.items()}
        about = {"history": list(self.history), "seconds": self.seconds()}
        copies = {name: value.to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        return State(copies, about)

    def restore(self, state: State) -> None:
        """Go on from a state of the same settings."""
        self.history = list(state.about["history"])
        self.started = time.perf_counter() - state.about["seconds"]
        self.model.load_state_dict(_tensors_below("model.", state.tensors))
        for name, value in _tensors_below("kept.", state.tensors).items():
            epoch, weight = name.split(".", 1)
            self.kept.setdefault(int(epoch), {})[weight] = value
        self.regularisers.load_state_dict(_tensors_below("regularisers.", state.tensors))
        parameters = list(self.model.parameters())
        values: dict[int, dict[str, Tensor]] = {}
        for name, value in _tensors_below("optimizer.", state.tensors).items():
            index, field = name.split(".", 1)
            like = parameters[int(index)]
            if value.shape == like.shape:  # the fused update walks memory, so layouts must agree
                value = torch.empty_like(like, requires_grad=False).copy_(value)
            values.setdefault(int(index), {})[field] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": values, "param_groups": groups})

    def finish(self) -> Fitted:
        """The model of the best epoch, in eval mode."""
        rule = self.settings["selection"]
        best_epoch = selection.chosen(self.history, **rule) + 1
        self.model.load_state_dict(self.kept[best_epoch])
        selected_by = selection.applied(self.history, rule["metric"])
        memory = torch.cuda.max_memory_allocated(self.device) / 2**20 if self.device.type == "cuda" else None
        return Fitted(self.model.eval(), self.history, best_epoch, selected_by, self.seconds(), memory)

    def seconds(self) -> float:
        """Since the first epoch began, in the trainings that this one goes on from as well."""
        return time.perf_counter() - self.started


def learning_rate(base: float, settings: Mapping[str, Any], epoch: int) -> float:
    """The rate of one epoch (0, 1, ...).

    >>> plan = {"epochs": 4, "schedule": {"name": "step", "step_epochs": 2, "gamma": 0.1}}
    >>> [round(learning_rate(1.0, plan, epoch), 3) for epoch in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    schedule = settings["schedule"]
    if schedule["name"] == "step":
        return float(base * schedule["gamma"] ** (epoch // schedule["step_epochs"]))
    if schedule["name"] == "cosine":
        return float(base * (1 + math.cos(math.pi * epoch / settings["epochs"])) / 2)
    return base


def _make_optimizer(
    model: CamClassifier, settings: Mapping[str, Any], weight_decay: float | None
) -> torch.optim.Optimizer:
    """weight_decay: the method's own, None to take the one of `settings`."""
    lr, decay = settings["lr"], settings["weight_decay"] if weight_decay is None else weight_decay
    if settings["name"] == "adamw":
        return torch.optim.AdamW(model.parameters(), lr, weight_decay=decay, fused=True)
    momentum = settings["momentum"]
    return torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=decay, fused=True)


def _wants_bfloat16(precision: str, device: torch.device) -> bool:
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def _tensors_below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
