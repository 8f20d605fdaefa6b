"""What `make repro` says while DVC runs, and that it leaves with DVC's exit code."""

from pathlib import Path

import pytest
import yaml

from pipeline import repro
from pipeline.common.config import load
from pipeline.common.workspace import project
from pipeline.repro import TYPICAL, Progress, follow, plan

ROOT = Path(__file__).parents[1]


def told(progress: Progress, *lines: tuple[float, str]) -> list[str]:
    return [said for now, line in lines for said in progress.lines(line, now)]


def test_stages_are_those_of_dvc_in_order() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert list(TYPICAL) == list(stages)
    assert [name for name, stage in stages.items() if "foreach" in stage] == [repro.PER_DATASET]


def test_each_stage_says_its_place_and_what_is_kept() -> None:
    found = told(
        Progress(["a", "b"], typical=False),
        (0, "Stage 'phantoms' didn't change, skipping"),
        (0, "Stage 'prepare@a' didn't change, skipping"),
        (0, ""),
        (1, "Running stage 'prepare@b':"),
        (1, "> python -m pipeline.prepare"),
        (2, "data/prepared/b: 9 rows, 0 quarantined"),
        (3, "Updating lock file 'dvc.lock'"),
        (3, "Running stage 'track':"),
        (4, "Use `dvc push` to send your updates to remote storage."),
    )
    assert found == [
        "as before: phantoms, prepare@a",
        "\nprepare@b: stage 3 of 9",
        "data/prepared/b: 9 rows, 0 quarantined",
        "\ntrack: stage 9 of 9",
    ]


def test_the_time_that_is_left_follows_the_pace_so_far() -> None:
    progress = Progress(["a"], typical=True)
    rest = sum(TYPICAL.values())
    (first,) = told(progress, (0, "Running stage 'phantoms':"))
    assert first.endswith(f"stage 1 of 8, {repro.duration(rest)} left of all")
    (second,) = told(progress, (3 * TYPICAL["phantoms"], "Running stage 'prepare@a':"))  # thrice as slow
    assert second.endswith(f"{repro.duration(3 * (rest - TYPICAL['phantoms']))} left of all")
    quick = Progress(["a"], typical=True)
    *_, last = told(quick, (0, "Running stage 'phantoms':"), (0.1, "Running stage 'train':"))
    assert last.endswith(f"{repro.duration(rest - TYPICAL['phantoms'] - TYPICAL['prepare'])} left of all")


def test_the_plan_says_what_comes_how_long_and_where_results_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = load(ROOT / "params.yaml")
    line = plan(params, project(), Progress(params.datasets, typical=True))
    assert line.startswith("camdivide: 3 data sets, 5 methods, 45 trainings; 10 stages, about ")
    assert line.endswith("Results: reports/index.html")
    assert "minutes" not in plan(params, project(), Progress(params.datasets, typical=False))


def test_a_failing_stage_is_a_failing_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    stages = {"phantoms": {"cmd": "echo drawn"}, "train": {"cmd": "exit 3"}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    assert follow(tmp_path, Progress([], typical=False)) != 0
    out = capfd.readouterr().out
    assert "phantoms: stage 1 of 7" in out and "drawn" in out and "exit 3" not in out
