"""A new member of a catalogue is one file: each of `new_members` goes all the way in a copy of the project,
from settings and training to attacks and contract tests.

One process does it all, since importing torch takes longer than the rest.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import one_file_claims
import pytest

TESTS = Path(__file__).parent
MORE_PROMISES = [TESTS / "model" / f"test_{name}.py" for name in ("activations", "regularisers")]
HELPERS = ("members", "tiny_cells", "tiny_store", "tiny_victims", "one_file_claims")


def copy_project(folder: Path) -> list[str]:
    """The package with the new members, and the contract tests; returns the new names."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TESTS.parent / "pipeline", folder / "pipeline", ignore=ignored)
    shutil.copytree(TESTS / "new_members", folder / "pipeline", ignore=ignored, dirs_exist_ok=True)
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(TESTS.parent / name, folder)
    (folder / "tests" / "contracts").mkdir(parents=True)
    for name in HELPERS:
        shutil.copy(TESTS / f"{name}.py", folder / "tests")
    promises = [*TESTS.rglob("test_contract*.py"), *MORE_PROMISES]
    for path in promises:
        shutil.copy(path, folder / "tests" / "contracts" / f"test_{path.parent.name}_{path.stem}.py")
    return [path.stem for path in sorted((TESTS / "new_members").rglob("*.py"))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was wrong with each claim."""
    folder = tmp_path_factory.mktemp("copy")
    members = copy_project(folder)
    (folder / "work").mkdir()
    answers = folder / "answers.json"
    script = folder / "tests" / "one_file_claims.py"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "tests" / "contracts"), str(answers), *members],
        cwd=folder / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answers.is_file(), done.stdout + done.stderr
    result: dict[str, str] = json.loads(answers.read_text())
    if result["contract_tests"]:
        result["contract_tests"] += done.stdout
    return result


@pytest.mark.parametrize("claim", [*(each.__name__ for each in one_file_claims.CLAIMS), "contract_tests"])
def test_one_file_is_enough_for(claim: str, found: dict[str, str]) -> None:
    assert found[claim] == ""
