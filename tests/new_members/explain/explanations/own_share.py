"""The part of the class's map that is above the other's."""

from pipeline.model.cam import difference_salience

SIGNED = False
PAIR = "cam"
DIFFERENTIABLE = True


def explanation(model, images, classes):
    return difference_salience(model(images).cams, classes).relu()
