"""Who is in the data stays where the data are: no name, id or date of an archive in any output byte."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import planted_people
import pytest
from planted_people import WORDS, found_in, settings

from pipeline import names
from pipeline.common.errors import UserError
from pipeline.common.spreadsheet import from_text
from pipeline.common.tree import hash_tree
from pipeline.data import pseudonyms
from pipeline.data.pseudonyms import PSEUDONYM
from pipeline.data.store import open_store
from pipeline.evaluate import evaluate
from pipeline.identify import identify
from pipeline.predict import predict
from pipeline.prepare import prepare
from pipeline.report import report
from pipeline.robustness import robustness
from pipeline.trace import trace
from pipeline.track import track
from pipeline.train import train

STORE, NAMES = Path("data/prepared/ward"), Path("data/names")


def outputs() -> list[Path]:
    """Every file of the working directory but the data themselves and what is kept for their owner."""
    apart = (Path("raw"), NAMES)
    files = (path for path in Path().rglob("*") if path.is_file())
    return [path for path in files if not any(path.is_relative_to(each) for each in apart)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive, prepared; read only."""
    folder = tmp_path_factory.mktemp("prepared")
    planted_people.write(folder / "raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(settings(), "ward")
    return folder


@pytest.fixture
def archive(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in: the working directory."""
    subprocess.run(["cp", "-a", f"{prepared}/.", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_search_finds_what_is_planted(archive: Path) -> None:
    everywhere = [path for path in Path("raw").rglob("*") if path.is_file()]
    found = {line.rsplit(": ", 1)[1] for line in found_in(everywhere, Path("raw"))}
    assert set(WORDS) <= found
    zipped = [path for path in everywhere if b"zTXt" in path.read_bytes()]
    assert any(b"zdzislawa, 1947" in part.lower() for part in planted_people.contents(zipped[0].read_bytes()))


def test_a_store_holds_no_name(archive: Path) -> None:
    assert {path.name for path in outputs()} >= {"manifest.csv", "audit.json", "quarantine.csv", "images.npy"}
    assert found_in(outputs(), Path("raw")) == []
    audit = (STORE / "audit.json").read_text()
    for code in ("W_DUPLICATE", "W_EXTRA_FILES", "W_LEAK_NATIVE", "W_HELD_OUT_SUBJECT"):
        assert code in audit  # each would name a file, folder or subject


def test_the_store_without_pseudonyms_would_tell(archive: Path) -> None:
    prepare(settings(pseudonyms=False), "ward")
    assert {line.rsplit(": ", 1)[1] for line in found_in(outputs(), Path("raw"))} >= {"kowalczyk", "mrn7714"}


def test_the_owner_finds_every_name_again(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_csv(STORE / "manifest.csv", dtype=str)
    tables = names._tables()["ward"]
    for column in ("sample_id", "subject_id", "group_id", "image_path"):
        assert rows[column].map(PSEUDONYM.fullmatch).notna().all()
        assert set(rows[column]) <= set(tables)
    files = {tables[each][1] for each in rows["sample_id"]}
    assert files == {tables[each][0] for each in rows["image_path"]}
    assert all((Path("raw") / file).is_file() for file in files)
    assert len({tables[each][0] for each in rows["subject_id"]}) == rows["subject_id"].nunique()

    names.tell(settings(), [rows["sample_id"][0], rows["subject_id"][0]])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("  raw/" + tables[rows["sample_id"][0]][1])
    assert second.split("  ")[1:2] == ["ward"] and second.split("  ")[2].startswith("ward:MRN7714")
    told = names.reveal((STORE / "quarantine.csv").read_text())
    assert "E_FLAT,films/KOWALCZYK^ZDZISLAWA 1947-06-13/ACC5580920_20190822.dcm (lists/" in told
    told = names.reveal_csv((STORE / "manifest.csv").read_text())
    shown = pd.read_csv(io.StringIO(told), dtype=str)
    assert [from_text(each) for each in shown["image_path"]] == [
        tables[each][0] for each in rows["image_path"]
    ]
    with pytest.raises(UserError, match="'n0': no name in data/names"):
        names.tell(settings(), ["n0"])


def test_only_the_owner_reads_key_and_table(archive: Path) -> None:
    assert NAMES.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in NAMES.iterdir()} == {
        "names.key": 0o600,
        "ward.csv": 0o600,
    }


def test_the_console_names_no_one_but_in_errors(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(settings(), "ward")
    said = "".join(capsys.readouterr()).lower()
    assert "w_duplicate n" in said and "--text data/prepared/ward/audit.json" in said
    assert [word for word in WORDS if word in said] == []
    with pytest.raises(UserError, match=r"E_FLAT films/KOWALCZYK\^ZDZISLAWA 1947-06-13/ACC5580920"):
        prepare(settings(max_quarantined=0), "ward")


def by_name() -> pd.DataFrame:
    """What must not depend on the key: splits, and what else is known, by real names, in order of rows."""
    table = names._tables()["ward"]
    rows = pd.read_csv(STORE / "manifest.csv", dtype=str, keep_default_na=False)
    hidden = ("sample_id", "subject_id", "group_id", "image_path", "sha256")
    return rows.assign(**{column: [table[each][0] for each in rows[column]] for column in hidden})


def test_splits_rows_and_arrays_are_the_same_by_any_key(archive: Path) -> None:
    first, arrays, pseudonyms = by_name(), hash_tree(STORE), (STORE / "manifest.csv").read_text()
    assert first["sha256"].is_monotonic_increasing and not first["sample_id"].is_monotonic_increasing
    (NAMES / "names.key").unlink()
    prepare(settings(), "ward")
    assert (STORE / "manifest.csv").read_text() != pseudonyms
    pd.testing.assert_frame_equal(by_name(), first)
    assert {name: arrays[name] for name in ("images.npy", "maps.npy")}.items() <= hash_tree(STORE).items()

    prepare(settings(pseudonyms=False), "ward")
    plain = pd.read_csv(STORE / "manifest.csv", dtype=str, keep_default_na=False)
    assert plain["sample_id"].is_monotonic_increasing
    ordered = first.sort_values("sample_id", ignore_index=True)
    pd.testing.assert_frame_equal(plain, ordered)


def test_equal_names_have_equal_pseudonyms_and_a_new_setting_keeps_them(archive: Path) -> None:
    before = pd.read_csv(STORE / "manifest.csv", dtype=str)
    assert by_name().groupby("subject_id").ngroups == before.groupby("subject_id").ngroups
    kept = ("images.npy", "quarantine.csv")
    decoded = [(STORE / name).read_bytes() for name in kept]
    prepare(settings(seed=1), "ward")  # takes the arrays over
    after = pd.read_csv(STORE / "manifest.csv", dtype=str)
    pd.testing.assert_frame_equal(after.drop(columns="split"), before.drop(columns="split"))
    assert [(STORE / name).read_bytes() for name in kept] == decoded
    assert open_store(STORE).info["n"] == len(before)


def test_a_lost_table_is_made_again_with_the_same_store(archive: Path) -> None:
    table, before = (NAMES / "ward.csv").read_bytes(), hash_tree(STORE)
    (NAMES / "ward.csv").unlink()
    with pytest.raises(UserError, match="no table of names here"):
        names.reveal("n0123456789abcdef")
    prepare(settings(), "ward")
    assert (NAMES / "ward.csv").read_bytes() == table
    assert hash_tree(STORE) == before


def test_a_key_that_is_none_is_refused(archive: Path) -> None:
    (NAMES / "names.key").write_text("secret")
    with pytest.raises(UserError, match=r"names\.key: no key of pseudonyms here; expected 64"):
        prepare(settings(), "ward")


def test_neither_git_nor_dvc_tracks_names(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    assert subprocess.run(["git", "check-ignore", "-q", "data/names/names.key"], cwd=root).returncode == 0
    command = [sys.executable, "-m", "dvc", "check-ignore", "-q", "data/names/names.key"]
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    (tmp_path / ".dvcignore").write_bytes((root / ".dvcignore").read_bytes())
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert subprocess.run([*command[:-1], "data/prepared/x"], cwd=tmp_path).returncode == 1


@pytest.mark.slow
def test_no_stage_and_no_prediction_tells_a_name(archive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params = settings()
    for stage in (train, evaluate, identify, robustness):
        stage(params, "ward")
    report(params)
    track(params)
    trace(params, "evidence", 1, Path("traced.csv"))
    asked = Path("asked")
    asked.mkdir()
    for number, film in enumerate(sorted(Path("raw/films").rglob("*.*"))[:5]):
        (asked / f"{number}{film.suffix}").write_bytes(film.read_bytes())
    cell = Path("runs/ward/compact/cyborg/0")
    predict(cell, [asked], Path("scores.csv"), overlays=Path("overlays"), page=Path("looked.html"))

    made = {str(path.parts[0]) for path in outputs()}
    assert made >= {
        "data",
        "runs",
        "evaluate",
        "identify",
        "robustness",
        "reports",
        "mlflow.db",
        "mlartifacts",
    }
    assert made >= {"traced.csv", "scores.csv", "overlays", "looked.html"}
    assert found_in([path for path in outputs() if asked not in path.parents], Path("raw")) == []
    said = "".join(capfd.readouterr()).lower()
    assert [word for word in WORDS if word in said] == []


def test_two_names_with_one_pseudonym_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudonyms, "DIGITS", 1)
    people = pd.DataFrame({"subject_id": [f"p{number}" for number in range(17)]}, dtype="str")
    with pytest.raises(UserError, match="two names of ward have the pseudonym n"):
        pseudonyms.Pseudonyms(tmp_path / "names", "ward").hide(people)


def test_asking_for_names_makes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, asked = pd.DataFrame(), settings()
    with pytest.raises(UserError, match="no table with the names of ward"):
        pseudonyms.real_names(rows, "ward", asked.datasets["ward"], asked.prepare)
    assert not NAMES.exists()


def test_names_with_commas_and_formulas_stay_in_their_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_tables", lambda: {"ward": {"n1": ("=Roe, Jane", "")}})
    monkeypatch.setattr(names, "PSEUDONYM", re.compile(r"\bn\d\b"))
    assert names.reveal_csv("id,note\nn1,of n1\n-n2,\n") == 'id,note\n"\'=Roe, Jane","of =Roe, Jane"\n-n2,\n'
