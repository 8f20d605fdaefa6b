"""Images become tasks for people, and what they mark becomes the maps: the whole loop on a tiny data set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.annotate import parser, tell_changes, written_in
from pipeline.common.data_settings import Replacement
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.data.listing import Found
from pipeline.data.marks import studio_tasks
from pipeline.data.marks.studio_tasks import MARK, StudioSuggestion
from pipeline.data.reannotation import name_in_settings
from pipeline.data.replacing import replace
from pipeline.data.samples import Boxes, Sample
from pipeline.explain import disagreement
from tests.data.adapters.trees import codes, picture
from tests.data.marks.exports import SIZE, studio, studio_shape

SETTINGS = """\
# first
datasets:
  cxr:   # a data set
    annotations: {granularity: map, blur: 0.02}   # as a share of the width
  iris:
    annotations:
      granularity: map  # or box
      blur: 0.02
rest: [1,
       2]
"""


def replacement(digest: str = "0") -> Replacement:
    return Replacement(kind="label_studio", file="data/a.json", sha256=digest)


@pytest.mark.parametrize("dataset", ["cxr", "iris"])
def test_settings_change_in_one_place(tmp_path: Path, dataset: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SETTINGS)
    for digest in ("a1", "b2"):  # the second import takes the place of the first
        name_in_settings(path, dataset, replacement(digest))
        told = yaml.safe_load(path.read_text())["datasets"][dataset]["annotations"]
        assert told == {"replace": replacement(digest).model_dump(), "granularity": "map", "blur": 0.02}
    kept = [line for line in SETTINGS.splitlines() if "annotations: {" not in line or dataset != "cxr"]
    assert set(kept) - set(path.read_text().splitlines()) <= {"      granularity: map  # or box"}
    assert "# as a share of the width" in path.read_text()
    with pytest.raises(UserError, match=r"no datasets\.face"):
        name_in_settings(path, "face", replacement())


def samples(root: Path) -> Found:
    made = Found()
    for seed, name in enumerate(("a", "b")):
        path = picture(root / "images" / f"{name}.png", SIZE, seed)
        box = [Boxes(np.array([[0.0, 0, 1, 1]]))]
        made.append(Sample(name, path, 1, "x", "s", "site", "cxr", annotations=box * 3, annotators=3))  # type: ignore[arg-type]
    return made


def test_new_marks_replace_those_of_their_images_alone(tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    box = studio_shape("rectangle", x=25, y=20, width=20, height=60)
    export.write_text(json.dumps([studio([box])]))
    one, other = found = samples(tmp_path)
    replace(found, tmp_path, Replacement(kind="label_studio", file=str(export), sha256=sha256_file(export)))
    assert (len(one.annotations), one.annotators, one.annotation_size) == (1, None, SIZE)
    assert isinstance(one.annotations[0], Boxes)
    assert one.annotations[0].corners.tolist() == [[5, 2, 9, 8]]
    assert (len(other.annotations), other.annotators) == (3, 3)


def test_a_file_that_was_changed_or_lost_is_refused(tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    setting = Replacement(kind="label_studio", file=str(export), sha256="0")
    with pytest.raises(UserError) as caught:
        replace(samples(tmp_path), tmp_path, setting)
    assert codes(caught.value) == {"E_ANN_MISSING"}
    export.write_text("[]")
    with pytest.raises(UserError) as caught:
        replace(samples(tmp_path), tmp_path, setting)
    assert codes(caught.value) == {"E_ANN_FILE"}


def test_a_task_that_is_accepted_as_it_is_marks_the_suggested_regions(tmp_path: Path) -> None:
    regions = np.zeros((1, SIZE[1], SIZE[0]), bool)
    regions[0, 2:8, 5:9] = True
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    studio_tasks.write(
        tmp_path / "out", [StudioSuggestion("images/a.png", pixels, regions, "m", {"class": "x"})]
    )
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert (tmp_path / "out" / task["data"]["image"].split("?d=")[1]).is_file()
    assert MARK in (tmp_path / "out" / "config.xml").read_text()
    task["annotations"] = [{"completed_by": 1, "result": task.pop("predictions")[0]["result"]}]
    export = tmp_path / "export.json"
    export.write_text(json.dumps([task]))
    found = samples(tmp_path)
    replace(found, tmp_path, Replacement(kind="label_studio", file=str(export), sha256=sha256_file(export)))
    (runs,) = found[0].annotations
    assert runs.parts[0].tolist()[:3] == [2 * 20 + 5, 4, 16]  # type: ignore[union-attr]


def test_disagreement_with_people_and_between_models() -> None:
    mark = np.zeros((1, 8, 8))
    mark[0, :4] = 1
    looks = np.array([[[[1.0, 1], [0, 0]]], [[[0.0, 0], [1, 1]]]])  # one model as people do, one contrary
    assert disagreement.with_people(looks[:1], mark)[0] == pytest.approx(0, abs=0.2)
    assert disagreement.with_people(looks[1:], mark)[0] == pytest.approx(2, abs=0.2)
    assert np.isnan(disagreement.with_people(looks, np.zeros((1, 8, 8)))).all()
    assert disagreement.between_models(looks) == pytest.approx([2])
    assert np.isnan(disagreement.between_models(looks[:1])).all()


def test_suggested_parts_lie_where_the_salience_is() -> None:
    salience = np.zeros((4, 4))
    salience[0, 0], salience[3, 3] = 2, 1
    found = disagreement.parts(salience, 1.0)
    assert found.shape == (2, 16, 16)
    assert found[0, 1, 1]
    assert found[1, 14, 14]
    assert not (found[0] & found[1]).any()
    assert disagreement.parts(-np.ones((4, 4)), 0.2).shape == (0, 16, 16)


def test_test_images_are_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["export", "--model", "runs/x", "--out", "o", "--role", "test"])
    assert "invalid choice: 'test'" in capsys.readouterr().err


def test_settings_of_a_study_are_written_in_its_profile(tmp_path: Path) -> None:
    """The next run makes the workspace's params.yaml anew."""
    for folder in ("profiles", "mine", "workspaces/mine", "workspaces/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "profiles/mine.yaml").touch()
    assert written_in(tmp_path / "workspaces/mine") == Path("../../profiles/mine.yaml")
    for folder in ("", "mine", "workspaces/other"):
        assert written_in(tmp_path / folder) == Path("params.yaml")


def test_changes_are_paired_by_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing was imported"):
        tell_changes("cxr")
    rows: list[dict[str, Any]] = [
        {"backbone": "b", "method": "m", "seed": seed, "scope": "closed", "source": "", "value": value}
        for seed, value in (("0", 0.5), ("1", 0.7), ("2", 0.9))
    ]
    Path("data/annotations/cxr").mkdir(parents=True)
    pd.DataFrame(rows).to_csv("data/annotations/cxr/before.csv", index=False)
    for seed, value in (("0", 0.6), ("1", 0.7)):  # seed 2 was not evaluated again
        folder = Path("evaluate/cxr/b/m", seed)
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(
            f"scope,source,metric,value\nclosed,,auroc,{value}\nclosed,,ap,0\n"
        )
    tell_changes("cxr")
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last == ["b", "m", "closed", "2", "0.6", "0.65", "0.05", "0.0", "0.1"]
    for seed, value in (("0", 0.5), ("1", 0.7)):  # as before the import
        text = f"scope,source,metric,value\nclosed,,auroc,{value}\n"
        Path(f"evaluate/cxr/b/m/{seed}/metrics.csv").write_text(text)
    tell_changes("cxr")
    assert "was the pipeline run since the import?" in capsys.readouterr().out
