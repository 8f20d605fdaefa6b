"""The phantoms stage, and what every generator of the catalogue must keep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import phantoms
from pipeline.common import catalogue
from pipeline.common.config import Dataset, Params, load
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.data import images
from pipeline.data.samples import Sample

PARAMS = load(Path(__file__).parents[1] / "params.yaml")
TASKS = catalogue.names("drawing")


def tiny(task: str) -> dict[str, Any]:
    """The shipped settings of a task with every number of images cut to two."""
    settings = PARAMS.phantoms.tasks[task]
    return {
        name: 2 if isinstance(value, int) and name.startswith(("known", "held_out", "films")) else value
        for name, value in settings.items()
    }


def dataset(task: str) -> Dataset:
    """The shipped data set that a phantom belongs to."""
    root = (phantoms.FOLDER / task).as_posix()
    return next(entry for entry in PARAMS.datasets.values() if entry.root == root)


def with_tasks(**tasks: dict[str, Any]) -> Params:
    changed = PARAMS.phantoms.model_copy(update={"tasks": tasks})
    return PARAMS.model_copy(update={"phantoms": changed})


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in files}


@pytest.fixture(scope="module", params=TASKS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    task = request.param
    root = tmp_path_factory.mktemp(task)
    catalogue.get("drawing", task)(root, 5, **tiny(task))
    return task, root


@pytest.fixture(scope="module")
def samples(drawn: tuple[str, Path]) -> list[Sample]:
    task, root = drawn
    (adapter,) = dataset(task).adapters
    settings = {key: value for key, value in adapter.items() if key not in ("adapter", "root")}
    read = catalogue.get("data/adapters", adapter["adapter"])
    return list(read(root / adapter.get("root", "."), **settings))


def test_same_seed_gives_the_same_bytes(drawn: tuple[str, Path], tmp_path: Path) -> None:
    task, root = drawn
    catalogue.get("drawing", task)(tmp_path, 5, **tiny(task))
    assert hashes(tmp_path) == hashes(root)


def test_another_seed_gives_other_pictures(drawn: tuple[str, Path], tmp_path: Path) -> None:
    task, root = drawn
    catalogue.get("drawing", task)(tmp_path, 6, **tiny(task))
    assert not set(hashes(tmp_path / "truth" / "causal").values()) <= set(hashes(root).values())


def test_every_image_has_its_truth(drawn: tuple[str, Path], samples: list[Sample]) -> None:
    _, root = drawn
    for kind in ("causal", "shortcut"):
        assert {path.stem for path in (root / "truth" / kind).iterdir()} == {s.native_id for s in samples}
    for sample in samples:
        loaded = images.load(sample.image_path, max_megapixels=4, max_megabytes=32)
        for kind in ("causal", "shortcut"):
            with Image.open(root / "truth" / kind / f"{sample.native_id}.png") as mask:
                assert (mask.mode, mask.size) == ("L", (loaded.width, loaded.height))
                assert set(np.unique(mask)) <= {0, 255}
                if kind == "causal":
                    assert np.asarray(mask).any() == bool(sample.label)


def test_sources_are_those_of_the_protocol(drawn: tuple[str, Path], samples: list[Sample]) -> None:
    protocol = dataset(drawn[0]).protocol
    for label in (0, 1):
        planned = {*protocol.known[str(label)], *protocol.held_out[str(label)]}  # type: ignore[index]
        assert {sample.source for sample in samples if sample.label == label} == planned


def test_known_images_are_annotated(drawn: tuple[str, Path], samples: list[Sample]) -> None:
    protocol = dataset(drawn[0]).protocol
    for sample in samples:
        assert sample.problem is None
        if sample.source in protocol.known[str(sample.label)]:  # type: ignore[index]
            assert sample.annotations
            assert sample.subject_id


def test_without_tasks_a_readme_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    phantoms.phantoms(with_tasks())
    (readme,) = phantoms.FOLDER.iterdir()
    assert "none" in readme.read_text()


def test_the_stage_replaces_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stale = phantoms.FOLDER / "cxr" / "stale.txt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    phantoms.phantoms(with_tasks(cxr=tiny("cxr")))
    assert not stale.exists()
    assert list((phantoms.FOLDER / "cxr").glob("main_data/metadata_phase_*.csv"))
    assert [path.name for path in Path("data/raw").iterdir()] == ["phantoms"]
    assert " MB, " in capsys.readouterr().out


def test_a_failure_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = phantoms.FOLDER / "cxr" / "old.txt"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.raises(UserError, match="'cxx' is not in"):
        phantoms.phantoms(with_tasks(cxx={}))
    assert old.exists()
    assert [path.name for path in Path("data/raw").iterdir()] == ["phantoms"]
