"""Above the runs of seeds stands one run with what they have in common."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_results import params, write_all, write_cell
from mlflow.entities import ViewType

from pipeline.tracking.sync import Looks, sync
from tests.tracking.mlflow_reader import CELL, client, parents, runs, table

THREE = params(datasets=1, seeds=3)
NAME = "cyborg/compact"


@pytest.fixture
def three(schema: None, place: Path) -> None:
    """Three seeds of every method beside an empty store, as working directory."""
    for name in ("runs", "evaluate", "identify", "data"):
        shutil.rmtree(place / name)
    write_all(THREE)


@pytest.mark.usefixtures("three")
def test_seeds_have_a_parent_with_their_means_and_intervals() -> None:
    assert sync(THREE) == (12, 0, 0)
    found = parents(client())
    assert sorted(found) == sorted(f"{method}/compact" for method in THREE.methods)
    parent, children = (
        found[NAME],
        [run for run in runs(client()) if run.info.run_name.startswith(f"{NAME}/")],
    )
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    name = "answer/conflict_auroc"
    each = [run.data.metrics[name] for run in children]
    limits = [parent.data.metrics[f"interval/conflict_auroc_{limit}"] for limit in ("low", "high")]
    assert parent.data.metrics[name] == pytest.approx(np.mean(each))
    assert min(each) <= limits[0] < np.mean(each) < limits[1] <= max(each)  # of a bootstrap over seeds
    assert len(parent.data.metrics) <= 40
    assert parent.data.params["seeds"] == "0, 1, 2" and parent.data.params["method.loss.name"] == "cyborg"
    assert parent.info.start_time == min(run.info.start_time for run in children)
    assert parent.info.end_time == max(run.info.end_time for run in children)
    seeds = table(client(), parent.info.run_id, "seeds").set_index("metric")
    assert sorted(seeds.loc[name, ["seed_0", "seed_1", "seed_2"]]) == pytest.approx(sorted(each))
    assert seeds["n"].eq(3).all()


@pytest.mark.usefixtures("three")
def test_another_seed_or_training_makes_another_parent() -> None:
    looks = Looks(say=lambda dataset, method: f"{method} was looked at.")
    sync(THREE, looks=looks)
    before = parents(client())
    sync(THREE, looks=looks)
    assert {name: run.info.run_id for name, run in parents(client()).items()} == {
        name: run.info.run_id for name, run in before.items()
    }
    write_cell(CELL, salt="again")
    sync(THREE, looks=looks)
    after, old = parents(client()), parents(client(), ViewType.DELETED_ONLY)
    assert {name for name in after if after[name].info.run_id != before[name].info.run_id} == {NAME}
    assert old.keys() == {NAME} and old[NAME].data.tags["superseded_by"] == after[NAME].info.run_id
    children = [run for run in runs(client()) if run.info.run_name.startswith(f"{NAME}/")]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {after[NAME].info.run_id}
    assert len(children) == 3
    assert after[NAME].data.tags["mlflow.note.content"] == "cyborg was looked at."


@pytest.mark.usefixtures("place", "schema")
def test_a_single_seed_has_no_interval() -> None:
    sync(params(datasets=1, seeds=1))
    metrics = parents(client())[NAME].data.metrics
    assert "answer/conflict_auroc" in metrics
    assert not [each for each in metrics if each.startswith("interval/")]
