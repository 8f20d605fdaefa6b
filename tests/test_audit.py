"""`camdivide audit`: a network that is not ours is measured as our own cells are, or refused in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny_cells
import torch
from tiny_store import NAME

from pipeline.audit import audit
from pipeline.common.code import PACKAGE
from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.evaluate import evaluate
from pipeline.identify import identify

ATTACKS = {
    "hoax": {"attack": {"name": "sham", "fool": "both", "epochs": 1}},
    "pgd": {"attack": {"name": "pgd", "linf": [0.02], "l2": [], "steps": 2, "restarts": 1}},
}
SECTION = {
    "images": 6,
    "shown": 2,
    "batch_size": 4,
    "explanations": ["cam", "difference_salience"],
    "attacks": ATTACKS,
}
FILE = """
from pathlib import Path

import torch
from torch import nn

import pipeline.model


class Net(nn.Module):
    def __init__(self, outputs, channels=1):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, outputs)

    def forward(self, x):
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(self.conv(x), 1), 1))


class Ours(nn.Module):
    \"\"\"A trained cell, written down as anyone would.\"\"\"

    def __init__(self):
        super().__init__()
        cell = pipeline.model.load(Path("runs/tiny/compact/cross_entropy/0/model.safetensors"))
        self.body, self.pool, self.last = cell.features, nn.AdaptiveAvgPool2d(1), cell.head
        self.scale = (cell.mean, cell.std)

    def forward(self, x):
        mean, std = self.scale
        return self.last(self.pool(self.body((x - mean) / std)).flatten(1)).softmax(1)


def one():
    torch.manual_seed(1)
    return Net(1)


def many():
    torch.manual_seed(1)
    return Net(4)


def ours():
    return Ours()


def colour():
    return Net(2, channels=3)


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2))


def broken():
    return 1 / 0


def nothing():
    return None
"""


def settings(**changes: object) -> Params:
    return tiny_cells.settings(robustness={**SECTION, **changes})


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> object:
    """Somebody's file may change the path and the generator."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    with torch.random.fork_rng():
        yield


