"""Focal loss (Lin et al., ICCV 2017): samples that are right already weigh less."""

from typing import Annotated

from pydantic import Field

from pipeline.model.losses import Terms

USES_MAPS = False


def loss(outputs, labels, human_maps, has_map, *, gamma: Annotated[float, Field(ge=0)] = 2.0) -> Terms:
    own = outputs.logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    total = (-((1 - own.exp()) ** gamma) * own).mean()
    return Terms(total, total, total.new_zeros(()))
