"""Profiles: a small file over params.yaml, run in a folder of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.common import catalogue, workspace
from pipeline.common.config import load
from pipeline.common.errors import UserError
from pipeline.model.weights import find

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's settings with profiles of its own."""
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    (tmp_path / "profiles").mkdir()
    (tmp_path / "pipeline").mkdir()
    monkeypatch.setattr(workspace, "PROJECT", tmp_path)
    return tmp_path


def write(project: Path, name: str, text: str) -> None:
    (project / "profiles" / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("profile", sorted(path.stem for path in (PROJECT / "profiles").glob("*.yaml")))
def test_every_shipped_profile_is_valid(project: Path, profile: str) -> None:
    write(project, profile, (PROJECT / "profiles" / f"{profile}.yaml").read_text())
    folder = workspace.workspace(profile)
    load(folder / "params.yaml")


@pytest.mark.parametrize("profile", ["study", "robustness"])
def test_phantoms_of_a_study_are_those_of_the_default_run(profile: str) -> None:
    """But for the seed and what the names of draws and variants tell."""
    default = yaml.safe_load((PROJECT / "params.yaml").read_text())
    own = workspace.merge(default, yaml.safe_load((PROJECT / "profiles" / f"{profile}.yaml").read_text()))
    for name, dataset in own["datasets"].items():
        task = name.split("_")[0]
        same = default["datasets"][task].keys() - {"root"}
        assert {key: dataset[key] for key in same} == {key: default["datasets"][task][key] for key in same}
        drawn = own["phantoms"]["tasks"][Path(dataset["root"]).name]
        varied = {"seed": 0, "shortcut": "local", "shortcut_agreement": 1.0}
        filled = [
            catalogue.filled("drawing", {**each, **varied})
            for each in (drawn, default["phantoms"]["tasks"][task])
        ]
        assert filled[0] == filled[1]


def test_only_what_the_profile_names_changes(project: Path) -> None:
    write(project, "quick", "train: {epochs: 1}\nmethods: {cyborg: {loss: {name: cyborg, alpha: 0.3}}}\n")
    folder = workspace.workspace("quick")
    before, after = load(project / "params.yaml"), load(folder / "params.yaml")
    assert (after.train.epochs, after.train.batch_size) == (1, before.train.batch_size)
    assert list(after.methods) == ["cyborg"]
    assert (folder / "pipeline").resolve() == (project / "pipeline").resolve()
    assert after.datasets["cxr"].root == before.datasets["cxr"].root


def test_what_a_profile_names_of_the_grid_is_all_that_there_is(project: Path) -> None:
    """Attacks, methods and phantoms are replaced whole: none of params.yaml is left beside them."""
    attacks = "robustness: {attacks: {mine: {attack: {name: pgd}}}}\n"
    write(project, "own", attacks + "phantoms: {tasks: {}}\nbackbones: {r: {name: resnet50}}\n")
    found = load(workspace.workspace("own") / "params.yaml")
    assert (list(found.robustness.attacks), list(found.backbones), found.phantoms.tasks) == (
        ["mine"],
        ["r"],
        {},
    )
    assert found.robustness.images == load(project / "params.yaml").robustness.images


def test_a_list_of_augmentations_replaces_the_default(project: Path) -> None:
    write(project, "flip", "train: {augment: [{name: VerticalFlip, p: 1}]}\n")
    found = load(workspace.workspace("flip") / "params.yaml")
    assert found.train.augment == [{"name": "VerticalFlip", "p": 1}]


def test_roots_may_come_from_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = yaml.safe_load((project / "params.yaml").read_text())["datasets"]
    datasets["cxr"]["root"] = "${MY_IMAGES:-../images}/cxr"
    write(project, "mine", yaml.safe_dump({"datasets": datasets}))
    folder = workspace.workspace("mine")
    root = load(folder / "params.yaml").datasets["cxr"].root  # as seen from the workspace, on any machine
    assert root == "../../../images/cxr"
    assert (folder / root).resolve() == project.parent / "images" / "cxr"
    monkeypatch.setenv("MY_IMAGES", "/scans")
    assert load(workspace.workspace("mine") / "params.yaml").datasets["cxr"].root == "/scans/cxr"


def test_only_phantoms_are_drawn_in_the_workspace(project: Path) -> None:
    datasets = yaml.safe_load((project / "params.yaml").read_text())["datasets"]
    datasets["cxr"]["root"] = "data/raw/phantoms_of_opera"
    write(project, "mine", yaml.safe_dump({"datasets": datasets}))
    found = load(workspace.workspace("mine") / "params.yaml").datasets
    assert found["cxr"].root == "../../data/raw/phantoms_of_opera"
    assert found["iris"].root == "data/raw/phantoms/iris"


def test_a_typo_names_the_nearest_profile(project: Path) -> None:
    write(project, "paper", "")
    with pytest.raises(UserError, match="did you mean 'paper'"):
        workspace.workspace("papr")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: {epoch: 1}", "train.epoch: unknown key"),
        ("datasets: {mine: {title: t}}", "datasets.mine.root: missing"),
        ("datasets: null", "datasets: Input should be"),
        ("[train]", "expected sections"),
    ],
)
def test_a_wrong_profile_creates_nothing(project: Path, text: str, expected: str) -> None:
    write(project, "wrong", text)
    with pytest.raises(UserError, match=rf"profiles/wrong.yaml over params.yaml: {expected}"):
        workspace.workspace("wrong")
    assert not (project / "workspaces").exists()


def test_git_keeps_the_settings_and_the_lock_of_a_study_and_no_data(project: Path) -> None:
    (project / ".gitignore").write_bytes((PROJECT / ".gitignore").read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    write(project, "mine", "train: {epochs: 1}\n")
    folder = workspace.workspace("mine")
    made = ("dvc.lock", "runs/a/model", "reports/index.html", "mlflow.db", ".dvc/tmp/x", "data/raw/a.png")
    for name in (*made, "dvc_plots/index.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    command = ["git", "ls-files", "--others", "--exclude-standard", "workspaces"]
    seen = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.split()
    kept = {".dvc/config", ".dvcignore", "dvc.lock", "dvc.yaml", "params.yaml", "pipeline"}
    assert {Path(path).relative_to("workspaces/mine").as_posix() for path in seen} == kept


def test_dvc_compares_a_study_with_what_git_has(project: Path) -> None:
    (project / ".gitignore").write_bytes((PROJECT / ".gitignore").read_bytes())
    write(project, "mine", "train: {epochs: 2}\n")
    folder = workspace.workspace("mine")
    git = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "A study"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    write(project, "mine", "train: {epochs: 3}\n")
    workspace.workspace("mine")
    command = [sys.executable, "-m", "dvc", "params", "diff", "--json"]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert json.loads(told) == {"params.yaml": {"train.epochs": {"old": 2, "new": 3, "diff": 1}}}


def test_first_weights_are_put_into_the_project_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "first", "")
    write(project, "second", "")
    for name in ("first", "second", "first"):
        folder = workspace.workspace(name)
    (workspace.workspace("second") / "data" / "weights" / "one.safetensors").touch()
    assert (project / "data" / "weights" / "one.safetensors").is_file()
    assert (folder / "data" / "weights" / "one.safetensors").is_file()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CAMDIVIDE_WEIGHTS", raising=False)
    (project / "data" / "weights" / "densenet121.safetensors").touch()
    assert find("densenet121", "imagenet").is_file()
