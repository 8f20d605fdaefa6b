"""Where each stage leaves what: the one place that names folders and files, relative to where it runs."""

from pathlib import Path

PHANTOMS = Path("data/raw/phantoms")  # /<task>
WEIGHTS = Path("data/weights")  # files of first weights; workspaces share them
PREPARED = Path("data/prepared")  # /<data set>
NAMES = Path("data/names")  # /<data set>.csv and the key of pseudonyms; never tracked, see data/pseudonyms.py
CELLS = {  # stage -> its folder, below which each cell has <data set>/<backbone>/<method>/<seed>
    "train": Path("runs"),
    "evaluate": Path("evaluate"),
    "identify": Path("identify"),
    "robustness": Path("robustness"),  # one level more: /<attack>
}
ATTACKED = Path("attacked")  # what `python -m pipeline.attack` leaves
AUDITED = Path("audited")  # what `python -m pipeline.audit` leaves: /<function>-<data set>
REPORTS = Path("reports")
PAGE, ANSWER = "index.html", "answer.txt"  # in it: what was found, as a page and in a sentence
DETAILS = Path("details/index.html")  # in it: the page of all tables and figures

MODEL = "model.safetensors"
HISTORY = "history.csv"
CANDIDATES = "candidates.csv"  # of a cell whose loss lists several alphas: how good each was
RECORD = "record.json"  # of every cell and stage: what it was made of, and the hashes of its files
CIRCUMSTANCES = "circumstances.json"  # beside it, in no hash: when, how long, on what machine
TABLES = {  # stage -> the CSV files of a cell
    "evaluate": (
        "scores",
        "metrics",
        "strata",
        "counterfactuals",
        "shown_scores",
        "alignment",
        "faithfulness",
        "curves",
    ),
    "identify": ("regions", "concepts", "prevalence", "exemplars", "channels", "summary"),
    "robustness": ("values",),
}
FLOORS = "floors"  # below evaluate/<data set>: the same of models without a network, as far as it goes
ARRAYS = {"evaluate": "gallery", "robustness": "pictures"}  # stage -> its .npz file
