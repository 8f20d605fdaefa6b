"""Batches of images, labels and human maps, drawn from a memory-mapped store.

What an epoch looks like is a pure function of (seed, epoch): the order of samples, and by (seed, epoch,
store row) how each is augmented. So methods with one seed see the same batches, and a resumed training
goes on as if it had never stopped.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.common.seeding import derive, numpy_rng
from pipeline.model.augment import Augmenter
from pipeline.model.map_sources import maps_of


@dataclass(frozen=True)
class StoreRows:
    """Some rows of a store; the arrays cover the whole store and may be memory-mapped."""

    images: np.ndarray  # uint8 (N, C, S, S)
    maps: np.ndarray  # uint8 (N, S, S); 0 where there is none
    has_map: np.ndarray  # bool (N,)
    labels: np.ndarray  # int64 (N,)
    rows: np.ndarray  # int64 (n,): the rows in use
    causal: np.ndarray | None = None  # uint8 (N, S, S): the exact causes, of phantoms


class Batch(NamedTuple):
    """What one training step sees, on its device."""

    images: Tensor  # float32 (B, C, S, S) in [0, 1]
    labels: Tensor  # int64 (B,)
    maps: Tensor  # float32 (B, S, S) in [0, 1]
    has_map: Tensor  # bool (B,)


class TrainingBatches:
    """Shuffled, augmented batches of one epoch after another.

    settings: the `train` section as a mapping (`batch_size`, `augment`); map_source: a function of
    `map_sources`, whose UserError it may raise.
    """

    def __init__(
        self,
        samples: StoreRows,
        settings: Mapping[str, Any],
        map_source: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.samples, self.seed, self.device = samples, seed, device
        self.batch_size = int(settings["batch_size"])
        self.maps = maps_of(map_source, samples, seed)
        self.augment = Augmenter(settings["augment"], samples.images.shape[-1])
        self.resident = None
        if not settings["augment"] and _fit_on_gpu(samples, device):
            self.resident = self._to_device(samples.rows)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch (0, 1, ...): as few as `batch_size` allows, of nearly equal size."""
        order = numpy_rng(self.seed, "order", number).permutation(len(self.samples.rows))
        parts = np.array_split(order, -(-len(order) // self.batch_size))
        if self.resident is not None:
            yield from (_part_of(self.resident, part) for part in parts)
        elif self.device.type == "cuda":
            yield from self._prefetched(parts, number)
        else:
            yield from (self._draw_batch(part, number) for part in parts)

    def _prefetched(self, parts: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        """Prepare the next batch while the GPU works on the last."""
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self._draw_batch, parts[0], epoch)
            for part in parts[1:]:
                batch, coming = coming.result(), thread.submit(self._draw_batch, part, epoch)
                yield batch
            yield coming.result()

    def _draw_batch(self, part: np.ndarray, epoch: int) -> Batch:
        rows = self.samples.rows[part]
        return self._to_device(rows, [derive(self.seed, "augment", epoch, int(row)) for row in rows])

    def _to_device(self, rows: np.ndarray, seeds: list[int] | None = None) -> Batch:
        images, maps = self.samples.images[rows], self.maps(rows)
        if seeds is not None:
            images, maps = self.augment(images, maps, seeds)
        return Batch(
            as_floats(images, self.device),
            torch.from_numpy(self.samples.labels[rows]).to(self.device),
            as_floats(maps, self.device),
            torch.from_numpy(self.samples.has_map[rows]).to(self.device),
        )


def image_batches(images: np.ndarray, rows: np.ndarray, size: int, device: torch.device) -> Iterator[Tensor]:
    """Images of a store alone, float32 (B, C, S, S) in [0, 1], in the order of `rows`."""
    for start in range(0, len(rows), size):
        yield as_floats(images[rows[start : start + size]], device)


def as_floats(values: np.ndarray, device: torch.device) -> Tensor:
    """uint8 0..255 as float32 0..1: maps (N, S, S), or images (N, C, S, S), which come channels last.

    Bytes travel, floats are made on the device.
    """
    found = torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True).float() / 255
    return found.contiguous(memory_format=torch.channels_last) if found.ndim == 4 else found


def _part_of(whole: Batch, part: np.ndarray) -> Batch:
    images, *others = (column[torch.from_numpy(part)] for column in whole)
    return Batch(images.contiguous(memory_format=torch.channels_last), *others)


def _fit_on_gpu(samples: StoreRows, device: torch.device) -> bool:
    """Whether the rows in use may stay on the GPU, as floats, in a quarter of its free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    values = len(samples.rows) * (samples.images[0].size + samples.maps[0].size)
    return values * 4 < free / 4
