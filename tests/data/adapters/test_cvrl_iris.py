"""The CVRL list format: a good tree to samples, published variants, and one mutation per error code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.cvrl_iris import read
from pipeline.data.decoding import Decoded, Recipe, decode
from pipeline.data.problems import Problem
from pipeline.data.samples import Drawn
from tests.data.adapters.trees import codes, edit, picture, refused, text
from tests.data.adapters.trees.cvrl_iris import cvrl

RECIPE = Recipe(16, 1, "none", "map", 0.0, max_megapixels=1, max_megabytes=8)


def test_good_tree(tmp_path: Path) -> None:
    live, attack, doll, lone = read(cvrl(tmp_path))
    assert (live.native_id, live.label, live.class_name) == ("99001L_1", 0, "live")
    assert (live.source, live.source_kind, live.subject_id) == ("live_a", "attack_type", "cvrl_iris:99001")
    assert (live.native_split, live.where) == ("train", f"{tmp_path.name}/list.csv line 1")
    assert (live.annotations, live.annotators) == ([], None)
    assert live.image_path == tmp_path / "images" / "live_a" / "99001L_1.png"
    assert (attack.label, attack.class_name, attack.source) == (1, "print", "print")
    assert attack.annotations == [Drawn(tmp_path / "heatmaps" / "99002R_1.png")]
    assert (attack.annotators, attack.modality) == (1, "iris_nir")
    assert (doll.class_name, doll.native_split) == ("doll", "test")
    assert (lone.source, lone.subject_id, lone.class_name) == ("live", "", "live")  # the path says nothing


@pytest.mark.parametrize("how", [{"end": "\r\n"}, {"start": "\ufeff"}, {"end": "\n\n"}])
def test_variants_of_the_list_read_alike(tmp_path: Path, how: dict[str, str]) -> None:
    expected = [(s.native_id, s.label) for s in read(cvrl(tmp_path / "a"))]
    assert [(s.native_id, s.label) for s in read(cvrl(tmp_path / "b", **how))] == expected


def test_folder_nested_twice_and_upper_case_extension(tmp_path: Path) -> None:
    root = cvrl(tmp_path / "iris" / "iris")
    (root / "99004.bmp").rename(root / "99004.BMP")
    samples = read(tmp_path)
    assert len(samples) == 4
    assert samples[3].image_path == root / "99004.BMP"


def test_patterns(tmp_path: Path) -> None:
    root = cvrl(tmp_path)
    samples = read(
        root,
        maps=None,
        annotators=3,
        source_pattern=r"(?P<source>LG|AD)",
        subject_pattern=r"(?P<subject>\d{5})",
        type_pattern=r"images/(?P<type>[a-z]+)/",
        source_kind="sensor",
    )
    assert [s.source for s in samples] == ["live", "print", "doll", "live"]
    assert [s.subject_id for s in samples][1:] == [f"cvrl_iris:9900{n}" for n in (2, 3, 4)]
    assert samples[1].annotations == []


def test_a_map_may_be_called_as_its_image_whatever_its_extension(tmp_path: Path) -> None:
    root = cvrl(tmp_path)
    picture(root / "heatmaps" / "99004.bmp", (640, 480))
    assert read(root)[3].annotations == [Drawn(root / "heatmaps" / "99004.bmp")]


def test_annotators_are_counted(tmp_path: Path) -> None:
    assert read(cvrl(tmp_path), annotators=3)[1].annotators == 3


def test_every_image_must_be_grey_and_of_the_size(tmp_path: Path) -> None:
    sample = read(cvrl(tmp_path))[0]
    assert isinstance(decode(sample, RECIPE), Decoded)
    picture(sample.image_path, (320, 240))
    for path, size, told in (
        (sample.image_path, [640, 480], "expected 640x480 px L, got 320x240 px L"),
        (sample.image_path, [320, 240], ""),
        (sample.image_path, None, ""),
        (picture(tmp_path / "c.jpg", (640, 480)), [640, 480], "expected 640x480 px L, got 640x480 px RGB"),
    ):
        result = decode(replace(read(tmp_path, size=size)[0], image_path=path), RECIPE)
        assert (result.code if isinstance(result, Problem) else "") == ("E_DIMS" if told else "")
        assert told in (result.message if isinstance(result, Problem) else "")


def test_unknown_type_of_attack(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'print'") as caught:
        read(cvrl(tmp_path), type_pattern="images/(?P<type>pri)")
    assert codes(caught.value) == {"E_ENUM"}


def test_equal_stems_get_their_paths_as_ids(tmp_path: Path) -> None:
    root = cvrl(tmp_path)
    picture(root / "images" / "doll" / "99001L_1.png")
    edit(root / "list.csv", "images/doll/99003_1.png", "images/doll/99001L_1.png")
    assert [s.native_id for s in read(root)] == [
        "images:live_a:99001L_1",
        "99002R_1",
        "images:doll:99001L_1",
        "99004",
    ]


def same_stem_as_a_map(root: Path) -> None:
    picture(root / "images" / "doll" / "99002R_1.png")
    edit(root / "list.csv", "images/doll/99003_1.png", "images/doll/99002R_1.png")


def link_outside(root: Path) -> None:
    outside = picture(root.parent / "outside.png")
    (root / "99004.bmp").unlink()
    (root / "99004.bmp").symlink_to(outside)


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "99004.bmp").unlink(), "E_IMAGE_MISSING"),
    "parent folder": (lambda root: edit(root / "list.csv", "99004.bmp", "../99004.bmp"), "E_PATH_ESCAPE"),
    "absolute path": (lambda root: edit(root / "list.csv", "99004.bmp", "//99004.bmp"), "E_PATH_ESCAPE"),
    "backslash": (lambda root: edit(root / "list.csv", "images/doll/", "images\\doll\\"), "E_PATH_ESCAPE"),
    "link outside": (link_outside, "E_PATH_ESCAPE"),
    "unknown label": (lambda root: edit(root / "list.csv", "Spoof", "Spoofed"), "E_LABEL_ALIAS"),
    "unknown split": (lambda root: edit(root / "list.csv", "TEST", "probe"), "E_ENUM"),
    "short row": (lambda root: edit(root / "list.csv", "test,live,", "live,"), "E_ROW_SHAPE"),
    "open quote": (lambda root: edit(root / "list.csv", "test,live,", 'test,"live,'), "E_ROW_SHAPE"),
    "NUL": (lambda root: edit(root / "list.csv", "live", "li\0ve"), "E_ENCODING"),
    "Latin-1": (lambda root: (root / "list.csv").write_bytes(b"train,Live,\xe9.png\n"), "E_ENCODING"),
    "no maps folder": (lambda root: (root / "heatmaps").rename(root / "maps"), "E_LAYOUT"),
    "no list": (lambda root: (root / "list.csv").unlink(), "E_LAYOUT"),
    "shared map": (same_stem_as_a_map, "E_JOIN"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    root = cvrl(tmp_path / "iris")
    read(root)
    change(root)
    assert refused(lambda: read(root)) == {code}


def test_all_absent_files_are_listed_at_once(tmp_path: Path) -> None:
    root = cvrl(tmp_path)
    for path in (root / "images").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError) as caught:
        read(root)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        f"E_IMAGE_MISSING {tmp_path.name}/list.csv line {n}" for n in (1, 2, 3)
    ]


def test_an_unknown_word_is_said_once_with_the_nearest(tmp_path: Path) -> None:
    root = cvrl(tmp_path)
    text(root / "list.csv", ["train,Livee,99004.bmp"] * 50)
    with pytest.raises(UserError) as caught:
        read(root)
    (line,) = caught.value.problems
    assert "did you mean 'live'" in line


@pytest.mark.parametrize("made", [True, False])
def test_missing_or_empty_root(tmp_path: Path, made: bool) -> None:
    root = tmp_path / "iris"
    if made:
        root.mkdir()
    with pytest.raises(UserError, match=r"E_LAYOUT .*expected \*\.csv") as caught:
        read(root)
    assert ("empty" if made else "no such folder") in str(caught.value)


def test_bad_pattern_and_absent_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source_pattern: not a regular expression"):
        read(cvrl(tmp_path), source_pattern="(")
    with pytest.raises(UserError, match="E_LAYOUT"):
        read(tmp_path, lists=["list.csv", "more.csv"])
