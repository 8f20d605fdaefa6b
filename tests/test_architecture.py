"""The architecture is held by tests: rooms, one direction of imports, what dvc.yaml says each stage uses."""

import ast
import json
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from pipeline.common import catalogue
from pipeline.common.code import PACKAGE

ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
# A room imports itself and rooms further to the left; files on top import any room.
ORDER = ("common", "drawing", "data", "score", "model", "explain", "measure", "grid", "tracking", "present")
APART = {"drawing": {"common"}}  # knows nothing else
STAGES = ("phantoms", "prepare", "train", "evaluate", "identify", "robustness", "report", "track")
BY_NAME = {  # rooms whose members a stage finds by name, or reads as source, and does not import
    "phantoms": {"drawing"},
    "report": {"explain", "model"},
}


def imported(path: Path) -> set[Path]:
    """The files of the package that one file imports, also inside functions; not for types alone."""
    found = set()
    tree = ast.parse(path.read_text())
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == PACKAGE.name:
                place = ROOT.joinpath(*name.split("."))
                found |= {
                    file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()
                }
    return found - {path}


IMPORTED = {path: imported(path) for path in FILES}


def room(path: Path) -> str:
    """The folder below the package; blank for files on top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def short(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_room_has_its_place_and_is_explained() -> None:
    assert {room(path) for path in FILES} - {""} == set(ORDER)
    told = (ROOT / "CONTRIBUTING.md").read_text()
    assert [name for name in ORDER if f"    {name}/" not in told] == []


def test_imports_point_one_way() -> None:
    allowed = {name: APART.get(name, set(ORDER[: place + 1])) | {name} for place, name in enumerate(ORDER)}
    wrong = [
        f"{short(path)} imports {short(other)}"
        for path in FILES
        for other in IMPORTED[path]
        if room(path) and room(other) not in allowed[room(path)]
    ]
    assert wrong == []


def test_files_on_top_import_no_other_file_on_top() -> None:
    top = {path for path in FILES if not room(path) and path.name != "__init__.py"}
    assert {
        short(path): sorted(map(short, IMPORTED[path] & top)) for path in top if IMPORTED[path] & top
    } == {}


def test_no_import_cycles() -> None:
    plain = {path: {p for p in others if p.name != "__init__.py"} for path, others in IMPORTED.items()}
    tuple(TopologicalSorter(plain).static_order())  # raises CycleError


def reached(path: Path) -> set[Path]:
    found, waiting = set(), [path]
    while waiting:
        new = waiting.pop()
        if new not in found:
            found.add(new)
            waiting += IMPORTED[new]
    return found


def test_dvc_lists_the_rooms_that_each_stage_uses() -> None:
    """Whatever DVC did not list could change without a stage being run again."""
    stages = {
        name: stage.get("do", stage)
        for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
    }
    assert tuple(stages) == STAGES  # in story order
    members = {kind: {PACKAGE / kind} for kind in catalogue.ENTRY_POINTS}
    assert members
    for name, stage in stages.items():
        listed = {dep for dep in stage["deps"] if dep.startswith("pipeline/")}
        used = {room(path) for path in reached(PACKAGE / f"{name}.py")} - {""} | BY_NAME.get(name, set())
        if name != "track":  # it always runs
            assert listed == {f"pipeline/{name}.py", *(f"pipeline/{each}" for each in used)}, name


def test_a_file_is_a_room_with_one_purpose() -> None:
    without = [
        short(p) for p in FILES if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert without == []
    assert {short(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 300} == {}


def test_functions_are_short() -> None:
    long = {
        f"{short(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 40
    }
    assert long == {}


def test_no_two_files_or_classes_have_one_name() -> None:
    """But for a stage and what it hands its work to, and for members of different catalogues."""
    folders = {PACKAGE / kind for kind in catalogue.ENTRY_POINTS}
    files = Counter(path.name for path in FILES if path.name != "__init__.py" and path.parent not in folders)
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in (files + classes).items() if count > 1] == []


SIDE_EFFECTS = """
import importlib, json, logging, os, sys
import cv2, matplotlib, monai, pydicom  # what these do to the environment is their own affair
before = dict(os.environ)
backend = matplotlib.rcParams._get_backend_or_none()
logger, mode = logging.getLogger("pydicom").level, pydicom.config.settings.reading_validation_mode
for name in sys.argv[1:]:
    importlib.import_module(name)
hosts = ("mlflow", "matplotlib", "pandas", "PIL", "scipy")
now = logging.getLogger("pydicom").level, pydicom.config.settings.reading_validation_mode
print(json.dumps({
    "environment": sorted(set(os.environ.items()) ^ set(before.items())),
    "hidden modules": [name for name in hosts if sys.modules.get(name, name) is None],
    "backend": [backend, matplotlib.rcParams._get_backend_or_none()],
    "pydicom": [[logger, mode], now],
}))
"""


def test_importing_the_package_changes_nothing_in_the_host_program() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES
    ]
    done = subprocess.run(
        [sys.executable, "-c", SIDE_EFFECTS, *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["environment"] == [] and found["hidden modules"] == []
    assert found["backend"][0] == found["backend"][1]
    assert found["pydicom"][0] == found["pydicom"][1]


@pytest.mark.parametrize("kind", sorted(catalogue.ENTRY_POINTS))
def test_every_catalogue_has_members_with_readable_settings(kind: str) -> None:
    assert catalogue.names(kind)
    for name in catalogue.names(kind):
        catalogue.settings_model(kind, name)
