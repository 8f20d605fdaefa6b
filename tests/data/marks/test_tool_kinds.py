"""Kinds of maps of annotation tools: values by hand, and files that the tools' own libraries write."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as cocomask
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import generate_uid

from pipeline.common import expendable
from pipeline.common.errors import UserError
from pipeline.data import annotations
from pipeline.data.listing import Listing
from pipeline.data.marks import brush, cvat
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Boxes, Polygons, Runs, Sample, Together
from tests.data.adapters.trees import picture
from tests.data.dicom_files import write as write_dicom
from tests.data.marks.exports import (
    SIZE,
    STUDIO_BRUSH,
    STUDIO_MASK,
    STUDIO_RECTANGLE,
    blank,
    marked,
    studio,
    studio_shape,
)

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def drawn(sample: Sample) -> np.ndarray:
    """The mean of all annotators' maps, as `prepare` draws it before the crop."""
    width, height = sample.annotation_size or SIZE
    human_map = annotations.combine(sample.annotations, width, height, granularity="map", blur=0)
    assert human_map is not None
    return human_map


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """1 in [x0, x1) x [y0, y1) of an image of SIZE."""
    expected = np.zeros((SIZE[1], SIZE[0]))
    expected[y0:y1, x0:x1] = 1
    return expected


def save(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def refused(root: Path, maps: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        marked(root, maps)
    return "\n".join(caught.value.problems)


def expand(runs: Runs) -> np.ndarray:
    lengths = runs.parts[0]
    marks = np.zeros(runs.width * runs.height, bool)
    found = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    marks[: len(found)] = found
    return marks.reshape((runs.height, runs.width), order=runs.order)


# COCO


def coco_file(*annotated: dict[str, Any]) -> dict[str, Any]:
    images = [
        {"id": n, "file_name": name, "width": 20, "height": 10} for n, name in enumerate(("a.png", "b.png"))
    ]
    return {
        "images": images,
        "annotations": [{"id": n, "category_id": 1, **told} for n, told in enumerate(annotated)],
        "categories": [{"id": 1, "name": "nodule"}, {"id": 2, "name": "pipe"}],
    }


def test_coco_box_polygon_and_both_kinds_of_runs(tmp_path: Path) -> None:
    mask = rectangle(5, 2, 9, 8).astype(np.uint8)
    compressed = cocomask.encode(np.asfortranarray(mask))
    packed = {"size": compressed["size"], "counts": compressed["counts"].decode()}
    listed = {"size": [10, 20], "counts": [52, 6, 4, 6, 4, 6, 4, 6, 112]}
    for told, expected in (
        ({"bbox": [5, 2, 4, 6]}, rectangle(5, 2, 9, 8)),
        ({"segmentation": packed}, rectangle(5, 2, 9, 8)),
        ({"segmentation": listed}, rectangle(5, 2, 9, 8)),
        ({"segmentation": [[5, 2, 8, 2, 8, 7, 5, 7]]}, rectangle(5, 2, 9, 8)),  # edges count, as Pillow draws
    ):
        save(tmp_path / "coco.json", coco_file({"image_id": 0, **told}))
        samples = marked(tmp_path, {"kind": "coco", "file": "coco.json"})
        assert np.array_equal(drawn(samples["a.png"]), expected), told
        assert not samples["b.png"].is_marked


def test_one_file_per_person_is_averaged(tmp_path: Path) -> None:
    save(tmp_path / "readers" / "one.json", coco_file({"image_id": 0, "bbox": [0, 0, 4, 4]}))
    save(tmp_path / "readers" / "two.json", coco_file({"image_id": 0, "bbox": [2, 0, 4, 4]}))
    save(tmp_path / "readers" / "three.json", coco_file())
    sample = marked(tmp_path, {"kind": "coco", "file": "readers/*.json"})["a.png"]
    assert len(sample.annotations) == 3
    assert drawn(sample)[0, :7] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])


