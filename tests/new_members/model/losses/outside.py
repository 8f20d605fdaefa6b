"""Cross-entropy, and the share of the true class's map that lies outside the human one."""

from typing import Annotated

from pydantic import Field
from torch.nn import functional

from pipeline.model.cam import normalise, select
from pipeline.model.losses import Terms, on_grid

USES_MAPS = True


def loss(outputs, labels, human_maps, has_map, *, weight: Annotated[float, Field(gt=0)] = 3.0) -> Terms:
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    outside = (normalise(select(outputs.cams, labels)[0]) * (1 - human)).mean((1, 2))
    guidance = outside.where(usable, 0).sum() / usable.sum().clamp(min=1)
    classification = functional.cross_entropy(outputs.logits, labels)
    return Terms(classification + weight * guidance, classification, guidance)
