"""Every rule of a manifest row has a mutation that breaks exactly that rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.data import manifest
from pipeline.data.samples import Boxes, Drawn, Sample

ROOT = Path("/data")
FACTS = {"file_bytes": 10, "width": 640, "height": 480, "bits": 8, "photometric": "L", "phi_flag": "absent"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"


def sample(**changes: object) -> Sample:
    values = {
        "native_id": "a1",
        "image_path": ROOT / "images" / "a1.png",
        "label": 1,
        "class_name": "print",
        "source": "print",
        "source_kind": "attack_type",
        "modality": "iris_nir",
        "subject_id": "cvrl:05",
        "native_split": "train",
        "annotations": [Drawn(Path("/data/map.png"))],
        "adapter": "cvrl_iris",
    }
    return Sample(**{**values, **changes})  # type: ignore[arg-type]


def row(**changes: Any) -> dict[str, Any]:
    """A whole valid row, then `changes`."""
    decoded = {**FACTS, "sha256": "0" * 64, "annotators": 3, "split": "train"}
    return manifest.listed(sample(), ROOT) | decoded | changes


def codes(*rows: dict[str, Any]) -> list[str]:
    return [problem.code for problem in manifest.problems(manifest.table(rows))]


def test_a_valid_row_breaks_no_rule_and_is_read_with_its_types() -> None:
    assert codes(row()) == []
    text = dict(zip(manifest.COLUMNS, manifest.table([row()]).iloc[0], strict=True))
    assert manifest.ManifestRow.model_validate(text).model_dump() == row()


def test_every_column_is_described() -> None:
    text = DOCUMENT.read_text()
    assert [column for column in manifest.COLUMNS if f"| `{column}` |" not in text] == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sample_id": "a b"}, "E_ROW_SHAPE"),
        ({"sample_id": "x" * 201}, "E_ROW_SHAPE"),
        ({"image_path": "/etc/passwd"}, "E_PATH_ESCAPE"),
        ({"image_path": "a/../../b.png"}, "E_PATH_ESCAPE"),
        ({"image_path": "a\\b.png"}, "E_PATH_ESCAPE"),
        ({"label": "2"}, "E_LABEL"),
        ({"label": "one"}, "E_LABEL"),
        ({"modality": ""}, "E_ENUM"),
        ({"source_kind": "hospital"}, "E_ENUM"),
        ({"native_split": "none"}, "E_ENUM"),
        ({"split": "dev"}, "E_ENUM"),
        ({"class_name": "Print!"}, "E_ENUM"),
        ({"class_name": "live"}, "E_LABEL_RULE"),
        ({"label": "0", "class_name": "attack"}, "E_LABEL_RULE"),
        ({"source": ""}, "E_SOURCE"),
        ({"source": "Site A"}, "E_SOURCE"),
        ({"subject_id": ""}, "E_SUBJECT"),
        ({"subject_known": "0"}, "E_SUBJECT"),
        ({"subject_known": "2"}, "E_SUBJECT"),
        ({"width": "0"}, "E_DIMS"),
        ({"bits": ""}, "E_DIMS"),
        ({"file_bytes": "-1"}, "E_DIMS"),
        ({"photometric": "CMYK"}, "E_ENUM"),
        ({"phi_flag": "maybe"}, "E_ENUM"),
        ({"phi_flag": "yes"}, "E_PHI"),
        ({"sha256": "A" * 64}, "E_HASH_FORMAT"),
        ({"annotators": "-1"}, "E_ANN_NONE"),
        ({"annotators": ""}, "E_ANN_NONE"),
    ],
)
def test_each_broken_rule_gives_exactly_its_code(changes: dict[str, str], code: str) -> None:
    found = manifest.problems(manifest.table([row(**changes)]))
    assert [problem.code for problem in found] == [code]
    assert "line 2" in found[0].where


@pytest.mark.parametrize("modality", ["mammogram", "fundus", "iris_nir"])
def test_any_word_is_a_modality(modality: str) -> None:
    assert codes(row(modality=modality)) == []


def test_all_broken_rules_of_a_row_are_told_with_their_columns() -> None:
    broken = row(label="2", split="dev", sha256="")
    told = [problem.message for problem in manifest.problems(manifest.table([broken]))]
    assert [message.split(":")[0] for message in told] == ["label", "sha256", "split"]
    assert told[0] == "label: expected 0 or 1, got '2'"
    assert told[2] == "split: expected train or val or test or none, got 'dev'"


def test_repeated_ids_name_both_places() -> None:
    rows = [manifest.listed(sample(), ROOT)] * 2
    (found,) = manifest.listing_problems(rows, ["list.csv line 1", "list.csv line 7"])
    assert (found.code, found.where) == ("E_DUP_ID", "list.csv line 7")
    assert "list.csv line 1" in found.message
    assert codes(row(), row()) == ["E_DUP_ID"]


def test_unknown_subject_becomes_the_group() -> None:
    alone = manifest.listed(sample(subject_id=""), ROOT)
    grouped = manifest.listed(sample(subject_id="", group_id="v7"), ROOT)
    foreign = manifest.listed(sample(group_id="nih:00000001_000", adapter="rsna"), ROOT)
    assert (alone["subject_known"], alone["subject_id"], alone["group_id"]) == (0,) + ("cvrl_iris:a1",) * 2
    assert (grouped["subject_id"], grouped["group_id"]) == ("cvrl_iris:v7",) * 2
    assert (foreign["subject_known"], foreign["group_id"]) == (1, "nih:00000001_000")
    assert foreign["sample_id"] == "rsna:a1"


def test_lists_of_no_boxes_mark_nothing() -> None:
    nothing, one = Boxes(np.zeros((0, 4))), Boxes(np.array([[0, 0, 2, 2]]))
    assert not sample(annotations=[]).is_marked
    assert not sample(annotations=[nothing, nothing]).is_marked
    assert sample(annotations=[nothing, one]).is_marked
    assert sample().is_marked


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_survives_the_csv(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "manifest.csv"
    one = manifest.listed(sample(subject_id=f"t:{text}", group_id='a "b", c:1'), ROOT)
    manifest.write(path, manifest.table([one, row()]))
    back = manifest.read(path)
    assert back["subject_id"][0] == one["subject_id"]
    assert back["group_id"][0] == 'a "b", c:1'
    assert back["sha256"][0] == ""
    if text.isprintable():
        assert one["subject_id"] == f"t:{text}"


def test_line_breaks_become_spaces_so_that_a_row_is_a_line(tmp_path: Path) -> None:
    one = manifest.listed(sample(subject_id="a\r\n\0b"), ROOT)
    manifest.write(tmp_path / "manifest.csv", manifest.table([one]))
    assert one["subject_id"] == "a b"
    assert (tmp_path / "manifest.csv").read_bytes().count(b"\n") == 2


def test_reading_refuses_damaged_tables(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    manifest.write(path, manifest.table([row()]))
    good = path.read_bytes()
    for damaged, code in (
        (good.replace(b"print", b"\xff"), "E_ENCODING"),
        (good.replace(b"print", b"\0"), "E_ENCODING"),
        (good.replace(b"sample_id", b"id", 1), "E_HEADER"),
        (good.replace(b"image_path,modality", b"modality,image_path", 1), "E_HEADER"),
        (b"", "E_HEADER"),
        (good.rstrip() + b",more\n", "E_ROW_SHAPE"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=code):
            manifest.read(path)
