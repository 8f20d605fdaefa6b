"""What every phantom in a list format promises: names, exact masks, marks, maps, equal bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline.common import catalogue
from pipeline.data.samples import Drawn, Sample
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._listed import heat_map, shots

Draw = Callable[..., tuple[Path, list[Sample]]]
SIZES = {
    "iris": {"known_live": 3, "known_attack": 1, "held_out_live": 2, "held_out_attack": 1},
    "face": {
        "known_authentic": 2,
        "known_generator": 1,
        "held_out_authentic": 2,
        "held_out_generator": 1,
    },
}
ADAPTERS = {"iris": "cvrl_iris", "face": "cyborg"}
HELD_OUT = {"live_b", "glass_prosthesis", "postmortem", "street", "gen_x", "gen_y"}


@pytest.fixture(scope="module", params=["iris", "face"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def draw(task: str, tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """Draw a tiny set, read it with the real adapter at its default settings; equal calls are drawn once."""
    drawn: dict[str, tuple[Path, list[Sample]]] = {}

    def once(again: int = 0, **settings: Any) -> tuple[Path, list[Sample]]:
        key = repr((again, sorted(settings.items())))
        if key not in drawn:
            root = tmp_path_factory.mktemp(task)
            catalogue.get("drawing", task)(root, seed=5, **SIZES[task], **settings)
            drawn[key] = root, catalogue.get("data/adapters", ADAPTERS[task])(root)
        return drawn[key]

    return once


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=float)


def truth(root: Path, kind: str, sample: Sample) -> np.ndarray:
    mask = pixels(root / "truth" / kind / f"{sample.native_id}.png")
    assert set(np.unique(mask)) <= {0, 255}
    return mask > 0


def changed(picture: Path, other: Path) -> np.ndarray:
    """Pixels that differ by more than a level between two drawings of the same image."""
    difference = np.abs(pixels(picture) - pixels(other))
    return (difference.max(axis=-1) if difference.ndim == 3 else difference) > 1


def path_in(root: Path, first: Path, sample: Sample) -> Path:
    """Where a sample that was read in `first` lies in `root`."""
    return root / sample.image_path.relative_to(first)


def test_equal_seeds_give_equal_bytes(draw: Draw) -> None:
    first, second = draw()[0], draw(again=1)[0]
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_the_adapter_reads_what_was_meant(draw: Draw, task: str) -> None:
    _, samples = draw()
    assert len({sample.native_id for sample in samples}) == len(samples) > 0
    for sample in samples:
        held_out = sample.source in HELD_OUT
        assert sample.problem is None
        assert sample.native_split == ("test" if held_out else "train")
        assert bool(sample.annotations) is not held_out  # people drew on both classes, known sources only
        assert sample.subject_id.split(":")[1] == sample.native_id.rsplit("_", 1)[0]
        assert (sample.class_name in ("live", "authentic")) == (sample.label == 0)


def test_only_the_place_depends_on_the_contrast(draw: Draw) -> None:
    weak, samples = draw(cue_strength=0.02)
    strong, _ = draw(cue_strength=0.4)
    for sample in samples:
        differs = changed(sample.image_path, path_in(strong, weak, sample))
        assert 0.01 < differs.mean() < 0.12  # a negative too has a texture in such a place
        causal = truth(weak, "causal", sample)
        assert causal.any() == bool(sample.label)
        if causal.any():
            halo = ndimage.binary_dilation(causal, iterations=12)  # soft edges and the camera's blur
            assert differs[causal].mean() > 0.6
            assert differs[~halo].mean() < 2e-4  # slivers where a lid cuts the window


def test_the_mark_changes_its_own_pixels_only_and_never_the_cause(draw: Draw) -> None:
    plain, samples = draw(shortcut_agreement=0.0, shortcut_agreement_held_out=0.0)
    marked, _ = draw(shortcut_agreement=1.0, shortcut_agreement_held_out=1.0)
    for sample in samples:
        masks = truth(plain, "shortcut", sample), truth(marked, "shortcut", sample)
        assert masks[0].any() == (sample.label == 0)
        assert masks[1].any() == (sample.label == 1)
        mark = masks[0] | masks[1]
        assert not (mark & truth(plain, "causal", sample)).any()
        differs = changed(sample.image_path, path_in(marked, plain, sample))
        assert differs[mark].mean() > 0.5
        assert differs[~ndimage.binary_dilation(mark, iterations=12)].mean() < 2e-4


def test_a_global_mark_is_all_over_the_image(draw: Draw) -> None:
    root, samples = draw(shortcut="global", shortcut_agreement_held_out=1.0)
    for sample in samples:
        mask = truth(root, "shortcut", sample)
        assert mask.all() if sample.label else not mask.any()
        if sample.label:
            twin = root / "truth" / "without_shortcut" / f"{sample.native_id}.png"
            assert changed(sample.image_path, twin).mean() > 0.5


def test_maps_follow_the_cause_but_not_exactly(draw: Draw) -> None:
    root, samples = draw()
    errors = []
    for sample in samples:
        if sample.annotations and sample.label == 1:
            (annotation,) = sample.annotations
            assert isinstance(annotation, Drawn)
            share = pixels(root / annotation.path) / 255
            causal = truth(root, "causal", sample)
            errors.append(np.abs(share - causal).mean())
            assert share.shape == causal.shape
            assert share[causal].mean() > 2 * share[~causal].mean()
    assert min(errors) > 0


def test_every_person_errs_less_when_told_to(draw: Draw) -> None:
    region = np.zeros((80, 80), dtype=bool)
    region[30:50, 20:44] = True
    rng = np.random.default_rng(0)
    exact = heat_map(rng, region, Annotator(0, 0, 0, 0), 2, step=2, reach=10) > 127
    sloppy = heat_map(rng, region, Annotator(0, 0.8, 0.5, 1), 2, step=2, reach=10) > 127
    assert (exact ^ region).mean() < (sloppy ^ region).mean()


def test_shots_have_exact_shares_of_marks_and_small_subjects() -> None:
    planned = shots(3, "iris", "live_a", 40, marked=0.975)
    assert sum(shot.marked for shot in planned) == 39
    assert len({shot.stem for shot in planned}) == 40
    counts = [sum(shot.subject == name for shot in planned) for name in {shot.subject for shot in planned}]
    assert max(counts) == 3 and min(counts) >= 1
