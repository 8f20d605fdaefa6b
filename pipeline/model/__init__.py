"""Classifiers whose one forward pass gives logits, features and the class activation maps of both classes."""

from pipeline.model.classifier import CamClassifier, Outputs, build, load, save

__all__ = ["CamClassifier", "Outputs", "build", "load", "save"]