def test_keep_chooses_labels(tmp_path: Path) -> None:
    pipe = {"image_id": 0, "bbox": [0, 0, 4, 4], "category_id": 2}
    save(tmp_path / "coco.json", coco_file({"image_id": 0, "bbox": [5, 2, 4, 6]}, pipe))
    sample = marked(tmp_path, {"kind": "coco", "file": "coco.json", "keep": ["nodule"]})["a.png"]
    assert np.array_equal(drawn(sample), rectangle(5, 2, 9, 8))
    assert "nodule, pipe" in refused(tmp_path, {"kind": "coco", "file": "coco.json", "keep": ["mass"]})


@pytest.mark.parametrize("text", ["a ", "P", "\x7f"])
def test_broken_compressed_runs_are_refused(tmp_path: Path, text: str) -> None:
    told = {"image_id": 0, "segmentation": {"size": [10, 20], "counts": text}}
    save(tmp_path / "coco.json", coco_file(told))
    problem = marked(tmp_path, {"kind": "coco", "file": "coco.json"})["a.png"].problem
    assert problem is not None
    assert problem.code == "E_RLE"


def test_a_run_length_bomb_draws_nothing(tmp_path: Path) -> None:
    told = {"image_id": 0, "segmentation": {"size": [10, 20], "counts": [0, 10**12]}}
    save(tmp_path / "coco.json", coco_file(told))
    sample = marked(tmp_path, {"kind": "coco", "file": "coco.json"})["a.png"]
    with pytest.raises(UnusableImage, match="E_RLE"):
        drawn(sample)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested"),
        ('{"images": NaN}', "NaN"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 1}]}, "images.0.width"),
        (coco_file({"image_id": 9, "bbox": [0, 0, 1, 1]}), "[9]"),
        (coco_file({"image_id": 0, "bbox": [0, 0, 1]}), "annotations.0.bbox"),
        (coco_file({"image_id": 0, "segmentation": {"size": [10, 20], "counts": [-1]}}), "counts"),
    ],
)
def test_what_is_not_of_the_tool_is_refused(tmp_path: Path, document: Any, said: str) -> None:
    save(tmp_path / "coco.json", document)
    message = refused(tmp_path, {"kind": "coco", "file": "coco.json"})
    assert message.startswith("E_ANN_FILE coco.json: ")
    assert said in message


def test_paths_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = save(tmp_path / "coco.json", coco_file())
    for pattern in ("../coco.json", str(outside)):
        assert refused(root, {"kind": "coco", "file": pattern}).startswith("E_PATH_ESCAPE")
    (root / "link.json").symlink_to(outside)
    assert refused(root, {"kind": "coco", "file": "link.json"}).startswith("E_PATH_ESCAPE")
    assert refused(root, {"kind": "coco", "file": "none.json"}).startswith("E_LAYOUT")


# Label Studio


def test_label_studio_shapes(tmp_path: Path) -> None:
    for shape, expected in (
        (studio_shape("rectangle", x=25, y=20, width=20, height=60), rectangle(5, 2, 9, 8)),
        # turned by a right angle around its left top corner: what was right goes down
        (studio_shape("rectangle", x=45, y=20, width=30, height=40, rotation=90), rectangle(5, 2, 10, 9)),
        (studio_shape("polygon", points=[[25, 20], [40, 20], [40, 70], [25, 70]]), rectangle(5, 2, 9, 8)),
        (
            studio_shape("brush", rle=brush.pack(rectangle(5, 2, 9, 8) > 0), format="rle"),
            rectangle(5, 2, 9, 8),
        ),
    ):
        save(tmp_path / "ls.json", [studio([shape])])
        assert np.array_equal(drawn(marked(tmp_path, LABEL_STUDIO)["a.png"]), expected), shape


def test_a_turned_ellipse_has_its_axes_swapped(tmp_path: Path) -> None:
    ellipse = studio_shape("ellipse", x=50, y=50, radiusX=20, radiusY=20, rotation=90)  # 4 px by 2 px
    save(tmp_path / "ls.json", [studio([ellipse])])
    human_map = drawn(marked(tmp_path, LABEL_STUDIO)["a.png"])
    assert human_map[1:9, 10].all()
    assert human_map[5, 8:12].all()
    assert human_map[5, :7].sum() == 0 == human_map[5, 14:].sum()


