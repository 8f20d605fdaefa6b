"""`camdivide new`: from a folder and a table to settings and an audit, or to one line and nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from pipeline import new
from pipeline.common import workspace
from pipeline.common.config import Params, load
from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng
from pipeline.data import starter
from pipeline.data.deciding import Answers
from pipeline.data.placing import Entry
from pipeline.grid.cells import cells
from tests.data.adapters.trees import siim_acr

ROOT = Path(__file__).parents[1]
FILMS = 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without profiles, in which `camdivide new` writes."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    (root / "pipeline").symlink_to(ROOT / "pipeline")
    monkeypatch.setattr(workspace, "PROJECT", root)
    monkeypatch.setattr(sys, "argv", ["camdivide new", "mine", "--yes"])
    monkeypatch.setenv("CAMDIVIDE_WEIGHTS", str(tmp_path))  # none are there
    return root


def draw(path: Path, *, colour: bool = False, black: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (24, 24, 3) if colour else (24, 24)
    pixels = numpy_rng(0, "film", str(path)).integers(1, 256, shape, dtype=np.uint8)
    pixels[12:] = 0 if black else pixels[12:] // 4
    Image.fromarray(pixels * (not black)).save(path)


@pytest.fixture
def unaudited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are checked and written, and no image is decoded."""
    monkeypatch.setattr(new, "audit", workspace.workspace)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Forty films with both labels, of three hospitals; two of each patient; half of them have maps."""
    folder = tmp_path / "films"
    rows = []
    for n in range(FILMS):
        draw(folder / f"{n:02}.png")
        if n % 2:
            draw(tmp_path / "marks" / f"{n:02}.png", black=n == 1)
        hospital = ("North", "South", "North", "South", "West")[n // 2 % 5]
        finding = "Pneumonia" if n % 2 else "No Finding"
        rows.append([f"{n:02}", finding, hospital, f"p{n // 2}", f"marks/{n:02}.png" if n % 2 else ""])
    frame = pd.DataFrame(rows, columns=["Film", "Finding", "Hospital", "Patient ID", "Mask"])
    frame.to_csv(tmp_path / "films.csv", sep=";", index=False)
    return folder


def run(
    folder: Path,
    *,
    table: bool = True,
    name: str = "mine",
    maps: Path | None = None,
    columns: tuple[str, ...] = (),
    positive: list[str] | None = None,
    held_out: list[str] | None = None,
    silent: bool = True,
) -> None:
    answers = Answers(columns, positive, held_out)
    new.new(name, folder, folder.parent / "films.csv" if table else None, maps, answers, silent)


def refused(project: Path, folder: Path, **given: object) -> list[str]:
    """The lines with which it is refused; nothing is left behind."""
    before = sorted(project.rglob("*"))
    with pytest.raises(UserError) as error:
        run(folder, **given)  # type: ignore[arg-type]
    assert [path for path in sorted(project.rglob("*")) if path.name != "workspaces"] == before
    return error.value.problems


def written(project: Path) -> Params:
    """The settings as the workspace has them."""
    return load(project / "workspaces" / "mine" / "params.yaml")


def change(folder: Path, **columns: object) -> None:
    """Other cells in the table of the films."""
    path = folder.parent / "films.csv"
    frame = pd.read_csv(path, sep=";", dtype=str, keep_default_na=False)
    frame.assign(**{name.replace("_", " "): cells for name, cells in columns.items()}).to_csv(
        path, sep=";", index=False
    )


def test_a_table_becomes_settings_data_and_an_audit(
    project: Path, films: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (films / "00.png").rename(films.parent / "elsewhere.png")
    (films / "00.png").symlink_to(films.parent / "elsewhere.png")
    before = {path: path.read_bytes() for path in films.parent.rglob("*.png")}
    run(films)
    params = written(project)
    mine = params.datasets["mine"]
    assert mine.adapters[0]["labels"] == {"No Finding": 0, "Pneumonia": 1}
    assert mine.adapters[0]["maps"] == {"kind": "drawn", "path": "map"}
    assert mine.protocol.known == {"0": ["north", "south"], "1": ["north", "south"]}
    assert mine.protocol.held_out == {"0": ["west"], "1": ["west"]}
    assert (mine.channels, mine.split.by, mine.phantom) == (1, "subject", False)
    assert params.prepare.image_size == 224
    assert params.backbones == {"densenet121": {"name": "densenet121", "weights": None}}
    assert not params.robustness.attacks and not params.phantoms.tasks
    assert params.report.baseline in params.methods
    assert {"cross_entropy", "transplant"} < set(params.methods)
    assert any(method.is_control for method in params.methods.values())
    assert len(cells(params, "mine")) == 3 * len(starter.GUIDED)

    data = project / "data" / "raw" / "mine"
    assert (data / "images" / "00.png").samefile(films / "00.png")
    table = pd.read_csv(data / "images.csv", keep_default_na=False)
    assert list(table.columns) == ["image", "label", "source", "subject", "split", "map"]
    assert (table["map"] != "").sum() == FILMS // 2 - 1  # one is black: nobody marked anything
    assert {path: path.read_bytes() for path in before} == before

    text = (project / "profiles" / "mine.yaml").read_text()
    assert text.startswith("# Written by: camdivide new mine --yes\n")
    assert yaml.safe_load(text)["datasets"]["mine"]["root"] == "data/raw/mine"
    assert "&" not in text and "!!" not in text

    told = capfd.readouterr().out
    assert "test_open" in told and "mine: 40 rows, 0 quarantined" in told  # the audit
    assert "profiles/mine.yaml: read it, and run `camdivide repro mine`\n18 trainings: about " in told


def test_folders_and_answers_take_the_place_of_a_table(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for source in ("one", "two"):
        for label in ("normal", "mass", "nodule"):
            for n in range(6):
                draw(tmp_path / "films" / source / label / f"{n}.png", colour=True)
    answers = iter(["", "one", ""])
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or next(answers))
    run(tmp_path / "films", table=False, silent=False)
    assert [question.split("(")[0] for question in asked] == [
        "Which labels are 1 ", "Which sources shall training not see, to test on them? ",
        "Write these settings? [yes]: ",
    ]  # fmt: skip
    params = written(project)
    mine = params.datasets["mine"]
    assert mine.adapters[0]["labels"] == {"mass": 1, "nodule": 1, "normal": 0}
    assert mine.protocol.held_out == {"0": ["one"], "1": ["one"]} and mine.channels == 3
    assert set(params.methods) == set(starter.UNGUIDED) and params.report.baseline in params.methods
    assert not any(method.map_readers() for method in params.methods.values())
    assert "methods without: cross_entropy" in capfd.readouterr().out


def test_answers_beforehand_win(project: Path, films: Path, unaudited: None) -> None:
    change(films, Site=["a", "b"] * (FILMS // 2))
    run(
        films,
        columns=("source=Site", "map=", "label=Hospital"),
        positive=["west", "South"],
        held_out=["none"],
    )
    params = written(project)
    mine = params.datasets["mine"]
    assert mine.adapters[0]["labels"] == {"North": 0, "South": 1, "West": 1}
    assert mine.protocol.known["0"] == ["a", "b"] and not any(mine.protocol.held_out.values())
    assert set(params.methods) == set(starter.UNGUIDED)


def test_no_is_no(project: Path, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "no" if "Write" in question else "")
    assert refused(project, films, silent=False)[0].startswith("nothing was written")


def test_what_is_there_already_is_left_alone(project: Path, films: Path) -> None:
    (project / "profiles").mkdir()
    (project / "profiles" / "mine.yaml").write_text("mine")
    (project / "data" / "raw" / "mine").mkdir(parents=True)
    lines = refused(project, films)
    assert len(lines) == 2 and all("is there already and stays as it is" in line for line in lines)
    assert (project / "profiles" / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["Mine", "1st", "a/b", "", "phantoms"])
def test_a_name_is_one_of_a_profile_and_a_data_set(project: Path, films: Path, name: str) -> None:
    (line,) = refused(project, films, name=name)
    assert line.startswith(f"name {name!r}: expected small letters")


def test_what_cannot_be_decided_is_one_line(project: Path, films: Path) -> None:
    change(films, Finding=["a", "b", "c", "a"] * (FILMS // 4))
    (line,) = refused(project, films)
    question = "Which labels are 1 (abnormal, attack, synthetic)?"
    assert line == f"could not decide: {question} (--positive ...; one of: a, b, c)"
    (films.parent / "films.csv").write_text("file;x;y\n" + "".join(f"{n:02};{n};u\n" for n in range(FILMS)))
    (line,) = refused(project, films)
    assert line == "could not decide: Which column tells the label? (--columns label=...; one of: x, y)"


def test_bad_cells_are_told_together(project: Path, films: Path) -> None:
    good = [["No Finding", "Pneumonia"][n % 2] for n in range(FILMS)]
    change(films, Finding=["", *good[1:]], Hospital=["北", "", *["a", "b"] * (FILMS // 2 - 1)])
    label, source = refused(project, films)
    assert "label column 'Finding': 1 of 40 rows cannot be used, first '' (" in label
    assert "source column 'Hospital': 2 of 40 rows cannot be used, first '北' (" in source


def test_bad_answers_are_told_together(project: Path, films: Path) -> None:
    wrong = ("lable=Finding", "source=Hopsital", "image=", "subject")
    lines = refused(project, films, columns=wrong)
    assert [line.split(":")[0] for line in lines] == [f"--columns {each!r}" for each in wrong]
    assert "did you mean 'Hospital'?" in lines[1]
    (line,) = refused(project, films, positive=["Pnuemonia"])
    assert "did you mean 'Pneumonia'?" in line
    assert "names all labels" in refused(project, films, positive=["Pneumonia", "no finding"])[0]
    assert "no such source: did you mean 'West'?" in refused(project, films, held_out=["west"])[0]


def test_too_little_to_train_or_to_test_is_refused(project: Path, films: Path) -> None:
    one = refused(project, films, held_out=["North", "South", "West"])
    assert len(one) == 2 and "images of 0 subjects besides North, South, West, which are held out" in one[1]
    good = [["No Finding", "Pneumonia"][n % 2] for n in range(FILMS)]
    change(films, Hospital=["West" if n % 2 == 0 and n < 9 else "North" for n in range(FILMS)])
    assert "without an image of label 1" in refused(project, films, held_out=["West"])[0]
    change(films, Finding=[good[0]] * FILMS)
    assert refused(project, films) == [
        "all images have the label 'No Finding'; expected both kinds, label 0 and label 1"
    ]
    change(films, Finding=[f"case {n}" for n in range(41)][:FILMS])
    assert "could not decide" in refused(project, films)[0]


def test_absent_images_are_told_before_anything_is_asked(project: Path, films: Path) -> None:
    rows = [f"no{n};c{n}" for n in range(FILMS)]  # no column looks like a label
    (films.parent / "films.csv").write_text("\n".join(["Film;x", *rows]))
    (line,) = refused(project, films, silent=False)
    assert "column 'Film': 40 of 40 rows name no image of" in line and "first 'no0' (" in line


def test_losses_are_guided_where_maps_are_enough() -> None:
    def enough(*with_map: int) -> bool:
        """Whether so many maps per label of ten images each are."""
        entries = [
            Entry("i", "l", "s", "", "", Path("m") if n < maps else None)
            for maps in with_map
            for n in range(10)
        ]
        return starter.has_enough_maps(entries, [0] * 10 + [1] * 10)

    assert enough(5, 5) and enough(0, 5) and enough(10, 0)
    assert not enough(0, 0) and not enough(4, 9) and not enough(0, 1)


def test_images_that_prepare_cannot_use_stop_the_audit_and_leave_the_settings(
    project: Path, films: Path
) -> None:
    (films / "07.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="the settings are written, but the audit stopped"):
        run(films)
    assert (project / "profiles" / "mine.yaml").is_file()


def test_weights_are_used_where_they_are(
    project: Path, films: Path, unaudited: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (films.parent / "densenet121.safetensors").touch()
    run(films)
    assert written(project).backbones == {"densenet121": {"name": "densenet121", "weights": "imagenet"}}
    assert "weights of ImageNet" in capsys.readouterr().out


def test_maps_may_lie_in_a_folder_of_their_own(project: Path, films: Path, unaudited: None) -> None:
    run(films, maps=films.parent / "marks", columns=("map=",))
    assert set(written(project).methods) == set(starter.GUIDED)


def test_the_command_line_says_one_line_and_leaves_with_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.new", "mine", "--images", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("new: error: ") and len(done.stderr.splitlines()) == 1


def test_real_films_in_folders_need_no_answer(
    project: Path, real_films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        for path in sorted((real_films / "kermany_224" / "train" / label).iterdir())[:20]:
            copy = tmp_path / "films" / label / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    run(tmp_path / "films", table=False)
    mine = written(project).datasets["mine"]
    assert mine.adapters[0]["labels"] == {"NORMAL": 0, "PNEUMONIA": 1} and mine.channels == 1
    assert "none held out, so nothing is measured on unseen sources" in capfd.readouterr().out


def test_a_published_layout_is_left_to_its_adapter(project: Path, tmp_path: Path) -> None:
    siim_acr.build(tmp_path / "siim")
    with pytest.raises(UserError, match=r"layout of siim_acr: write `adapters: \[{name: siim_acr}\]`"):
        run(tmp_path / "siim", table=False)
    assert not (project / "profiles").exists()
