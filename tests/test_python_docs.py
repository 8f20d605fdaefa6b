"""What docs/python.md and docs/quickstart.ipynb show runs as it stands there."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from PIL import Image
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.data.store import open_store
from pipeline.model.batches import as_floats

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def finished(trained_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny project where the docs expect that of the iris phantoms, with images as files."""
    shutil.copytree(trained_project, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "runs/tiny/compact/cross_entropy", tmp_path / "runs/iris/compact/transplant")
    store = open_store(tmp_path / "data/prepared/tiny")
    for source, label in (("live_b", 0), ("glass_prosthesis", 1)):
        folder = tmp_path / "data/raw/phantoms/iris/images" / source
        folder.mkdir(parents=True)
        for row in np.flatnonzero(store.labels == label)[:4]:
            Image.fromarray(np.array(store.images[row, 0])).save(folder / f"{row}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_trained_model_is_used_as_the_page_shows(finished: Path) -> None:
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    scores, salience, regions = names["scores"], names["salience"], names["regions"]
    assert isinstance(scores, pd.DataFrame) and isinstance(regions, pd.DataFrame)
    assert len(scores) == 4 and np.shape(salience) == (32, 32)
    assert all(f"`{column}`" in PAGE for column in [*scores, *regions.columns[1:]])


def test_the_page_names_every_explanation() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", PAGE, re.MULTILINE))))
    assert named == set(catalogue.names("explain/explanations"))


class Plain(nn.Module):
    """A network of nobody's in particular: convolutions, pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.features(images)).flatten(1))
        return logits


def test_the_loop_of_the_page_trains_a_plain_network() -> None:
    cpu, data = torch.device("cpu"), tiny_victims.samples(16)
    images, maps = as_floats(data.images, cpu), as_floats(data.maps, cpu)
    labels, has_map = torch.from_numpy(data.labels), torch.from_numpy(data.has_map)
    guidance: list[float] = []

    def batches() -> Iterator[tuple[Tensor, ...]]:
        for _ in range(40):
            yield images, labels, maps, has_map
            guidance.append(names["terms"].guidance.item())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Plain()
        names: dict[str, object] = {"network": network, "batches": batches()}
        exec(BLOCKS[1], names)
    assert len(guidance) == 40 and guidance[-1] < 0.8 * guidance[0]
    outputs = network(images)
    torch.testing.assert_close(outputs, names["logits"], atol=0.1, rtol=0)  # one step apart: the same network
    loop = BLOCKS[1][BLOCKS[1].index("optimizer") :]
    assert len(loop.strip().splitlines()) <= 10


def test_the_notebook_runs(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((DOCS / "quickstart.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum(len(text.splitlines()) for text in code) <= 30
    plt.switch_backend("agg")
    (finished / "docs").mkdir()
    monkeypatch.chdir(finished / "docs")
    names: dict[str, object] = {}
    try:
        for text in code:
            exec(text, names)
        assert plt.get_fignums()
    finally:
        plt.close("all")
    assert len(names["scores"]) == 8
    assert "trained on phantoms, which are drawn" in capsys.readouterr().out
