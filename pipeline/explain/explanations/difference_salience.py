"""M_c minus the other class's map, raw and signed: what softmax decides by (after arXiv 2507.17000)."""

from torch import Tensor

from pipeline.model import CamClassifier, cam

SIGNED = True
PAIR = "cam"
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid; their mean plus the difference of the biases is the margin of c."""
    return cam.difference_salience(model(images).cams, classes)
