"""CVAT for images 1.1: shapes by hand, entities refused, what is left out."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.listing import Listing
from pipeline.data.marks import cvat
from pipeline.data.samples import Sample
from tests.data.adapters.trees import picture
from tests.data.marks.exports import (
    SIZE,
    drawn,
    marked,
    rectangle,
    refused,
    save,
)


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
