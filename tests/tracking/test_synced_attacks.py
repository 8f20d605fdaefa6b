"""The records of attacks in MLflow: with the run of the training that they attacked, and only there."""

from pathlib import Path

import pandas as pd
import pytest
from fake_attacks import PLANNED, write_attacks
from fake_results import params, write_cell
from mlflow.entities import ViewType

from pipeline.tracking.sync import sync
from tests.tracking.mlflow_reader import CELL, client, content, runs, table

WITH_ATTACKS = params(datasets=1, seeds=1, track={"interval": 0.1}, robustness={"attacks": PLANNED})


@pytest.fixture
def under_attack(place: Path) -> Path:
    """The place with the records of all planned attacks on the cell, and only on that one."""
    write_attacks(CELL, WITH_ATTACKS)
    return place


@pytest.mark.usefixtures("schema")
def test_a_run_shows_the_attacks_on_its_cell(under_attack: Path) -> None:
    assert sync(WITH_ATTACKS) == (4, 0, 0)
    found = content(client())
    run, folder = found["cyborg/compact/0"], under_attack / "robustness/toy_0/compact/cyborg/0"
    values = pd.read_csv(folder / "bounded/values.csv")
    bounded = values[values["metric"] == "accuracy_linf"].sort_values("budget")["value"]
    assert run["metrics"]["robustness/bounded/accuracy_linf"] == pytest.approx(bounded.iloc[-1])
    assert run["metrics"]["robustness/hoax/pearson_clean_cam"] == pytest.approx(0.15)
    assert run["metrics"]["robustness/smallest/ara_btr"] == pytest.approx(0.02)
    assert len(run["metrics"]) <= 40
    (cyborg,) = [each for each in runs(client()) if each.info.run_name == "cyborg/compact/0"]
    shown = table(client(), cyborg.info.run_id, "robustness/bounded")
    assert list(shown) == list(values) and shown["value"].tolist() == pytest.approx(values["value"].tolist())
    record = pd.read_json(folder / "hoax/record.json", typ="series")
    assert run["tags"]["robustness/hoax_key"] == record["key"]
    assert {f"robustness/{name}.json" for name in PLANNED} <= set(run["files"])
    other = found["cross_entropy/compact/0"]
    assert not [name for name in (*other["metrics"], *other["tags"]) if "robustness" in name]


@pytest.mark.usefixtures("under_attack", "schema")
def test_a_second_sync_of_attacks_adds_nothing() -> None:
    sync(WITH_ATTACKS)
    before = content(client())
    assert sync(WITH_ATTACKS) == (0, 0, 4)
    assert content(client()) == before


@pytest.mark.usefixtures("place", "schema")
def test_attacks_that_come_later_complete_the_run() -> None:
    sync(WITH_ATTACKS)
    write_attacks(CELL, WITH_ATTACKS)
    assert sync(WITH_ATTACKS) == (0, 1, 3)
    assert "robustness/hoax/pearson_clean_cam" in content(client())["cyborg/compact/0"]["metrics"]
    assert sync(WITH_ATTACKS) == (0, 0, 4)


@pytest.mark.usefixtures("under_attack", "schema")
def test_an_attack_run_again_makes_a_new_run() -> None:
    sync(WITH_ATTACKS)
    write_attacks(CELL, WITH_ATTACKS, salt="stronger")
    assert sync(WITH_ATTACKS) == (1, 0, 3)
    (deleted,) = runs(client(), ViewType.DELETED_ONLY)
    assert deleted.info.run_name == "cyborg/compact/0"


@pytest.mark.usefixtures("under_attack", "schema")
def test_attacks_on_an_earlier_training_or_no_longer_planned_are_left_out() -> None:
    fewer = params(datasets=1, seeds=1, robustness={"attacks": {"hoax": PLANNED["hoax"]}})
    sync(fewer)
    run = content(client())["cyborg/compact/0"]
    assert {name.split("/")[1] for name in run["metrics"] if name.startswith("robustness/")} == {"hoax"}
    write_cell(CELL, salt="again")
    assert sync(fewer) == (1, 0, 3)
    run = content(client())["cyborg/compact/0"]
    assert not [name for name in run["metrics"] if name.startswith("robustness/")]
