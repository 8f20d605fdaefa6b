"""All stages, as a user runs them: `dvc repro` on tiny phantoms, twice, on different numbers of workers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from reported import without_provenance

from pipeline.common.paths import CIRCUMSTANCES
from pipeline.common.workspace import merge

ROOT = Path(__file__).parents[1]
TINY = {
    "cxr": {"films_known": 24, "films_held_out": 12},
    "iris": {"known_live": 30, "known_attack": 12, "held_out_live": 10, "held_out_attack": 6},
    "face": {"known_authentic": 16, "known_generator": 12, "held_out_authentic": 10, "held_out_generator": 6},
}
METHODS = ("cross_entropy", "cyborg")
ATTACKS = {  # on the weights, on images, on decisions; each on a data set of its own, to be quick
    "hoax": {"attack": {"name": "sham", "epochs": 1}, "datasets": ["cxr"]},
    "manipulation": {"attack": {"name": "manipulation", "steps": 3}, "datasets": ["face"], "seeds": [0]},
    "minimal": {
        "attack": {"name": "minimal_perturbation", "steps": 4, "explain_steps": 2},
        "datasets": ["iris"],
    },
    "pgd": {"attack": {"name": "pgd", "linf": [0.01], "l2": [0.01], "steps": 2, "restarts": 1}, "seeds": [0]},
}


def settings(workers: int) -> dict[str, Any]:
    """The shipped settings, made small."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for task, counts in TINY.items():
        params["phantoms"]["tasks"][task].update(counts)
    params["methods"] = {name: params["methods"][name] for name in METHODS}
    params["prepare"]["image_size"] = 48
    params["train"].update(seeds=[0, 1], epochs=2)
    params["evaluate"].update(curve_steps=4, curve_samples=8, gallery=2)
    params["identify"].update(max_concepts=3, exemplars=2)
    params["robustness"].update(images=6, shown=2, attacks=ATTACKS)
    params["engine"]["workers"] = workers
    return params


def make_project(folder: Path, params: dict[str, Any]) -> Path:
    """A folder in which `dvc repro` runs this checkout's code with its own settings and no git."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    for name in (".dvcignore", "dvc.yaml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    return folder


def repro(folder: Path) -> str:
    """Run `dvc repro` and return all that it printed."""
    return dvc(folder, "repro", both=True)


def dvc(folder: Path, *arguments: str, both: bool = False) -> str:
    """What a command of DVC printed, with `both` on standard error too."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + (done.stderr if both else "")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("first"), settings(workers=1))
    repro(folder)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a result but those that tell when, how long and on what machine, or that part of it."""
    found = {}
    for top in ("data", "runs", "evaluate", "identify", "robustness", "reports"):
        for path in sorted((folder / top).rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.name != CIRCUMSTANCES and not name.match("reports/cost.*"):
                found[str(name)] = path.read_bytes()
    page = found["reports/index.html"].decode()
    return found | {"reports/index.html": without_provenance(page).encode()}


def test_a_second_run_elsewhere_gives_the_same_bytes_and_the_same_lock(project: Path, tmp_path: Path) -> None:
    other = make_project(tmp_path / "second", settings(workers=2))
    repro(other)
    first, second = bytes_of(project), bytes_of(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert (project / "dvc.lock").read_text() == (other / "dvc.lock").read_text()


def test_dvc_shows_headline_numbers_and_curves(project: Path) -> None:
    shown = json.loads(dvc(project, "metrics", "show", "--json"))
    numbers = {path: found["data"] for path, found in shown[""]["data"].items()}
    assert set(numbers) == {
        f"reports/metrics/{task}/compact/{name}.json" for task in TINY for name in METHODS
    }
    table = pd.read_csv(project / "reports" / "tables" / "generalisation.csv")
    means = table[table["scope"] == "macro"].set_index(["dataset", "method"])["mean"]
    shown_mean = numbers["reports/metrics/iris/compact/cyborg.json"]["held_out_auroc"]
    assert shown_mean == pytest.approx(means["iris", "cyborg"], abs=1e-6)
    assert "training.csv" in dvc(project, "plots", "show", "--json")


def test_a_repeated_repro_runs_nothing_but_track(project: Path) -> None:
    output = repro(project)
    assert output.count("Running stage") == 1
    assert "Running stage 'track'" in output


def test_changing_one_method_trains_its_cells_only(project: Path) -> None:
    before = records(project)
    path = project / "params.yaml"
    original = path.read_text()
    changed = yaml.safe_load(original)
    changed["methods"]["cyborg"]["loss"]["alpha"] = 0.7
    path.write_text(yaml.safe_dump(changed, sort_keys=False))
    repro(project)
    after = records(project)
    assert {cell for cell in before if before[cell] != after[cell]} == {c for c in before if c[2] == "cyborg"}


def records(project: Path) -> dict[tuple[str, ...], str]:
    """Cell -> when it was trained."""
    found = {}
    for path in (project / "runs").rglob(CIRCUMSTANCES):
        found[tuple(path.parent.relative_to(project / "runs").parts)] = json.loads(path.read_text())[
            "started"
        ]
    return found


def test_every_cell_reaches_the_tables(project: Path) -> None:
    cells = pd.read_csv(project / "reports" / "tables" / "cells.csv")
    assert len(cells) == 3 * len(METHODS) * 2
    assert cells["missing"].isna().all()
    page = (project / "reports" / "index.html").read_text()
    assert "phantom" in page.lower()


@pytest.mark.slow
def test_the_paper_profile_runs_on_phantoms(tmp_path: Path) -> None:
    """Its backbones, image size, schedule and reports, for one epoch, without licensed data and weights."""
    paper = yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text(encoding="utf-8"))
    params = settings(workers=2)
    iris = {"tasks": {"iris": params["phantoms"]["tasks"]["iris"]}}
    params = merge(params, paper) | {"datasets": {"iris": params["datasets"]["iris"] | {"channels": 3}}}
    params["phantoms"] = {"seed": 1, **iris}
    params["backbones"] = {name: {"name": name} for name in paper["backbones"]}
    params["methods"] = {
        name: paper["methods"][name] for name in ("cross_entropy", "cyborg_05", "true_false_05")
    }
    params["train"].update(epochs=1, seeds=[0])
    project = make_project(tmp_path, params)
    repro(project)
    assert len(records(project)) == 3 * 3
    assert len(pd.read_csv(project / "reports" / "tables" / "cells.csv")) == 3 * 3