def test_a_rectangle_that_label_studio_exported(tmp_path: Path) -> None:
    """Its other corners, by hand from its own: width along (cos r, sin r), height along (-sin r, cos r)."""
    blank(tmp_path / "images" / "c.png", (597, 768))
    save(tmp_path / "ls.json", [studio([STUDIO_RECTANGLE], image="/data/upload/7/0a1b2c3d-c.png")])
    sample = marked(tmp_path, LABEL_STUDIO, names=())["c.png"]
    (outline,) = sample.annotations[0].outlines  # type: ignore[union-attr]
    expected = [[62.906, 611.003], [159.681, 551.309], [192.467, 604.463], [95.693, 664.157]]
    assert np.allclose(outline, expected, atol=1e-2)
    assert sample.annotation_size == (597, 768)


LABEL_STUDIO = {"kind": "label_studio", "file": "ls.json"}


def test_people_are_told_apart_and_skips_say_nothing(tmp_path: Path) -> None:
    box = studio_shape("rectangle", x=0, y=0, width=50, height=100)
    task = studio([box], [], [box])
    task["annotations"][2]["was_cancelled"] = True
    save(tmp_path / "ls.json", [task])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert len(sample.annotations) == 2  # the second looked, and marked nothing
    assert set(np.unique(drawn(sample))) == {0, 0.5}


def test_one_person_marks_in_several_ways(tmp_path: Path) -> None:
    box = studio_shape("rectangle", x=0, y=0, width=10, height=100)
    empty = studio_shape("brush", rle=brush.pack(np.zeros((10, 20), bool)))
    run = studio_shape("brush", rle=brush.pack(rectangle(5, 2, 9, 8) > 0))
    save(tmp_path / "ls.json", [studio([box, empty, run])])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert isinstance(sample.annotations[0], Together)
    assert np.array_equal(drawn(sample), np.maximum(rectangle(0, 0, 2, 10), rectangle(5, 2, 9, 8)))


def test_marks_on_a_smaller_copy_of_the_image(tmp_path: Path) -> None:
    save(tmp_path / "ls.json", [studio([studio_shape("rectangle", (10, 5), x=0, y=0, width=50, height=100)])])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert sample.annotation_size == (10, 5)
    assert np.array_equal(drawn(sample), np.repeat([[1, 0]], 5, axis=1).repeat(5, axis=0))


def test_the_brush_of_label_studio() -> None:
    assert np.array_equal(expand(brush.unpack(STUDIO_BRUSH, 6, 4)), np.array(STUDIO_MASK, bool))


@pytest.mark.parametrize("alpha", [0, 9])
def test_a_brush_marks_by_its_alpha(alpha: int) -> None:
    """Four single values, by hand: a white pixel that is transparent marks nothing."""
    head = f"{4:032b}" + f"{7:05b}" + f"{2:04b}" * 4
    bits = head + "0" + "00" + f"{3:03b}" + f"{255:08b}" * 3 + f"{alpha:08b}"
    packed = np.packbits([int(bit) for bit in bits]).tolist()
    assert expand(brush.unpack(packed, 1, 1)).tolist() == [[alpha > 0]]


@given(MASKS)
def test_brushes_come_back(mask: np.ndarray) -> None:
    height, width = mask.shape
    assert np.array_equal(expand(brush.unpack(brush.pack(mask), width, height)), mask)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_broken_brushes_are_refused(packed: list[int]) -> None:
    with pytest.raises(UnusableImage, match="E_RLE"):
        brush.unpack([0, 0, 0, 96, *packed[:9]], 9, 9)  # another size
    try:
        brush.unpack([0, 0, 0, 96, 57, 27, *packed], 6, 4)
    except UnusableImage as error:
        assert error.problem.code == "E_RLE"


