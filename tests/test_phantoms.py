"""The phantoms stage, and what every generator of the catalogue must keep."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline import phantoms
from pipeline.common import catalogue
from pipeline.common.config import Params, load
from pipeline.common.data_settings import Dataset
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.common.paths import PHANTOMS
from pipeline.common.tree import hash_tree
from pipeline.data import images
from pipeline.data.samples import Sample

PARAMS = load(Path(__file__).parents[1] / "params.yaml")
TASKS = catalogue.names("drawing")


def tiny(task: str) -> dict[str, Any]:
    """The shipped choice of a task with every number of images cut to two."""
    settings = PARAMS.phantoms.tasks[task]
    return {
        name: 2 if isinstance(value, int) and name.startswith(("known", "held_out", "films")) else value
        for name, value in settings.items()
    }


def dataset(task: str) -> Dataset:
    """The shipped data set that a phantom belongs to."""
    root = (PHANTOMS / task).as_posix()
    return next(entry for entry in PARAMS.datasets.values() if entry.root == root)


def with_tasks(**tasks: dict[str, Any]) -> Params:
    changed = PARAMS.phantoms.model_copy(update={"tasks": tasks})
    return PARAMS.model_copy(update={"phantoms": changed})


@pytest.fixture(scope="module", params=TASKS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    task = request.param
    root = tmp_path_factory.mktemp(task)
    catalogue.make("drawing", {"seed": 5} | tiny(task))(root)
    return task, root


@pytest.fixture(scope="module")
def samples(drawn: tuple[str, Path]) -> list[Sample]:
    task, root = drawn
    (adapter,) = dataset(task).adapters
    return list(catalogue.make("data/adapters", adapter)(root))


@pytest.mark.parametrize("task", TASKS)
def test_params_yaml_states_the_defaults(task: str) -> None:
    """Profiles name a task and its seed alone, and mean the same images."""
    stated = {"seed": PARAMS.phantoms.seed, **PARAMS.phantoms.tasks[task]}
    assert catalogue.filled("drawing", {"name": task, "seed": PARAMS.phantoms.seed}) == stated


def test_same_seed_gives_the_same_bytes(drawn: tuple[str, Path], tmp_path: Path) -> None:
    task, root = drawn
    catalogue.make("drawing", {"seed": 5} | tiny(task))(tmp_path)
    assert hash_tree(tmp_path) == hash_tree(root)


def test_another_seed_gives_other_pictures(drawn: tuple[str, Path], tmp_path: Path) -> None:
    task, root = drawn
    catalogue.make("drawing", {"seed": 6} | tiny(task))(tmp_path)
    assert not set(hash_tree(tmp_path / "truth" / "causal").values()) <= set(hash_tree(root).values())


def test_every_image_has_its_truth(drawn: tuple[str, Path], samples: list[Sample]) -> None:
    _, root = drawn
    for kind in ("causal", "shortcut"):
        assert {path.stem for path in (root / "truth" / kind).iterdir()} == {s.native_id for s in samples}
    for sample in samples:
        loaded = images.load(sample.image_path, max_megapixels=4, max_megabytes=32)
        for kind in ("causal", "shortcut"):
            with Image.open(root / "truth" / kind / f"{sample.native_id}.png") as mask:
                assert (mask.mode, mask.size) == ("L", (loaded.width, loaded.height))
                assert set(np.unique(np.asarray(mask))) <= {0, 255}
                if kind == "causal":
                    assert np.asarray(mask).any() == bool(sample.label)


def test_twins_are_the_images_outside_the_place(drawn: tuple[str, Path], samples: list[Sample]) -> None:
    """Where neither cause nor mark reaches, a twin is the image up to the 8-bit step."""
    _, root = drawn
    for sample in samples:
        loaded = images.load(sample.image_path, max_megapixels=4, max_megabytes=32)
        picture = 255 * loaded.pixels
        for kind, mask in (("without_cause", "causal"), ("without_shortcut", "shortcut")):
            place = np.asarray(Image.open(root / "truth" / mask / f"{sample.native_id}.png")) > 0
            path = root / "truth" / kind / f"{sample.native_id}.png"
            assert path.exists() == place.any()
            if place.any():
                twin = np.asarray(Image.open(path), dtype=float)
                assert twin.shape == picture.shape
                differs = np.abs(twin - picture).reshape(*place.shape, -1).max(axis=-1) > 1
                assert differs[place].mean() > 0.5
                assert differs[~ndimage.binary_dilation(place, iterations=12)].mean() < 2e-4


def test_a_seed_in_the_choice_is_a_draw_of_its_own(counted: list[str]) -> None:
    phantoms.phantoms(with_tasks(one=tiny("cxr"), three=tiny("cxr") | {"seed": 3}))
    records = [(PHANTOMS / f"{task}.json").read_text() for task in ("one", "three")]
    assert records[0] != records[1]
    assert f"'seed': {PARAMS.phantoms.seed}" in (PHANTOMS / "one" / "folder" / "a").read_text()
    assert "'seed': 3" in (PHANTOMS / "three" / "folder" / "a").read_text()


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


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An empty working directory, and the tasks that are really drawn; drawing one writes two files."""
    monkeypatch.chdir(tmp_path)
    drawn: list[str] = []

    def make(catalogue: str, choice: dict[str, Any]) -> Callable[..., None]:
        def generate(root: Path) -> None:
            if choice.get("readers") == 5:
                raise UserError("too many readers")
            drawn.append(root.name)
            for name in ("a", "b"):
                write_text(root / "folder" / name, f"{choice}")

        return generate

    monkeypatch.setattr(phantoms.catalogue, "make", make)
    with joblib.parallel_config(backend="threading"):  # other processes would not see what is patched
        yield drawn


