"""What a model in training is seen to do on validation: how well it decides, and by what.

    val_loss, val_auroc     of the images as they are
    val_alignment           Pearson's correlation of D = S_t - S_f with the human map, over the cells of the
                            CAMs' grid, mean over annotated images; from the same forward
    val_counterfactual      AUROC with only the human region left, minus AUROC without it, both by a blur

The maps are the images' own, whatever maps guide the training. None where validation has no map.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.common.errors import UserError
from pipeline.model import fills
from pipeline.model.batches import StoreRows, as_floats, image_batches
from pipeline.model.cam import difference_salience, is_flat
from pipeline.model.classifier import CamClassifier
from pipeline.model.losses import on_grid
from pipeline.model.selection import DIGITS, Row
from pipeline.score.metrics import auroc

BATCH = 64
SEED = 0  # of who is lent whose region: the same in every training and epoch
Autocast = Callable[[], torch.autocast]


class Validation:
    """The validation samples and what is asked of them after each epoch."""

    def __init__(self, samples: StoreRows, device: torch.device, *, counterfactual: bool) -> None:
        self.samples, self.device, self.counterfactual = samples, device, counterfactual
        self.labels = torch.from_numpy(samples.labels[samples.rows])
        if counterfactual:
            self.tested, self.lenders = _tested(samples)

    @torch.no_grad()
    def __call__(self, model: CamClassifier, autocast: Autocast) -> Row:
        """The columns above, rounded to DIGITS; `val_counterfactual` only if asked for.

        Raises UserError if scores are not finite. The model should be in eval mode.
        """
        logits, correlations = self._look(model, autocast)
        if not logits.isfinite().all():
            raise UserError("validation scores are not finite; lower train.optimizer.lr")
        row = {
            "val_loss": functional.cross_entropy(logits, self.labels).item(),
            "val_auroc": round(auroc(self.labels.numpy(), _difference(logits)), DIGITS),
            "val_alignment": round(correlations.mean().item(), DIGITS) if len(correlations) else None,
        }
        if self.counterfactual:
            row["val_counterfactual"] = self._only_minus_without(model, autocast)
        return row

    def _look(self, model: CamClassifier, autocast: Autocast) -> tuple[Tensor, Tensor]:
        """Logits (n, 2) of all samples, and correlations of those with a usable map; float64, on the CPU."""
        samples, logits, correlations = self.samples, [], []
        batches = image_batches(samples.images, samples.rows, BATCH, self.device)
        for images, rows in zip(batches, _parts(samples.rows), strict=True):
            with autocast():
                outputs = model(images)
            maps = as_floats(samples.maps[rows], self.device)
            has_map = torch.from_numpy(samples.has_map[rows]).to(self.device)
            human, usable = on_grid(maps, has_map, outputs.cams.float())
            labels = torch.from_numpy(samples.labels[rows]).to(self.device)
            salience = difference_salience(outputs.cams.float(), labels)
            logits.append(outputs.logits)
            correlations.append(pearson(salience, human)[usable])
        return torch.cat(logits).double().cpu(), torch.cat(correlations).cpu()

    def _only_minus_without(self, model: CamClassifier, autocast: Autocast) -> float | None:
        if not len(self.tested):
            return None
        samples, only, without = self.samples, [], []
        for rows, lenders in zip(_parts(self.tested), _parts(self.lenders), strict=True):
            images = as_floats(samples.images[rows], self.device)
            regions = torch.from_numpy(fills.peak_regions(samples.maps[lenders])).to(self.device)
            filling = fills.blurred(images)
            with autocast():
                only.append(model(fills.fill(images, filling, ~regions)).logits)
                without.append(model(fills.fill(images, filling, regions)).logits)
        labels = samples.labels[self.tested]
        left, lost = (auroc(labels, _difference(torch.cat(part))) for part in (only, without))
        return round(left - lost, DIGITS)


def pearson(maps: Tensor, others: Tensor) -> Tensor:
    """Correlation over the cells of each pair of maps (N, h, w), float64 (N,) in -1..1; 0 where one is flat.

    >>> pearson(torch.tensor([[[0.0, 1.0, 2.0]]]), torch.tensor([[[5.0, 3.0, 1.0]]])).round(decimals=6)
    tensor([-1.], dtype=torch.float64)
    """
    flat = is_flat(maps) | is_flat(others)
    first, second = (part.double().flatten(1) for part in (maps, others))
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    return torch.where(flat, 0, functional.cosine_similarity(first, second, eps=0))


def _tested(samples: StoreRows) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a region to fill, and the rows whose region that is; none if only one class has any."""
    rows = samples.rows
    lender = fills.lenders(samples.labels[rows], samples.has_map[rows], [str(row) for row in rows], SEED)
    kept = lender >= 0
    if len(np.unique(samples.labels[rows[kept]])) < 2:
        kept[:] = False
    return rows[kept], rows[lender[kept]]


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _difference(logits: Tensor) -> np.ndarray:
    """z1 - z0 of logits (n, 2), float64 (n,)."""
    found: np.ndarray = (logits.double()[:, 1] - logits.double()[:, 0]).cpu().numpy()
    return found