def test_a_broken_brush_is_the_problem_of_its_image(tmp_path: Path) -> None:
    save(tmp_path / "ls.json", [studio([studio_shape("brush", rle=[1, 2, 3])])])
    problem = marked(tmp_path, LABEL_STUDIO)["a.png"].problem
    assert problem is not None
    assert (problem.code, problem.where) == ("E_RLE", "ls.json task 7")


# CVAT


def cvat_file(*shapes: str) -> str:
    inside = "".join(shapes)
    image = f'<image id="0" name="images/a.png" width="20" height="10">{inside}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{image}</annotations>'


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ('<box label="x" xtl="5.0" ytl="2.0" xbr="9.0" ybr="8.0" z_order="0"/>', rectangle(5, 2, 9, 8)),
        # turned around its centre (7, 5) by a right angle: 8 across and 2 down become 2 across and 8 down
        ('<box label="x" xtl="3" ytl="4" xbr="11" ybr="6" rotation="90.0"/>', rectangle(6, 1, 9, 10)),
        ('<polygon label="x" points="5.0,2.0;8.0,2.0;8.0,7.0;5.0,7.0"/>', rectangle(5, 2, 9, 8)),
        ('<mask label="x" rle="0, 24" left="5" top="2" width="4" height="6"/>', rectangle(5, 2, 9, 8)),
        ('<mask label="x" rle="4, 4" left="5" top="2" width="4" height="2"/>', rectangle(5, 3, 9, 4)),
    ],
)
def test_cvat_shapes(tmp_path: Path, shape: str, expected: np.ndarray) -> None:
    save(tmp_path / "annotations.xml", cvat_file(shape))
    samples = marked(tmp_path, {"kind": "cvat", "file": "annotations.xml"})
    assert np.array_equal(drawn(samples["a.png"]), expected)


def test_cvat_points_are_counted(tmp_path: Path) -> None:
    path = save(
        tmp_path / "annotations.xml", cvat_file('<points label="x" points="1,1"/>', '<tag label="y"/>')
    )
    (marking,) = cvat.parse(path)
    assert (marking.skipped, list(marking.shapes)) == (2, [])


def test_what_is_left_out_is_noticed(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", SIZE)
    save(tmp_path / "annotations.xml", cvat_file('<points label="x" points="1,1"/>'))
    listing = Listing(tmp_path)
    sample = Sample("a", tmp_path / "images" / "a.png", 1, "x", "s", "site", "cxr")
    cvat.read(listing, [(sample, {})], {"kind": "cvat", "file": "annotations.xml"})
    (found,) = listing.finish([sample]).noticed
    assert (found.code, found.where) == ("W_ANN_SKIPPED", "annotations.xml")
    assert found.message.startswith("1 points")


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ('<mask label="x" rle="0, 99999999999" left="5" top="2" width="4" height="6"/>', "E_RLE"),
        ('<mask label="x" rle="0, 24" left="18" top="2" width="4" height="6"/>', "E_SHAPE"),
        ('<mask label="x" rle="" left="5" top="2" width="4" height="6"/>', "E_SHAPE"),
        ('<box label="x" xtl="nan" ytl="2" xbr="9" ybr="8"/>', "E_SHAPE"),
        ('<polygon label="x" points="5,2;8"/>', "E_SHAPE"),
        ('<ellipse label="x" cx="5"/>', "E_SHAPE"),
    ],
)
def test_broken_shapes_of_cvat(tmp_path: Path, shape: str, code: str) -> None:
    save(tmp_path / "annotations.xml", cvat_file(shape))
    problem = marked(tmp_path, {"kind": "cvat", "file": "annotations.xml"})["a.png"].problem
    assert problem is not None
    assert problem.code == code


@pytest.mark.parametrize(
    "system", ['[<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]', 'SYSTEM "file:///etc/passwd"']
)
def test_entities_are_refused(tmp_path: Path, system: str) -> None:
    text = cvat_file().replace("<annotations>", f"<!DOCTYPE annotations {system}><annotations>")
    save(tmp_path / "annotations.xml", text)
    message = refused(tmp_path, {"kind": "cvat", "file": "annotations.xml"})
    assert message.startswith("E_ANN_FILE")
    assert "entities" in message


