"""Backbones from MONAI, one file each; and a short way to MONAI itself for worker processes.

`import monai` imports all of MONAI and whatever optional packages it finds (MLflow, matplotlib, pandas,
...): 3 s and 200 MB in every worker, for networks that need only torch. In a worker those packages are
hidden while MONAI is imported, which is how it runs where they are not installed.
"""

import multiprocessing
import sys

OPTIONAL = ("mlflow", "matplotlib", "pandas", "scipy", "sklearn", "nibabel", "skimage", "tensorboard", "PIL")

if multiprocessing.parent_process() is not None and "monai" not in sys.modules:
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import monai  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
