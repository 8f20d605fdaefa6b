"""The engine: cells are skipped, run, and fail alone; Ctrl-C and dying workers cost no finished cell."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import joblib
import psutil
import pytest
import tiny_store

from pipeline.common.config import Engine
from pipeline.common.errors import UserError
from pipeline.grid import engine, records, worker
from tests.grid.engine_work import meeting, seen, task, work

HERE = Path(__file__).parent


def settings(workers: int = 1, backend: str = "loky") -> Engine:
    return tiny_store.params(engine={"workers": workers, "backend": backend}).engine


def tries(folder: Path) -> int:
    return len((folder / "tries").read_text().splitlines()) if (folder / "tries").exists() else 0


def test_every_cell_runs_once_and_is_then_skipped(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tasks = [task(tmp_path, "good", seed) for seed in range(3)]
    engine.run("train", tasks, work, settings(), device="cpu")
    assert all(records.finished(task.folder, task.key) for task in tasks)
    assert "train tiny: 3/3 cells done, 0 running, 0 failed" in capsys.readouterr().err
    engine.run("train", tasks, work, settings(), device="cpu")
    assert [tries(task.folder) for task in tasks] == [1, 1, 1]
    assert capsys.readouterr().err == ""
    engine.run("train", [task(tmp_path, "later")], work, settings(), device="cpu", unit="attacks")
    assert "train tiny: 1/1 attacks done" in capsys.readouterr().err


def test_cells_of_several_data_sets_run_together_and_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tasks = [task(tmp_path, method, dataset=name) for name in ("a", "b") for method in ("good", "full")]
    with pytest.raises(UserError) as caught:
        engine.run("train", tasks, work, settings(), device="cpu")
    assert [line.split("/")[0] for line in caught.value.problems] == ["a: full", "b: full"]
    assert "train: 2/4 cells done, 0 running, 2 failed" in capsys.readouterr().err


def test_only_the_cells_whose_key_changed_run_again(tmp_path: Path) -> None:
    tasks = [task(tmp_path, "good", seed) for seed in range(2)]
    engine.run("train", tasks, work, settings(), device="cpu")
    tasks[1] = tasks[1]._replace(key="new")
    engine.run("train", tasks, work, settings(), device="cpu")
    assert [tries(task.folder) for task in tasks] == [1, 2]


def test_what_a_killed_process_left_half_written_is_gone(tmp_path: Path) -> None:
    (killed,) = tasks = [task(tmp_path, "good")]
    killed.folder.mkdir(parents=True)
    (killed.folder / ".out.txt.x1_b.txt").write_text("do")
    engine.run("train", tasks, work, settings(), device="cpu")
    assert not list(killed.folder.glob(".*")) and (killed.folder / "out.txt").is_file()


def test_a_damaged_cell_runs_again_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tasks = [task(tmp_path, "good", seed) for seed in range(2)]
    engine.run("train", tasks, work, settings(), device="cpu")
    (tasks[0].folder / "out.txt").write_text("dome")
    (tasks[1].folder / "record.json").write_text("{")
    capsys.readouterr()
    engine.run("train", tasks, work, settings(), device="cpu")
    assert capsys.readouterr().err.count("the cell counts as unfinished") == 2
    assert all(records.finished(task.folder, task.key) for task in tasks)


def test_failures_stay_alone_and_are_listed_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tasks = [task(tmp_path, method) for method in ("mistake", "good", "bug", "full", "good2")]
    with pytest.raises(UserError) as caught:
        engine.run("train", tasks, work, settings(), device="cpu")
    assert records.finished(tasks[1].folder, tasks[1].key) and records.finished(tasks[4].folder, tasks[4].key)
    lines = caught.value.problems
    assert lines[:2] == [f"tiny: mistake/compact/0: {nth} problem" for nth in ("first", "second")]
    assert lines[2].startswith("tiny: bug/compact/0: KeyError: 'oops' (traceback in ")
    assert lines[3].startswith("tiny: full/compact/0: could not read or write ")
    assert lines[3].endswith("model.safetensors: No space left on device")
    assert "raise KeyError" in (tasks[2].folder / worker.ERROR_LOG).read_text()
    assert "2/5 cells done, 0 running, 3 failed" in capsys.readouterr().err


def test_a_cell_that_failed_is_tried_again_and_leaves_no_log(tmp_path: Path) -> None:
    bad = task(tmp_path, "bug")
    with pytest.raises(UserError):
        engine.run("train", [bad], work, settings(), device="cpu")
    mended = bad._replace(cell=task(tmp_path, "good").cell)
    engine.run("train", [mended], work, settings(), device="cpu")
    assert not (bad.folder / worker.ERROR_LOG).exists()


def test_an_old_record_is_gone_before_the_cell_is_run_anew(tmp_path: Path) -> None:
    old = task(tmp_path, "good")
    engine.run("train", [old], work, settings(), device="cpu")
    again = old._replace(key="new", cell=task(tmp_path, "mistake").cell)
    with pytest.raises(UserError):
        engine.run("train", [again], work, settings(), device="cpu")
    assert not (old.folder / "record.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match=r"could not read or write .*: Permission denied"):
        engine.run("train", [task(tmp_path, "good")], work, settings(), device="cpu")


def test_a_folder_that_is_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("a file where the cells' folder should be")
    with pytest.raises(UserError, match=r"good/compact/0: could not read or write .*: Not a directory"):
        engine.run("train", [task(tmp_path, "good")], work, settings(), device="cpu")


def test_a_worker_that_dies_takes_no_other_cell_down(tmp_path: Path) -> None:
    tasks = [task(tmp_path, method) for method in ("good", "dies", "good2", "good3")]
    with pytest.raises(UserError) as caught:
        engine.run("train", tasks, work, settings(workers=2), device="cpu")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(
        "tiny: dies/compact/0: its worker process died, perhaps for want of"
    )
    others = [task for task in tasks if task.cell.method != "dies"]
    assert all(records.finished(task.folder, task.key) for task in others)
    pids = {(task.folder / "tries").read_text().strip().splitlines()[-1] for task in others}
    assert str(os.getpid()) not in pids


def test_two_workers_have_a_gpu_each_and_monai_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    tasks = meeting(tmp_path, 2)
    engine.run("train", tasks, work, settings(workers=2), device="auto")
    first, second = (seen(task) for task in tasks)
    assert {first["device"], second["device"]} == {"cuda:0", "cuda:1"} and first["pid"] != second["pid"]
    assert "monai.networks.nets" in first["modules"]
    for hidden in ("mlflow", "matplotlib", "PIL"):
        assert hidden not in first["modules"] and hidden not in first["holes"]


def test_what_a_task_loads_by_name_is_there_when_its_work_starts(tmp_path: Path) -> None:
    sys.modules.pop("colorsys", None)
    needs, lacks = task(tmp_path, "good"), task(tmp_path, "good2")
    tasks = [needs._replace(code=("colorsys:rgb_to_hls",)), lacks._replace(code=("no_such_module:measure",))]
    with pytest.raises(UserError, match=r"^tiny: good2/compact/0: ModuleNotFoundError: .*'no_such_module'"):
        engine.run("train", tasks, work, settings(), device="cpu")
    assert "colorsys" in seen(needs)["modules"]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_that_is_named_is_every_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, forked: None
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    tasks = meeting(tmp_path, 2)
    engine.run("train", tasks, work, settings(workers=2), device=device)
    assert [seen(task)["device"] for task in tasks] == [device, device]


@pytest.mark.parametrize(("share", "per_gpu"), [(1, 1), (0.25, 4)])
def test_cells_are_spread_over_eight_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, per_gpu: int, forked: None
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("joblib.cpu_count", lambda: 64)
    chosen = tiny_store.params(engine={"workers": "auto", "threads": 1, "gpus_per_cell": share}).engine
    tasks = meeting(tmp_path, 8 * per_gpu)
    engine.run("train", tasks, work, chosen, device="auto")
    found = Counter(seen(task)["device"] for task in tasks)
    assert found == {f"cuda:{gpu}": per_gpu for gpu in range(8)}


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked, so that they start at once: what the backend else starts is not looked at."""

    @contextlib.contextmanager
    def parallel(chosen: Engine, tasks: int, workers: int) -> Iterator[joblib.Parallel]:
        count = min(workers, tasks)
        with joblib.parallel_config("multiprocessing", n_jobs=count):
            yield joblib.Parallel(pre_dispatch="n_jobs", batch_size=1)

    monkeypatch.setattr(engine, "parallel", parallel)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A stage in a session of its own, as soon as its slow cell has started."""
    paths = os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))
    process = subprocess.Popen(
        [sys.executable, str(HERE / "engine_work.py"), str(tmp_path)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not tries(task(tmp_path, "slow", 2).folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_ctrl_c_keeps_finished_cells_and_stops_workers_at_once(
    tmp_path: Path, stage: subprocess.Popen
) -> None:
    good, slow = task(tmp_path, "good"), task(tmp_path, "slow", 2)
    os.killpg(stage.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, error = stage.communicate(timeout=20)
    assert stage.returncode == 130
    assert error.endswith("train tiny: stopped; finished work is kept\n") and "Traceback" not in error
    assert records.finished(good.folder, good.key)
    with pytest.raises(ProcessLookupError):
        os.kill(int((slow.folder / "tries").read_text()), 0)


def test_workers_end_with_their_parent_however_it_ends(tmp_path: Path, stage: subprocess.Popen) -> None:
    workers = psutil.Process(stage.pid).children(recursive=True)
    assert int((task(tmp_path, "slow", 2).folder / "tries").read_text()) in [each.pid for each in workers]
    stage.kill()
    deadline = time.monotonic() + 10
    while any(map(lives, workers)):
        assert time.monotonic() < deadline, "a worker outlives its parent by 10 s"
        time.sleep(0.1)


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