# labelme


def labelme_file(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    shape = {"label": "x", "shape_type": kind, "points": points, "flags": {}, **more}
    about = {"version": "5.0.1", "imagePath": "..\\images\\a.png", "imageData": None}
    return {**about, "imageWidth": 20, "imageHeight": 10, "shapes": [shape]}


def png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme_shapes(tmp_path: Path) -> None:
    whole = np.ones((6, 4), bool)
    for told, expected in (
        (labelme_file("rectangle", [[9, 8], [5, 2]]), rectangle(5, 2, 9, 8)),
        (labelme_file("polygon", [[5, 2], [8, 2], [8, 7], [5, 7]]), rectangle(5, 2, 9, 8)),
        (labelme_file("mask", [[5, 2], [8, 7]], mask=png(whole)), rectangle(5, 2, 9, 8)),
    ):
        save(tmp_path / "labels" / "a.json", told)
        sample = marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"]
        assert np.array_equal(drawn(sample), expected), told


def test_labelme_circle(tmp_path: Path) -> None:
    save(tmp_path / "labels" / "a.json", labelme_file("circle", [[10, 5], [13, 5]]))
    human_map = drawn(marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"])
    assert human_map.sum() == pytest.approx(np.pi * 9, rel=0.35)  # edges count
    assert human_map[5, 8:13].all()
    assert human_map[:, :6].sum() == 0


@pytest.mark.parametrize(
    "mask", ["no base64!", png(np.ones((50, 50), bool)), base64.b64encode(b"GIF89a").decode()]
)
def test_broken_masks_of_labelme(tmp_path: Path, mask: str) -> None:
    save(tmp_path / "labels" / "a.json", labelme_file("mask", [[5, 2], [8, 7]], mask=mask))
    problem = marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"].problem
    assert problem is not None
    assert problem.code == "E_SHAPE"


# VIA


def via_images(*shapes: dict[str, Any]) -> dict[str, Any]:
    regions = [{"shape_attributes": shape, "region_attributes": {"finding": "x"}} for shape in shapes]
    return {"a.png123": {"filename": "a.png", "size": 123, "regions": regions, "file_attributes": {}}}


RECT = {"name": "rect", "x": 5, "y": 2, "width": 4, "height": 6}


def test_via_project_export_and_csv_say_the_same(tmp_path: Path) -> None:
    project = {
        "_via_settings": {},
        "_via_img_metadata": via_images(RECT),
        "_via_data_format_version": "2.0.10",
    }
    save(tmp_path / "project.json", project)
    save(tmp_path / "export.json", via_images(RECT))
    head = (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    )
    shape = json.dumps(RECT).replace('"', '""')
    row = f'a.png,123,"{{}}",1,0,"{shape}","{{""finding"":""x""}}"'
    save(tmp_path / "export.csv", f'{head}\n{row}\nb.png,5,"{{}}",0,0,"{{}}","{{}}"\n')
    for name in ("project.json", "export.json", "export.csv"):
        samples = marked(tmp_path, {"kind": "via", "file": name, "keep": ["x"]})
        assert np.array_equal(drawn(samples["a.png"]), rectangle(5, 2, 9, 8)), name
    assert len(samples["b.png"].annotations) == 1  # looked at, nothing marked


def test_via_round_shapes(tmp_path: Path) -> None:
    ellipse = {"name": "ellipse", "cx": 10, "cy": 5, "rx": 4, "ry": 2, "theta": np.pi / 2}
    polygon = {"name": "polygon", "all_points_x": [5, 8, 8, 5], "all_points_y": [2, 2, 7, 7]}
    save(tmp_path / "via.json", via_images(ellipse))
    human_map = drawn(marked(tmp_path, {"kind": "via", "file": "via.json"})["a.png"])
    assert human_map[1:9, 10].all()
    assert human_map[5, :7].sum() == 0
    save(tmp_path / "via.json", via_images(polygon))
    assert np.array_equal(
        drawn(marked(tmp_path, {"kind": "via", "file": "via.json"})["a.png"]), rectangle(5, 2, 9, 8)
    )


# DICOM SEG


def dicom_image(path: Path) -> pydicom.Dataset:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.random.default_rng(0).integers(0, 4096, (10, 20), dtype=np.uint16)
    write_dicom(path, stored)
    told = pydicom.dcmread(path)
    for name in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDate",
        "StudyTime",
    ):
        setattr(told, name, "")
    told.Modality = "DX"
    told.AccessionNumber = told.ReferringPhysicianName = ""
    told.StudyInstanceUID, told.SeriesInstanceUID = generate_uid(), generate_uid()
    told.ImageOrientationPatient, told.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    told.PixelSpacing, told.SliceThickness = [1, 1], 1
    told.FrameOfReferenceUID = generate_uid()
    told.save_as(path)
    return told


def segmentation(image: pydicom.Dataset, mask: np.ndarray, kind: str) -> highdicom.seg.Segmentation:
    """A file as highdicom writes it."""
    algorithm = AlgorithmIdentificationSequence("inv", dicom_codes.DCM.ArtificialIntelligence, "1")
    described = highdicom.seg.SegmentDescription(
        1,
        "nodule",
        dicom_codes.SCT.MorphologicallyAbnormalStructure,
        dicom_codes.SCT.Nodule,
        "AUTOMATIC",
        algorithm_identification=algorithm,
    )
    return highdicom.seg.Segmentation(
        [image], mask[None], kind, [described], generate_uid(), 1, generate_uid(), 1, "inv", "inv", "1", "inv"
    )


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_dicom_segmentation_by_uid(tmp_path: Path, kind: str) -> None:
    image = dicom_image(tmp_path / "images" / "film.dcm")
    mask = rectangle(5, 2, 9, 8)
    told = segmentation(image, mask.astype(np.uint8 if kind == "BINARY" else float), kind)
    (tmp_path / "seg").mkdir()
    told.save_as(tmp_path / "seg" / "1.dcm")
    maps = {"kind": "dicom_seg", "file": "seg/*.dcm", "keep": ["nodule"]}
    assert np.array_equal(drawn(marked(tmp_path, maps, names=())["film.dcm"]), mask)


def test_what_is_no_segmentation_is_refused(tmp_path: Path) -> None:
    dicom_image(tmp_path / "images" / "film.dcm")
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/film.dcm"})
    assert message.startswith("E_ANN_FILE film.dcm")


def test_what_is_wrong_with_a_segmentation_quotes_nothing_of_it(tmp_path: Path) -> None:
    told = segmentation(dicom_image(tmp_path / "images" / "film.dcm"), rectangle(5, 2, 9, 8), "BINARY")
    told.SegmentSequence[0].add_new("SegmentNumber", "LO", "Jane Doe")  # as a number, of which pydicom tells
    told.save_as(tmp_path / "images" / "seg.dcm")
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/seg.dcm"})
    assert message == "E_ANN_FILE seg.dcm: no DICOM Segmentation that can be read (ValueError)"


def test_a_segmentation_that_ends_its_decoder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise expendable.Lost("died (SIGSEGV)")

    dicom_image(tmp_path / "images" / "film.dcm")
    monkeypatch.setattr(expendable, "call", lose)
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/film.dcm"})
    assert message.startswith("E_ANN_FILE film.dcm: its decoder died (SIGSEGV)")


# NIfTI


def nifti(root: Path, data: np.ndarray, affine: np.ndarray | None = None, **maps: str) -> np.ndarray:
    """What is drawn of a file as nibabel writes it."""
    (root / "masks").mkdir(exist_ok=True, parents=True)
    nibabel.save(nibabel.Nifti1Image(data.astype(np.uint8), affine), root / "masks" / "a.nii.gz")
    return drawn(marked(root, {"kind": "nifti", "file": "masks/*.nii.gz", **maps})["a.png"])


def test_nifti_axes(tmp_path: Path) -> None:
    """A mark near the left top, higher than wide, tells every turn and flip from every other."""
    mask = rectangle(1, 0, 3, 5)
    itk = np.diag([-1.0, -1.0, 1.0, 1.0])  # as ITK writes a picture: to the left, to the back
    assert np.array_equal(nifti(tmp_path, mask.T, itk), mask)
    assert np.array_equal(nifti(tmp_path, mask.T[:, :, None], itk), mask)
    assert np.array_equal(nifti(tmp_path, mask.T[::-1, ::-1], np.eye(4)), mask)  # to the right, to the front
    assert np.array_equal(nifti(tmp_path, mask.T), mask)  # no orientation in the header
    assert np.array_equal(nifti(tmp_path, mask, np.eye(4), axes="yx"), mask)
    assert np.array_equal(nifti(tmp_path, mask.T, np.eye(4), axes="xy"), mask)


def test_nifti_upright_plane(tmp_path: Path) -> None:
    mask = rectangle(1, 0, 3, 5)
    coronal = mask.T[::-1, None, ::-1]  # to the right, one plane, upwards
    assert np.array_equal(nifti(tmp_path, coronal, np.eye(4)), mask)


def test_a_mask_of_another_size_than_its_image(tmp_path: Path) -> None:
    with pytest.raises(UnusableImage, match="E_ANN_DIMS"):
        nifti(tmp_path, np.eye(7))


@pytest.mark.parametrize("data", [np.ones((3, 3, 3)), np.ones((4, 1, 1, 4))])
def test_a_volume_is_no_plane(tmp_path: Path, data: np.ndarray) -> None:
    with pytest.raises(UserError, match="E_ANN_FILE"):
        nifti(tmp_path, data)


def test_a_text_is_no_nifti(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "a.nii", "text")
    assert refused(tmp_path, {"kind": "nifti", "file": "masks/*.nii"}).startswith("E_ANN_FILE a.nii")


# Fixations


def gaze(root: Path, *rows: str, **maps: str) -> dict[str, Sample]:
    save(root / "gaze.csv", "\n".join(["image,who,fx,fy,ms,ppd", *rows]))
    told = {"table": "gaze.csv", "key": "image", "x": "fx", "y": "fy", "duration": "ms", "annotator": "who"}
    return marked(root, {"kind": "fixations", **told, **(maps or {"px_per_degree": "ppd"})})


def test_fixations_weigh_by_their_duration(tmp_path: Path) -> None:
    sample = gaze(tmp_path, "a,r1,4,5,300,1", "a,r1,15,5,100,1", "a,r2,4,5,1,1")["a.png"]
    assert len(sample.annotations) == 2
    human_map = drawn(sample)
    assert human_map[5, 4] == pytest.approx(1, abs=1e-3)
    assert human_map[5, 15] == pytest.approx((1 / 3 + 0) / 2, abs=1e-3)


@pytest.mark.parametrize(
    "row", ["a,r,4,x,300,1", "a,r,4,5,-1,1", "a,r,4,5,1,-1", "a,r,nan,5,1,1", "a,r,4,,1,1"]
)
def test_broken_fixations_are_the_problem_of_their_image(tmp_path: Path, row: str) -> None:
    problem = gaze(tmp_path, row)["a.png"].problem
    assert problem is not None
    assert problem.code == "E_FIX"


def test_the_width_of_fixations_must_be_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"either maps\.sigma or maps\.px_per_degree"):
        gaze(tmp_path, "a,r,4,5,1,1", sigma="ppd", px_per_degree="ppd")


def test_holes_and_parts_stay_apart() -> None:
    """The hole of one outline does not cut into another."""
    ring = np.array([[1, 1], [7, 1], [7, 7], [1, 7]])
    one = Polygons((ring,), (np.array([[3, 3], [5, 3], [5, 5], [3, 5]]),))
    both = Together((one, Boxes(np.array([[4, 4, 6, 6]]))))
    human_map = annotations.combine([both], 20, 10, granularity="map", blur=0)
    assert human_map is not None
    assert human_map[3, 3] == 0
    assert human_map[4, 4] == 1
