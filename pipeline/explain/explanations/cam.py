"""M_c, the class activation map of one class, raw and signed (Zhou et al., CVPR 2016)."""

from torch import Tensor

from pipeline.model import CamClassifier
from pipeline.model.cam import select

SIGNED = True
PAIR = None
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid; their mean plus the bias is the logit z_c."""
    return select(model(images).cams, classes)[0]