def test_without_tasks_a_readme_says_so(counted: list[str]) -> None:
    phantoms.phantoms(with_tasks())
    (readme,) = PHANTOMS.iterdir()
    assert "none" in readme.read_text()


def test_what_is_as_it_was_drawn_is_kept(counted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tasks = {"one": tiny("cxr"), "two": tiny("iris")}
    phantoms.phantoms(with_tasks(**tasks))
    assert sorted(counted) == ["one", "two"]
    assert " MB, " in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in PHANTOMS.rglob("*")}
    phantoms.phantoms(with_tasks(**tasks))
    assert len(counted) == 2
    assert {path: path.stat().st_mtime_ns for path in PHANTOMS.rglob("*")} == before
    assert capsys.readouterr().out == "one: as drawn before\ntwo: as drawn before\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda: (PHANTOMS / "one" / "folder" / "a").write_text("other"),
        lambda: (PHANTOMS / "one" / "folder" / "a").unlink(),
        lambda: (PHANTOMS / "one" / "folder" / "more").touch(),
        lambda: (PHANTOMS / "one.json").unlink(),
    ],
)
def test_a_hurt_task_is_drawn_again_alone(counted: list[str], change: Callable[[], None]) -> None:
    tasks = {"one": tiny("cxr"), "two": tiny("iris")}
    phantoms.phantoms(with_tasks(**tasks))
    before = hash_tree(PHANTOMS)
    change()
    phantoms.phantoms(with_tasks(**tasks))
    assert counted[2:] == ["one"]
    assert hash_tree(PHANTOMS) == before


def test_a_key_follows_seed_settings_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    choice: dict[str, Any] = {"name": "cxr", "films_known": 4}
    key = phantoms.find_key(choice)
    same = {"films_known": 4, "seed": 0, "name": "cxr", "readers": 3}  # 0 and 3 are the defaults
    assert phantoms.find_key(same) == key
    others: list[dict[str, Any]] = [{"name": "cxr", "films_known": 5}, {**choice, "seed": 2}, {"name": "cxr"}]
    assert key not in [phantoms.find_key(other) for other in others]
    monkeypatch.setattr(phantoms, "code_hash", lambda entry: f"changed {entry}")
    assert phantoms.find_key(choice) != key


def test_tasks_that_are_no_longer_planned_go(counted: list[str]) -> None:
    phantoms.phantoms(with_tasks(one=tiny("cxr"), two=tiny("iris")))
    phantoms.phantoms(with_tasks(two=tiny("iris")))
    assert sorted(path.name for path in PHANTOMS.iterdir()) == ["README", "two", "two.json"]
    assert "two" in (PHANTOMS / "README").read_text()
    assert sorted(counted) == ["one", "two"]


def test_the_stage_replaces_what_was_there(counted: list[str]) -> None:
    stale = PHANTOMS / "one" / "stale.txt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    phantoms.phantoms(with_tasks(one=tiny("cxr")))
    assert not stale.exists()
    assert [path.name for path in Path("data/raw").iterdir()] == ["phantoms"]


def test_a_failure_keeps_what_was_there(counted: list[str]) -> None:
    phantoms.phantoms(with_tasks(one=tiny("cxr")))
    before = hash_tree(PHANTOMS)
    with pytest.raises(UserError, match="too many readers"):
        phantoms.phantoms(with_tasks(one=tiny("cxr") | {"readers": 5}))
    assert hash_tree(PHANTOMS) == before
    assert [path.name for path in Path("data/raw").iterdir()] == ["phantoms"]
