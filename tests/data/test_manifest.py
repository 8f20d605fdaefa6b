"""Every rule of a manifest row has a mutation that breaks exactly that rule."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.data import manifest
from pipeline.data.manifest import Facts
from pipeline.data.samples import Boxes, Drawn, Sample

PUBLISHED = (
    "sample_id dataset dataset_version image_path sha256 modality task label class_name native_label "
    "subject_id subject_known group_id source source_kind sensor site split native_split ann_kind ann_paths "
    "ann_sha256 ann_count ann_scope ann_correct_only ann_sigma_px ann_weight width height bits photometric "
    "spacing_row_mm spacing_col_mm spacing_kind roi roi_source phi_flag quarantine licence adapter "
    "adapter_version"
)
FACTS = Facts(file_bytes=10, width=640, height=480, bits=8, photometric="L")


def sample(**changes: object) -> Sample:
    values = {
        "native_id": "a1",
        "image_path": Path("/data/a1.png"),
        "label": 1,
        "native_label": "Spoof",
        "class_name": "print",
        "source": "print",
        "source_kind": "attack_type",
        "modality": "iris_nir",
        "subject_id": "cvrl:05",
        "annotations": [Drawn(Path("/data/map.png"))],
        "ann_kind": "soft_map",
    }
    return Sample(**{**values, **changes})  # type: ignore[arg-type]


def row(**changes: str) -> dict[str, str]:
    """A whole valid row, then `changes`."""
    one = sample()
    valid = manifest.listed_row("cvrl_iris", one, "images/a1.png", "iris_pad")
    valid |= {"sha256": "0" * 64, "split": "train"} | manifest.decoded_columns(one, FACTS, "1" * 64)
    manifest.number_maps([valid])
    return valid | changes


def test_columns_are_the_published_ones() -> None:
    assert list(manifest.COLUMNS) == PUBLISHED.split()


def test_a_valid_row_breaks_no_rule() -> None:
    assert manifest.problems(manifest.table([row()])) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sample_id": "a b"}, "E_ROW_SHAPE"),
        ({"sample_id": "x" * 201}, "E_ROW_SHAPE"),
        ({"image_path": "/etc/passwd"}, "E_PATH_ESCAPE"),
        ({"image_path": "a/../../b.png"}, "E_PATH_ESCAPE"),
        ({"image_path": "a\\b.png"}, "E_PATH_ESCAPE"),
        ({"label": "2"}, "E_LABEL"),
        ({"task": "iris"}, "E_ENUM"),
        ({"modality": "xray"}, "E_ENUM"),
        ({"source_kind": "hospital"}, "E_ENUM"),
        ({"split": "dev"}, "E_ENUM"),
        ({"ann_kind": "heatmap"}, "E_ENUM"),
        ({"class_name": "Print!"}, "E_ENUM"),
        ({"class_name": "live"}, "E_LABEL_RULE"),
        ({"label": "0", "class_name": "attack"}, "E_LABEL_RULE"),
        ({"source": ""}, "E_SOURCE"),
        ({"source": "Site A"}, "E_SOURCE"),
        ({"subject_id": ""}, "E_SUBJECT"),
        ({"subject_known": "0"}, "E_SUBJECT"),
        ({"ann_scope": "anatomy"}, "E_SCOPE"),
        ({"width": "0"}, "E_DIMS"),
        ({"bits": ""}, "E_DIMS"),
        ({"phi_flag": "maybe"}, "E_ENUM"),
        ({"width": "320"}, "E_IRIS_FORMAT"),
        ({"photometric": "RGB"}, "E_IRIS_FORMAT"),
        ({"spacing_row_mm": "0"}, "E_SPACING"),
        ({"spacing_col_mm": "11"}, "E_SPACING"),
        ({"phi_flag": "yes"}, "E_PHI"),
        ({"sha256": "A" * 64}, "E_HASH_FORMAT"),
        ({"ann_sha256": ""}, "E_HASH_FORMAT"),
        ({"ann_kind": "none"}, "E_ANN_NONE"),
        ({"ann_count": "0"}, "E_ANN_NONE"),
    ],
)
def test_each_broken_rule_gives_exactly_its_code(changes: dict[str, str], code: str) -> None:
    found = manifest.problems(manifest.table([row(**changes)]))
    assert [problem.code for problem in found] == [code]
    assert "line 2" in found[0].where


def test_a_declared_region_excuses_another_iris_size() -> None:
    assert manifest.problems(manifest.table([row(width="320", height="320", roi="160,160,100")])) == []


def test_repeated_ids_name_both_places() -> None:
    found = manifest.listing_problems([row(), row()], ["list.csv line 1", "list.csv line 7"])
    assert [problem.code for problem in found] == ["E_DUP_ID"]
    assert found[0].where == "list.csv line 7"
    assert "list.csv line 1" in found[0].message


def test_messages_never_quote_free_text() -> None:
    broken = row(label="2", split="dev", native_label="Jane Doe 1970", licence="secret", sha256="")
    text = "\n".join(map(str, manifest.problems(manifest.table([broken]))))
    assert text.count("\n") == 2
    assert "Jane" not in text
    assert "secret" not in text


def test_unknown_subject_becomes_the_group() -> None:
    alone = manifest.listed_row("cvrl_iris", sample(subject_id=""), "a1.png", "iris_pad")
    grouped = manifest.listed_row("cvrl_iris", sample(subject_id="", group_id="v7"), "a1.png", "iris_pad")
    foreign = manifest.listed_row("rsna", sample(group_id="nih:00000001_000"), "a1.png", "cxr_anomaly")
    assert (alone["subject_known"], alone["subject_id"], alone["group_id"]) == ("0",) + ("cvrl_iris:a1",) * 2
    assert (grouped["subject_id"], grouped["group_id"]) == ("cvrl_iris:v7",) * 2
    assert (foreign["subject_known"], foreign["group_id"]) == ("1", "nih:00000001_000")


def test_annotation_columns_follow_the_map() -> None:
    three = sample(annotations=[Drawn(Path("m"))] * 3)
    stated = sample(ann_count=5, ann_kind="mask")
    assert manifest.decoded_columns(three, FACTS, "1" * 64)["ann_count"] == "3"
    assert manifest.decoded_columns(three, FACTS, "1" * 64)["ann_kind"] == "soft_map"
    assert manifest.decoded_columns(stated, FACTS, "1" * 64)["ann_count"] == "5"
    assert manifest.decoded_columns(stated, FACTS, "1" * 64)["ann_kind"] == "mask"
    assert "ann_kind" not in manifest.decoded_columns(three, FACTS, "")


def test_lists_of_no_boxes_mark_nothing() -> None:
    nothing, one = Boxes(np.zeros((0, 4))), Boxes(np.array([[0, 0, 2, 2]]))
    assert not manifest.has_shapes(sample(annotations=[]))
    assert not manifest.has_shapes(sample(annotations=[nothing, nothing]))
    assert manifest.has_shapes(sample(annotations=[nothing, one]))
    assert manifest.has_shapes(sample())


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_survives_the_csv(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "manifest.csv"
    one = manifest.listed_row("cvrl_iris", sample(native_label=text, licence='a "b", c'), "a.png", "iris_pad")
    manifest.write(path, manifest.table([one, row()]))
    back = manifest.read(path)
    assert back["native_label"][0] == one["native_label"]
    assert back["licence"][0] == 'a "b", c'
    assert back["roi"][0] == ""
    if text.isprintable():
        assert one["native_label"] == text


def test_line_breaks_become_spaces_so_that_a_row_is_a_line(tmp_path: Path) -> None:
    one = manifest.listed_row("cvrl_iris", sample(native_label="a\r\n\0b"), "a.png", "iris_pad")
    manifest.write(tmp_path / "manifest.csv", manifest.table([one]))
    assert one["native_label"] == "a b"
    assert (tmp_path / "manifest.csv").read_bytes().count(b"\n") == 2


def test_reading_refuses_damaged_tables(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    manifest.write(path, manifest.table([row()]))
    good = path.read_bytes()
    for damaged, code in (
        (good.replace(b"Spoof", b"\xff"), "E_ENCODING"),
        (good.replace(b"Spoof", b"\0"), "E_ENCODING"),
        (good.replace(b"sample_id", b"id", 1), "E_HEADER"),
        (good.replace(b"sha256,modality", b"modality,sha256", 1), "E_HEADER"),
        (b"", "E_HEADER"),
        (good.rstrip() + b",more\n", "E_ROW_SHAPE"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=code):
            manifest.read(path)
