"""An eye tracker's fixations as a CSV file."""

from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.data.samples import Sample
from tests.data.marks.exports import (
    drawn,
    marked,
    save,
)


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