@pytest.fixture(scope="module")
def project(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project, evaluated and identified, with somebody's file; tests write below audited/ only."""
    root = tmp_path_factory.mktemp("audited")

    def measure() -> None:
        evaluate(tiny_cells.settings(), NAME)
        identify(tiny_cells.settings(), NAME)

    tiny_cells.copied(trained_project, root, measure)
    (root / "mine.py").write_text(FILE)
    return root


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_one_of_ours_gets_the_numbers_that_the_stages_gave_it(here: Path) -> None:
    audit(settings(attacks={}), NAME, model="mine.py:ours")
    for stage in ("evaluate", "identify"):
        theirs = here / stage / NAME / "compact/cross_entropy/0"
        tables = sorted(theirs.glob("*.csv"))
        assert len(tables) >= 7
        for table in tables:
            found = pd.read_csv(here / f"audited/ours-{NAME}/{stage}" / table.name)
            pd.testing.assert_frame_equal(found, pd.read_csv(table), rtol=1e-5, atol=1e-6)


def test_a_network_that_is_not_ours_end_to_end(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(settings(), NAME, model="mine.py:one")
    folder = Path(f"audited/one-{NAME}")
    record = json.loads((folder / "record.json").read_text())
    assert record["files"] == {name: sha256_file(folder / name) for name in record["files"]}
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == set(record["files"]) | {"record.json", "circumstances.json"}
    assert {
        "evaluate/alignment.csv",
        "evaluate/counterfactuals.csv",
        "identify/regions.csv",
        "robustness/hoax/values.csv",
        "robustness/pgd/values.csv",
        "maps.png",
        "robustness/hoax/picture.png",
        "index.html",
    } <= left
    network = record["settings"]["network"]
    assert network["sha256"] == sha256_file(Path("mine.py")) and len(network["tensors"]) == 64
    assert "robustness/hoax/accuracy_after" in record["results"]
    said = capsys.readouterr().out
    assert said.startswith("one ") and f"see {folder}/index.html" in said
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Phantoms: the images are drawn" in page
    for question in (
        "tells the labels apart",
        "looks where people look",
        "relies on",
        "under hoax",
        "under pgd",
    ):
        assert question in said and question in page
    pictures = [name for name in left if name.endswith(".png")]
    assert pictures and all(f'src="{name}"' in page for name in pictures)


def test_scores_are_the_networks_own(here: Path) -> None:
    """Of one output, and of one among many: higher is more like label 1."""
    sys.path.insert(0, str(here))
    import mine

    from pipeline.data.store import open_store

    store = open_store(Path("data/prepared") / NAME)
    ids = list(store.manifest["sample_id"])
    for function, output, column in (("one", None, 0), ("many", 2, 2)):
        audit(settings(attacks={}), NAME, model=f"mine.py:{function}", output=output)
        scores = pd.read_csv(f"audited/{function}-{NAME}/evaluate/scores.csv")
        rows = [ids.index(each) for each in scores["sample_id"]]
        with torch.no_grad():
            network = getattr(mine, function)().eval()
            wanted = network(torch.tensor(store.images[rows]) / 255)[:, column]
        torch.testing.assert_close(
            torch.tensor(scores["logit_difference"]).float(), wanted, atol=1e-4, rtol=1e-4
        )


def test_the_command(here: Path) -> None:
    raw = settings(attacks={}).model_dump(mode="json")
    Path("params.yaml").write_text(json.dumps(raw))
    command = [sys.executable, "-m", "pipeline", "audit", "--model", "mine.py:many", "--data", NAME]
    told = subprocess.run(
        [*command, "--class", "1", "--out", "elsewhere"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
    )
    assert told.returncode == 0, told.stderr
    assert "see elsewhere/index.html" in told.stdout and Path("elsewhere/record.json").is_file()
    shutil.rmtree("elsewhere")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "mine.py:many"}, "4 outputs; say which one speaks for label 1: --class 0..3"),
        ({"model": "mine.py:many", "output": 4}, "--class 4: the network has 4 outputs"),
        ({"model": "mine.py:ourss"}, "mine.py: no function 'ourss': did you mean 'ours'?"),
        ({"model": "mine.py"}, "--model mine.py: expected file.py:function"),
        ({"model": "nowhere.py:one"}, "nowhere.py: no such Python file"),
        ({"model": "mine.py:colour"}, "the network takes 3-channel images, these have 1"),
        ({"model": "mine.py:flat"}, "expected global average pooling right before it"),
        ({"model": "mine.py:broken"}, "mine.py: broken() raised ZeroDivisionError: division by zero"),
        ({"model": "mine.py:nothing"}, "mine.py: nothing() returned NoneType; expected a torch.nn.Module"),
        ({"model": "typo.py:one"}, "typo.py: cannot be imported: SyntaxError"),
        ({"weights": Path("mine.py")}, "not a safetensors file or a plain state dict"),
        ({"model": "mine.py:one", "out": Path("runs")}, "runs: exists and is no earlier audit"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(here: Path, given: dict[str, object], told: str) -> None:
    Path("typo.py").write_text("def one(:\n")
    before = sorted(path for path in here.rglob("*") if "__pycache__" not in path.parts)
    with pytest.raises(UserError) as caught:
        audit(settings(), NAME, **given)  # type: ignore[arg-type]
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(path for path in here.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_mistyped_data_set_names_the_nearest(here: Path) -> None:
    with pytest.raises(UserError, match=r"--data 'tinny' is not in params\.yaml: did you mean 'tiny'"):
        audit(settings(), "tinny", model="mine.py:one")


def test_an_attack_that_cannot_be_run_is_said_and_the_rest_is_kept(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = {"attack": {"name": "sham", "epochs": 2, "lr": 1e30}}
    audit(settings(attacks={"wild": wild}), NAME, model="mine.py:one", out=Path("audited/wild"))
    assert "under wild                could not be run: the attack's loss became" in capsys.readouterr().out
    assert Path("audited/wild/evaluate/scores.csv").is_file() and not Path("audited/wild/robustness").exists()
