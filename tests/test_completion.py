"""The script that completes `camdivide`: every command, and what lies in the folder where it is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import __main__ as command
from pipeline import completion

PACKAGE = Path(command.__file__).parent
# What bash does at the Tab key: COMPREPLY for the words of the line, the last of them unfinished.
PRESS_TAB = """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_camdivide camdivide "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash() -> str:
    return completion.script("bash")


def offered(script: str, folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word of `camdivide <words>` in a folder."""
    command = ["bash", "-c", script + PRESS_TAB, "bash", "camdivide", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return sorted(done.stdout.split())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    for name in ("mine", "paper"):
        (tmp_path / "profiles" / f"{name}.yaml").touch()
    shutil.copy(PACKAGE.parent / "params.yaml", tmp_path)
    for run in ("runs/cxr/compact/cyborg/0", "workspaces/mine/runs/mine/densenet121/cross_entropy/1"):
        (tmp_path / run).mkdir(parents=True)
    return tmp_path


def test_every_command_is_offered(bash: str, tmp_path: Path) -> None:
    assert offered(bash, tmp_path, "") == sorted(command.EXAMPLES)
    assert offered(bash, tmp_path, "re") == ["report", "repro"]


def test_stages_are_known_by_what_they_take() -> None:
    for kind, names in (("run_stage", completion.STAGES), ("run_dataset_stage", completion.DATASET_STAGES)):
        found = [path.stem for path in PACKAGE.glob("*.py") if f'{kind}("{path.stem}"' in path.read_text()]
        assert sorted(found) == sorted(names)


def test_what_lies_in_the_folder_is_offered(bash: str, project: Path) -> None:
    assert offered(bash, project, "repro", "") == ["mine", "paper"]
    assert offered(bash, project, "train", "") == ["cxr", "face", "iris"]
    assert offered(bash, project, "evaluate", "cxr", "f") == ["face"]
    assert offered(bash, project, "predict", "--model", "") == [
        "runs/cxr/compact/cyborg/0/",
        "workspaces/mine/runs/mine/densenet121/cross_entropy/1/",
    ]
    assert offered(bash, project, "attack", "--model", "runs/c") == ["runs/cxr/compact/cyborg/0/"]
    assert offered(bash, project, "attack", "--attack", "hoax") == ["hoax_both", "hoax_closed_form"]


def test_nothing_is_offered_in_a_folder_without_a_project(bash: str, tmp_path: Path) -> None:
    for words in (("repro", ""), ("train", ""), ("predict", "--model", ""), ("attack", "--attack", "")):
        assert offered(bash, tmp_path, *words) == []


def test_options_folders_and_files_are_offered(bash: str, project: Path) -> None:
    assert offered(bash, project, "new", "mine", "--") == sorted(
        [
            "--images",
            "--table",
            "--maps",
            "--columns",
            "--positive",
            "--held-out",
            "--yes",
            "--debug",
            "--help",
        ]
    )
    assert offered(bash, project, "new", "mine", "--images", "p") == ["profiles"]
    assert offered(bash, project, "new", "mine", "--table", "p") == ["params.yaml", "profiles"]
    assert offered(bash, project, "completion", "") == ["bash", "zsh"]


def test_zsh_gets_a_script_of_its_own() -> None:
    made = completion.script("zsh")
    assert made.startswith("#compdef camdivide\n")
    assert all(f"_camdivide_{argument}() {{ compadd -- " in made for argument in completion.WORDS)
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n"], input=made, text=True, check=True)
