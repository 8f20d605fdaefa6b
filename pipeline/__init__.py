"""camdivide: train binary image classifiers to look where people look, and prove what they learned.

    phantoms    draw images whose causal pixels are known, in the layouts of published data sets
    prepare     read a data set through its adapter: one store, one open-set protocol, one audit
    train       every (backbone, method, seed) cell of the grid; a method compares CAMs with human maps
    evaluate    scores, attack-detection errors, alignment with people, deletion and insertion
    identify    which image regions and channels decide, and which of them come back as concepts
    robustness  attacks on explanations and decisions, and what stands
    report      tables, figures and one page, all from records on disk
    track       a copy of every record in MLflow
    repro       run them all by DVC: what `make repro` does
    predict     score a folder of images with one trained cell
    attack      attack one trained cell, and draw what became of it
    audit       measure any torch network with pooling and a linear layer in the same ways
    verify      compare the results with those that the project was committed with

Each is `python -m pipeline.<stage>`; `dvc.yaml` is the table of contents. From Python:

    from pipeline import load

    model = load("runs/iris/compact/transplant/0")
"""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.grid.trained import Trained

__all__ = ["load"]


def load(folder: str | PathLike[str]) -> "Trained":
    """A trained cell, `runs/<dataset>/<backbone>/<method>/<seed>`, to score and explain images with.

    See `pipeline.grid.trained` for what it can do. Raises UserError if there is none or its model is damaged.
    """
    from pipeline.grid.trained import Trained  # here, so that `import pipeline` stays light

    return Trained(Path(folder))
