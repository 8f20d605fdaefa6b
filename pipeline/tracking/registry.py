"""The best model of each data set, registered in MLflow by the data set's name with the alias `best`."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.common.config import Selection
from pipeline.common.files import canonical_json, sha256_text
from pipeline.tracking.contents import CellContents

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "best"
FROM, WHY = "chosen_from", "chosen_by"  # tags of a version: what it is the best of, and by which number


class Field(NamedTuple):
    """The cells of a data set of which one is the best, and the rule by which."""

    cells: list[CellContents]
    selection: Selection

    @property
    def key(self) -> str:
        """What the choice depends on."""
        trainings = sorted(each.keys["train"] for each in self.cells)
        return sha256_text(canonical_json([trainings, self.selection.model_dump()]))

    @property
    def rule(self) -> str:
        """The rule in words: the one by which training keeps an epoch."""
        return (
            f"the highest val_{self.selection.metric} of those of {len(self.cells)} cells whose val_auroc is "
            f"at most {self.selection.tolerance:g} below the best"
        )


class Best(NamedTuple):
    """The cell that validation prefers, and by which number."""

    contents: CellContents
    column: str
    value: float


def field(finished: Sequence[CellContents], methods: Collection[str], selection: Selection) -> Field:
    """The evaluated cells of some methods that validation says something of."""
    able = [
        each
        for each in finished
        if each.cell.method in methods and each.keys["evaluate"] and "val_auroc" in each.record["results"]
    ]
    return Field(able, selection)


def best(among: Field) -> Best:
    """The best of a field that is not empty."""
    from pipeline.model.selection import (
        COLUMNS,
        applied,
        chosen,
    )  # brings torch, which an idle sync does without

    metric, tolerance = among.selection.metric, among.selection.tolerance
    rows = [
        {column: each.record["results"].get(column) for column in COLUMNS.values()} for each in among.cells
    ]
    place, column = chosen(rows, metric, tolerance), COLUMNS[applied(rows, metric)]
    return Best(among.cells[place], column, float(rows[place][column]))


def registered(client: "MlflowClient", dataset: str) -> "ModelVersion | None":
    """The version of a data set's model that is called best; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(dataset, ALIAS)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def register(client: "MlflowClient", chosen: Best, among: Field, model_id: str, run_id: str) -> None:
    """Make a cell's model the best of its data set: a new version, or the one that it has already."""
    cell = chosen.contents.cell
    if not client.search_registered_models(f"name = '{cell.dataset}'"):
        about = f"The best of {cell.dataset} by validation, which cannot see a shortcut of all known sources"
        client.create_registered_model(cell.dataset, description=about)
    source = client.get_logged_model(model_id).artifact_location
    known = client.search_model_versions(f"name = '{cell.dataset}'")
    version = next((each for each in known if each.source == source), None)
    if version is None:
        version = client.create_model_version(
            cell.dataset,
            source=source,
            run_id=run_id,
            model_id=model_id,
            tags={"cell": cell.name, "cell_key": chosen.contents.keys["train"]},
        )
    why = f"{cell.name}, {chosen.column} {chosen.value:.3f}"
    client.update_model_version(cell.dataset, version.version, f"{why}: {among.rule}")
    for name, text in ((FROM, among.key), (WHY, why)):
        client.set_model_version_tag(cell.dataset, version.version, name, text)
    client.set_registered_model_alias(cell.dataset, ALIAS, version.version)
