"""Any collection of images: tables and globs, every kind of map, contradicting settings, the real samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.adapters.image_table import read
from pipeline.data.samples import Boxes, Drawn, Pasted
from tests.data.adapters.trees import codes, edit, picture, refused, text

FOLDERS: dict[str, Any] = {
    "collection": "inv",
    "modality": "cxr",
    "glob": "*/*/*.png",
    "labels": {"NORMAL": 0, "PNEUMONIA": 1},
    "patterns": {"label": "/([A-Z]+)/", "subject": r"(\d+)_\d", "split": "^([a-z]+)/"},
    "constants": {"source": "Inv Site"},
}
TABLE: dict[str, Any] = {
    "collection": "inv",
    "modality": "face",
    "table": "list.csv",
    "folder": "images",
    "columns": {"image": "file", "label": "finding", "subject": "person", "source": "camera", "roi": "roi"},
    "labels": {"no finding": 0, "a": 1, "b": 1},
    "source_kind": "sensor",
}


def folders(root: Path) -> Path:
    for path in ("train/NORMAL/99001_1", "train/PNEUMONIA/99002_1", "valid/NORMAL/odd"):
        picture(root / f"{path}.png")
    return root


def table(root: Path, **how: Any) -> Path:
    lines = [
        " file,finding,person,camera,roi,note,",  # a leading space, and a trailing comma on each line
        '99001.png,No Finding,99001,Cam 1,"1,2,3","two',
        'lines",',
        "99002.jpg,A|b,,Cam-2,,,",
    ]
    picture(root / "images" / "99001.png")
    picture(root / "images" / "99002.jpg")
    text(root / "list.csv", lines, **how)
    return root


def test_folders(tmp_path: Path) -> None:
    one, two, odd = read(folders(tmp_path), **FOLDERS)
    assert (one.native_id, one.label, one.class_name) == ("inv:train:NORMAL:99001_1", 0, "normal")
    assert (one.subject_id, one.source, one.source_kind) == ("inv:99001", "inv_site", "site")
    assert (one.native_split, one.where) == ("train", "train/NORMAL/99001_1.png")
    assert (two.label, two.class_name, two.modality) == (1, "pneumonia", "cxr")
    assert (odd.subject_id, odd.native_split) == ("", "val")


@pytest.mark.parametrize("how", [{}, {"end": "\r\n"}, {"start": "\ufeff"}])
def test_table(tmp_path: Path, how: dict[str, str]) -> None:
    one, two = read(table(tmp_path, **how), **TABLE)
    assert (one.native_id, one.label, one.class_name) == ("inv:images:99001", 0, "no_finding")
    assert (one.subject_id, one.source, one.roi) == ("inv:99001", "cam_1", "1,2,3")
    assert (two.label, two.class_name) == (1, "a")
    assert (two.subject_id, two.source, two.source_kind) == ("", "cam_2", "sensor")
    assert two.where == f"{tmp_path.name}/list.csv line 4"  # a quoted line break came before


def test_class_and_group_can_be_told(tmp_path: Path) -> None:
    told = {"class": "Lung Opacity", "group": "video 1"}
    settings = {**FOLDERS, "constants": {"source": "a", **told}}
    sample = read(folders(tmp_path), **settings)[1]
    assert (sample.class_name, sample.group_id) == ("lung_opacity", "inv:video 1")


@pytest.mark.parametrize("modality", ["mammogram", "fundus"])
def test_a_new_modality_is_a_word(tmp_path: Path, modality: str) -> None:
    root = folders(tmp_path)
    sample = catalogue.make("data/adapters", {"name": "image_table", **FOLDERS, "modality": modality})(root)[
        0
    ]
    assert sample.modality == modality


# maps


def test_drawn_maps_by_folder_and_by_column(tmp_path: Path) -> None:
    root = table(tmp_path)
    path = picture(root / "maps" / "99002.png")
    one, two = read(root, **TABLE, maps={"kind": "drawn", "folder": "maps"})
    assert (one.annotations, two.annotations) == ([], [Drawn(path)])
    edit(root / "list.csv", "two\nlines", "maps/99002.png")
    one, two = read(root, **TABLE, maps={"kind": "drawn", "path": "note"})
    assert (one.annotations, two.annotations) == ([Drawn(path)], [])


@pytest.mark.parametrize("kind", ["xywh", "xyxy"])
def test_boxes_by_reader(tmp_path: Path, kind: str) -> None:
    root = table(tmp_path)
    lines = [
        "image,reader,kind,c,b,x,y",
        "99002.jpg,R1,lesion,20,30,5,6",
        "99002.jpg,R2,lesion,,,,",
        "99002.jpg,R3,lesion,21,31,7,8",
        "99002.jpg,R3,device,1,1,1,1",
        "99001.png,R1,device,1,1,1,1",
    ]
    text(root / "boxes.csv", lines)
    maps = {"kind": kind, "table": "boxes.csv", "key": "image", "corners": ["x", "y", "c", "b"]}
    maps |= {"annotator": "reader", "where": "kind", "keep": ["lesion"]}
    one, two = read(root, **TABLE, maps=maps)
    assert one.annotations == []
    corners = [annotation.corners.tolist() for annotation in two.annotations if isinstance(annotation, Boxes)]
    far = [25, 36] if kind == "xywh" else [20, 30]
    other = [28, 39] if kind == "xywh" else [21, 31]
    assert corners == [[[5, 6, *far]], [], [[7, 8, *other]]]


def test_pasted_masks(tmp_path: Path) -> None:
    root = table(tmp_path)
    mask = picture(root / "masks" / "m.png", (5, 4))
    text(root / "m.csv", ["image,mask,left,top", "x/99001.png,masks/m.png,3,4", "99001.png,,,"])
    maps = {"kind": "pasted", "table": "m.csv", "key": "image", "path": "mask", "corners": ["left", "top"]}
    one, two = read(root, **TABLE, maps=maps)
    assert one.annotations == [Pasted(((mask, 3, 4),))]
    assert two.annotations == []
    mask.unlink()
    with pytest.raises(UserError) as caught:
        read(root, **TABLE, maps=maps)
    assert codes(caught.value) == {"E_ANN_MISSING"}


def test_marks_of_other_images_only_are_refused(tmp_path: Path) -> None:
    root = table(tmp_path)
    text(root / "boxes.csv", ["image,x,y,w,h", "99003.png,1,2,3,4"])
    maps = {"kind": "xywh", "table": "boxes.csv", "key": "image", "corners": ["x", "y", "w", "h"]}
    with pytest.raises(UserError, match=r"names none of the images.*'images/99001\.png'") as caught:
        read(root, **TABLE, maps=maps)
    assert codes(caught.value) == {"E_JOIN"}


def test_boxes_that_are_no_numbers_set_the_image_aside(tmp_path: Path) -> None:
    root = table(tmp_path)
    text(root / "boxes.csv", ["image,x,y,w,h", "99001.png,1,2,three,4"])
    maps = {"kind": "xywh", "table": "boxes.csv", "key": "image", "corners": ["x", "y", "w", "h"]}
    one, two = read(root, **TABLE, maps=maps)
    assert one.problem is not None
    assert one.problem.code == "E_BOX"
    assert two.problem is None


# what is refused

BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "table and glob": ({"glob": "*.png"}, "either table or glob"),
    "neither": ({"table": None}, "either table or glob"),
    "no image column": ({"columns": {"label": "finding", "source": "camera"}}, "columns.image"),
    "unknown fact": ({"constants": {"sorce": "x"}}, "did you mean 'source'"),
    "told twice": ({"constants": {"label": "a"}}, "'label' is in more than one"),
    "not told": ({"columns": {"image": "file", "source": "camera"}}, "'label' must be in"),
    "no group": ({"patterns": {"class": "a"}}, "patterns.class: needs a group"),
    "no expression": ({"patterns": {"class": "(a"}}, "not a regular expression"),
    "kind": ({"maps": {"kind": "box"}}, "'box' is not known"),
    "maps key": ({"maps": {"kind": "drawn", "fold": "a"}}, "did you mean 'folder'"),
    "maps need": ({"maps": {"kind": "xyxy", "table": "a"}}, "need 'corners'"),
    "corners": ({"maps": {"kind": "xyxy", "table": "a", "key": "b", "corners": ["c"]}}, "needs 4 columns"),
    "list": ({"maps": {"kind": "drawn", "folder": ["a"]}}, "maps.folder must be no list"),
    "where alone": (
        {"maps": {"kind": "xyxy", "table": "a", "key": "b", "corners": ["c"] * 4, "where": "d"}},
        "go together",
    ),
    "check": ({"check": {"table": "a"}}, "check needs exactly"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_contradicting_settings(tmp_path: Path, case: str) -> None:
    changed, message = BAD_SETTINGS[case]
    with pytest.raises(UserError, match=message):
        read(table(tmp_path), **{**TABLE, **changed})


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "images" / "99001.png").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / "list.csv", "99002.jpg", "../list.csv"), "E_PATH_ESCAPE"),
    "label": (lambda root: edit(root / "list.csv", "A|b", "A|c"), "E_LABEL_ALIAS"),
    "source": (lambda root: edit(root / "list.csv", "Cam-2", ""), "E_SOURCE"),
    "column": (lambda root: edit(root / "list.csv", "camera", "kamera"), "E_HEADER"),
    "unnamed": (lambda root: edit(root / "list.csv", "roi,note", "roi,"), "E_ROW_SHAPE"),
    "cells": (lambda root: edit(root / "list.csv", ",,Cam-2", ",Cam-2"), "E_ROW_SHAPE"),
    "empty": (lambda root: (root / "list.csv").write_text(""), "E_HEADER"),
    "no table": (lambda root: (root / "list.csv").unlink(), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    root = table(tmp_path)
    change(root)
    assert refused(lambda: read(root, **TABLE)) == {code}


def test_unknown_split_and_glob_without_files(tmp_path: Path) -> None:
    root = folders(tmp_path)
    (root / "valid").rename(root / "probe")
    with pytest.raises(UserError) as caught:
        read(root, **FOLDERS)
    assert codes(caught.value) == {"E_ENUM"}
    with pytest.raises(UserError, match=r"E_LAYOUT .*expected \*\.gif"):
        read(root, **{**FOLDERS, "glob": "*.gif"})


def test_labels_are_checked_against_a_second_table(tmp_path: Path) -> None:
    root = folders(tmp_path)
    text(root / "entry.csv", ["Image,Finding", "99001_1.png,Mass|Nodule", "99002_1.png,Mass"])
    check = {"table": "entry.csv", "key": "Image", "label": "Finding", "normal": "No Finding"}
    one, two, odd = read(root, **FOLDERS, check=check)
    assert one.problem is not None
    assert one.problem.code == "E_LABEL_CONFLICT"
    assert "entry.csv line 2" in one.problem.message
    assert (two.problem, odd.problem) == (None, None)


# names and paths


def two_folders(root: Path) -> dict[str, Any]:
    """Two images of one name, and settings that read them."""
    for folder in ("a", "b"):
        picture(root / folder / "NORMAL" / "1.png")
    return {**FOLDERS, "patterns": {"label": "/([A-Z]+)/"}}


def test_two_files_of_one_name_share_neither_map_nor_box(tmp_path: Path) -> None:
    settings = two_folders(tmp_path)
    boxes = {"kind": "xyxy", "table": "boxes.csv", "key": "image", "corners": ["x", "y", "c", "b"]}
    text(tmp_path / "boxes.csv", ["image,x,y,c,b", "/home/x/b/NORMAL/1.png,1,2,3,4"])
    one, two = read(tmp_path, **settings, maps=boxes)
    assert ([len(one.annotations), len(two.annotations)]) == [0, 1]
    text(tmp_path / "boxes.csv", ["image,x,y,c,b", "1.png,1,2,3,4"])
    with pytest.raises(UserError, match=r"E_JOIN .*fits 2 images: a/NORMAL/1.png, b/NORMAL/1.png"):
        read(tmp_path, **settings, maps=boxes)
    path = picture(tmp_path / "maps" / "b" / "NORMAL" / "1.png")
    one, two = read(
        tmp_path, **{**settings, "glob": "[ab]/*/*.png"}, maps={"kind": "drawn", "folder": "maps"}
    )
    assert (one.annotations, two.annotations) == ([], [Drawn(path)])


def test_two_files_of_one_name_share_no_second_opinion(tmp_path: Path) -> None:
    settings = two_folders(tmp_path)
    check = {"table": "entry.csv", "key": "Image", "label": "Finding", "normal": "none"}
    text(tmp_path / "entry.csv", ["Image,Finding", "a/NORMAL/1,mass"])
    one, two = read(tmp_path, **settings, check=check)
    assert (one.problem is None, two.problem is None) == (False, True)


def test_a_name_in_another_folder_is_another_image(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "NORMAL" / "1.png")
    picture(tmp_path / "train" / "NORMAL" / "2.png")
    rows = ["image,x,y,c,b", "train/NORMAL/2.png,1,2,3,4", "test/NORMAL/1.png,1,2,3,4"]
    text(tmp_path / "boxes.csv", rows)
    boxes = {"kind": "xyxy", "table": "boxes.csv", "key": "image", "corners": ["x", "y", "c", "b"]}
    listed = read(tmp_path, **FOLDERS, maps=boxes)
    assert [len(sample.annotations) for sample in listed] == [0, 1]
    assert [found.code for found in listed.noticed] == ["W_MAP_UNUSED"]


def test_images_are_named_without_extension(tmp_path: Path) -> None:
    root = table(tmp_path)
    edit(root / "list.csv", "99001.png", "99001")
    assert [sample.image_path.name for sample in read(root, **TABLE)] == ["99001.png", "99002.jpg"]
    picture(root / "images" / "99001.jpg")
    with pytest.raises(UserError, match=r"E_JOIN .*'99001' fits 99001.jpg, 99001.png"):
        read(root, **TABLE)


def test_absent_images_are_left_out_and_counted(tmp_path: Path) -> None:
    root = table(tmp_path)
    (root / "images" / "99001.png").unlink()
    listed = read(root, **TABLE, missing="skip")
    assert [sample.image_path.name for sample in listed] == ["99002.jpg"]
    assert [(found.code, "99001.png" in found.where) for found in listed.noticed] == [("W_MISSING", True)]


def test_words_stand_between_separators(tmp_path: Path) -> None:
    root = table(tmp_path)
    edit(root / "list.csv", "A|b", "no finding; a;")
    assert read(root, **TABLE, separators=";|")[1].class_name == "a"
    with pytest.raises(UserError, match="hold a character of separators"):
        read(root, **{**TABLE, "labels": {"a;b": 1}}, separators=";")


# map files


def test_map_files_by_suffix_and_their_settings(tmp_path: Path) -> None:
    root = table(tmp_path)
    normal = picture(root / "images" / "99001_mask.tif")
    other = picture(root / "images" / "99002_mask.tif")
    maps = {"kind": "drawn", "folder": "images", "suffix": "_mask", "extension": ".tif"}
    maps |= {"empty": "none", "resize": "nearest", "reference": [10, 20]}
    one, two = read(root, **TABLE, maps=maps)
    assert one.annotations == [Drawn(normal, "none", "nearest")]
    assert two.annotations == [Drawn(other, "refuse", "nearest")]  # an abnormal film: black is an accident
    assert two.annotation_size == (10, 20)


BAD_FOLDERS: dict[str, tuple[dict[str, Any], str]] = {
    "absent": ({"folder": "mapps"}, "E_LAYOUT .*expected this folder of maps"),
    "no map": ({"folder": "images", "suffix": "_m"}, "E_LAYOUT .*no file ends with '_m.png'"),
    "of no image": ({"folder": "maps"}, "E_JOIN .*names none of the images.*'7', '8'"),
    "empty": ({"folder": "maps", "empty": "non"}, "did you mean 'none'"),
    "reference": ({"folder": "maps", "reference": [5, 0]}, r"must be \[width, height\]"),
    "column": ({"path": "nota"}, "E_HEADER .*did you mean 'note'"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_map_folders_that_fit_nothing_are_refused(tmp_path: Path, case: str) -> None:
    root = table(tmp_path)
    for name in ("7", "8"):
        picture(root / "maps" / f"{name}.png")
    maps, message = BAD_FOLDERS[case]
    with pytest.raises(UserError, match=message):
        read(root, **TABLE, maps={"kind": "drawn", **maps})
