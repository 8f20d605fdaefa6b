"""The architecture is held by tests: one direction of imports, and dvc.yaml tells what stages really use."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from pipeline.common.code import PACKAGE, closure, imported

ROOT = PACKAGE.parent
LAYERS = {"common": 0, "data": 1, "model": 1, "score": 1, "explain": 2, "grid": 2}
STAGES = ("phantoms", "prepare", "train", "evaluate", "identify", "robustness", "report", "track")
CATALOGUES = {  # what a stage loads by name, on top of what it imports
    "phantoms": ["pipeline/drawing"],
    "prepare": ["pipeline/data/adapters"],
    "train": [
        "pipeline/model/activations",
        "pipeline/model/backbones",
        "pipeline/model/losses",
        "pipeline/model/regularisers",
    ],
    "evaluate": ["pipeline/model/activations", "pipeline/model/backbones"],
    "identify": ["pipeline/model/activations", "pipeline/model/backbones"],
    "robustness": ["pipeline/explain/attacks", "pipeline/model/activations", "pipeline/model/backbones"],
}
READ = {  # whose settings a stage shows in full: read as source, never imported
    "report": ["pipeline/explain/attacks", "pipeline/model/activations", "pipeline/model/regularisers"],
}


def definitions() -> dict[str, dict]:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def layer(path: Path) -> int:
    parts = path.relative_to(PACKAGE).parts
    return LAYERS[parts[0]] if len(parts) > 1 else 3


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    upwards = [
        str(other.relative_to(PACKAGE))
        for other in imported(path)
        if other.name != "__init__.py" and layer(other) > layer(path)
    ]
    assert not upwards


@pytest.mark.parametrize("stage", [*STAGES, "predict"])
def test_stages_never_import_stages(stage: str) -> None:
    others = {PACKAGE / f"{other}.py" for other in (*STAGES, "predict")} - {PACKAGE / f"{stage}.py"}
    assert not others & set(closure([PACKAGE / f"{stage}.py"]))


def test_no_import_cycles() -> None:
    graph = {
        path: [other for other in imported(path) if other.name != "__init__.py"]
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_lists_what_the_stage_imports(stage: str) -> None:
    listed = {dep for dep in definitions()[stage]["deps"] if dep.startswith("pipeline/")}
    catalogues = CATALOGUES.get(stage, [])
    members = [path for folder in catalogues for path in (ROOT / folder).glob("*.py")]
    needed = {str(path.relative_to(ROOT)) for path in closure([PACKAGE / f"{stage}.py", *members])}
    needed = {path for path in needed if str(Path(path).parent) not in catalogues}
    templates = (
        {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.j2")} if stage == "report" else set()
    )
    empty = {path for path in needed if not ast.parse((ROOT / path).read_text()).body}
    assert listed == (needed - empty) | set(catalogues) | set(READ.get(stage, [])) | templates


def test_the_stages_stand_in_story_order() -> None:
    assert tuple(definitions()) == STAGES


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_is_a_room_with_one_purpose(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not text or ast.get_docstring(ast.parse(text)), "say in the first sentence what the file is for"
