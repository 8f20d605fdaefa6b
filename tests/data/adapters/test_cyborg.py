"""The CYBORG layout: a good tree to samples, sources from published names, mutations, and the real sample."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.adapters.cyborg import read
from pipeline.data.samples import Drawn
from tests.data.adapters.trees import edit, picture, refused, text
from tests.data.adapters.trees.cyborg import cyborg


def test_good_tree(tmp_path: Path) -> None:
    samples = {sample.native_id: sample for sample in read(cyborg(tmp_path), annotators=5)}
    found = {name: (s.label, s.source, s.subject_id, s.native_split) for name, s in samples.items()}
    assert found == {
        "p1_1_real": (0, "frgc", "", "train"),
        "p1_1_fake": (1, "srefi_or_stylegan2", "", "train"),
        "synth_face_0001": (1, "stylegan2", "", "val"),  # `test` of original.csv is the validation set
        "99001d12": (0, "frgc", "frgc:99001", "val"),
        "MW1_99002d3": (1, "srefi", "", "val"),
        "inv_progan": (1, "progan", "", "test"),
        "inv_stylegan-ada": (1, "stylegan2_ada", "", "test"),
    }
    fake = samples["p1_1_fake"]
    assert fake.annotations == [Drawn(tmp_path / "Data" / "train" / "heatmaps" / "p1_1_fake.png")]
    assert (fake.annotators, fake.class_name, fake.native_split) == (5, "synthetic", "train")
    assert (fake.modality, fake.source_kind) == ("face", "generator")
    assert (samples["99001d12"].class_name, samples["99001d12"].annotations) == ("authentic", [])


@pytest.mark.parametrize("how", [{"end": "\r\n"}, {"start": "\ufeff"}])
def test_variants_of_the_list_read_alike(tmp_path: Path, how: dict[str, str]) -> None:
    expected = [(s.native_id, s.label) for s in read(cyborg(tmp_path / "a"))]
    assert [(s.native_id, s.label) for s in read(cyborg(tmp_path / "b", **how))] == expected


def test_patterns_replace_published_names(tmp_path: Path) -> None:
    samples = read(
        cyborg(tmp_path),
        lists=["csvs/original.csv"],
        maps=None,
        source_pattern="/(?P<source>train|val)/",
        subject_pattern=r"(?P<subject>\d+)d",
    )
    assert [s.source for s in samples] == ["train", "train", "val", "val", "val"]
    assert [s.subject_id for s in samples] == ["", "", "", "cyborg:99001", "cyborg:99002"]
    assert not any(s.annotations for s in samples)


@pytest.mark.parametrize(
    ("path", "source", "subject"),
    [  # as in the published lists, with invented numbers
        ("/train/original_data/0_real/p1_990_real.png", "frgc", ""),
        ("/train/7x_data/1_fake/p1_990_fake.png", "srefi_or_stylegan2", ""),
        ("/train/7x_data/0_real/99001d990.jpg", "frgc", "frgc:99001"),
        ("/val/1_fake/synth_face_990.jpg", "stylegan2", ""),
        ("/val/1_fake/FA9_99002d9.png", "srefi", ""),
        ("/test/0_real/celeba-hq_real_aligned/99001.jpg", "celeba_hq", ""),
        ("/test/0_real/ffhq_aligned/99001.png", "ffhq", ""),
    ],
)
def test_published_names_tell_source_and_subject(
    tmp_path: Path, path: str, source: str, subject: str
) -> None:
    picture(tmp_path / "Data" / path[1:], (224, 224))
    word = "Synthetic" if "1_fake" in path else "Real"
    text(tmp_path / "csvs" / "original.csv", [f"test,{word},{path}"])
    (sample,) = read(tmp_path, maps=None)
    assert (sample.source, sample.subject_id) == (source, subject)
    assert sample.group_id == ("ffhq:99001" if source == "ffhq" else "")


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (
        lambda root: (root / "Data" / "val" / "0_real" / "99001d12.jpg").unlink(),
        "E_IMAGE_MISSING",
    ),
    "unknown label": (lambda root: edit(root / "csvs" / "original.csv", "real,", "reel,"), "E_LABEL_ALIAS"),
    "escape": (lambda root: edit(root / "csvs" / "original.csv", "/val/0", "/../0"), "E_PATH_ESCAPE"),
    "no heat maps": (
        lambda root: (root / "Data" / "train" / "heatmaps").rename(root / "heatmaps"),
        "E_LAYOUT",
    ),
    "no list": (lambda root: (root / "csvs" / "original.csv").unlink(), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    root = cyborg(tmp_path)
    change(root)
    assert refused(lambda: read(root)) == {code}


def test_real_sample(sample_data: Path) -> None:
    """The published list with leading slashes and neither folders nor maps."""
    root = sample_data / "synthetic_face" / "cyborg_sample"
    samples = read(root, lists=["csvs/test.csv"], maps=None)
    assert len(samples) == 10
    assert {(s.label, s.class_name, s.source, s.native_split) for s in samples} == {
        (1, "synthetic", "synthetic", "test")
    }
