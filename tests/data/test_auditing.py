"""The audit tells of copies, and of what gives a class away."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.seeding import numpy_rng
from pipeline.data import auditing, protocol
from pipeline.data.duplicates import Copy
from pipeline.data.probe import Probe
from pipeline.data.shortcuts import best_threshold, shortcuts

SETTINGS: dict[str, Any] = {
    "known": {"0": ["a"], "1": ["a"]},
    "held_out": {"0": ["z"], "1": ["z"]},
    "excluded": [],
    "threshold": {"rule": "eer", "value": 0},
}
OPEN_SET = protocol.build(SETTINGS, "subject")
N = 60


def table(n: int = N, **columns: Any) -> pd.DataFrame:
    """A clean manifest of n rows, labels alternating; `columns` replace values."""
    text = {
        "image_path": [f"{i}.png" for i in range(n)],
        "sha256": [f"hash{i}" for i in range(n)],
        "subject_id": [f"s{i}" for i in range(n)],
        "group_id": [f"g{i}" for i in range(n)],
        "subject_known": "1",
        "label": [str(i % 2) for i in range(n)],
        "source": "a",
        "source_kind": "site",
        "split": "train",
        "native_split": "",
        "annotators": "1",
        "modality": "cxr",
        "file_bytes": "1000",
        "width": "64",
        "height": "64",
        "bits": "8",
        "photometric": "L",
        "phi_flag": "absent",
    }
    return pd.DataFrame(text | columns, index=range(n), dtype="str")


def warn(frame: pd.DataFrame, **facts: Any) -> list[str]:
    """The codes and places of all warnings; `facts` replace what is not in the manifest."""
    n = len(frame)
    given = {"copies": [], "unit": np.arange(n), "extra_files": {}}
    return [f"{found.code} {found.where}" for found in auditing.warnings(frame, OPEN_SET, **(given | facts))]


def test_a_clean_data_set_has_no_warning() -> None:
    assert warn(table()) == []


@pytest.mark.parametrize(
    ("columns", "where"),
    [
        ({"image_path": [f"{i}.{'png' if i % 2 else 'jpg'}" for i in range(N)]}, "file extension"),
        ({"modality": ["iris_vis", "iris_nir"] * (N // 2)}, "modality"),
        ({"photometric": ["RGB", "L"] * (N // 2)}, "photometric"),
        ({"bits": ["16", "8"] * (N // 2)}, "bits"),
        ({"file_bytes": [str(500 + 2000 * (i % 2) + i) for i in range(N)]}, "file bytes per pixel"),
        ({"width": ["64"] * 30 + ["65"] * 30, "label": ["0"] * 30 + ["1"] * 30}, "width x height"),
        ({"width": [str(64 + i * (i % 2)) for i in range(N)]}, "megapixels"),
    ],
)
def test_a_property_that_gives_the_class_away(columns: dict[str, Any], where: str) -> None:
    assert f"W_SHORTCUT {where}" in warn(table(**columns))


def test_one_value_with_one_label_is_told_even_if_rare() -> None:
    paths = [f"{i}.{'tif' if i % 2 and i < 50 else 'png'}" for i in range(200)]
    (found,) = shortcuts(table(200, image_path=paths), np.arange(200))
    assert (
        "balanced accuracy 0.62" in found.message and ".tif has 0 rows of label 0 and 25 of" in found.message
    )
    paths = [f"{i}.{'tif' if i % 2 and i < 50 else 'png'}" for i in range(400)]
    (found,) = shortcuts(table(400, image_path=paths), np.arange(400))
    assert found.message == "all 25 rows with file extension .tif have label 1"


def test_a_file_type_of_four_in_five_images_is_told() -> None:
    fits = numpy_rng(0, "fits").random(240) < 0.8
    paths = [f"{i}.{'png' if fit == i % 2 else 'jpg'}" for i, fit in enumerate(fits)]
    (found,) = shortcuts(table(240, image_path=paths), np.arange(240))
    assert found.where == "file extension" and "p below 0.001" in found.message


def test_many_films_of_few_patients_prove_nothing() -> None:
    """Four patients with 60 films each: two of each class by chance have one file type."""
    frame = table(
        240, label=(["0"] * 60 + ["1"] * 60) * 2, image_path=["a.png"] * 60 + ["b.jpg"] * 120 + ["c.png"] * 60
    )
    assert [found.where for found in shortcuts(frame, np.arange(240))] == ["file extension"] * 0
    skewed = table(240, label=["0"] * 120 + ["1"] * 120, image_path=["a.png"] * 120 + ["b.jpg"] * 120)
    assert [found.where for found in shortcuts(skewed, np.arange(240))] == ["file extension"]
    assert shortcuts(skewed, np.arange(240) // 60) == []


def test_copies_of_different_subjects_are_told_first() -> None:
    edited = Copy(3, 4, "flipped", 0.95)
    assert warn(table(photometric="MONOCHROME2"), copies=[edited]) == [
        "W_LEAK_COPY 3.png",
        "W_PHI_ABSENT 0.png",
    ]
    (found,) = auditing.warnings(table(), OPEN_SET, copies=[edited], unit=np.arange(N), extra_files={})
    assert (
        "1 pairs" in found.message and "1 with different labels (1 flipped), e.g. of 4.png" in found.message
    )
    same = [f"s{i}" for i in range(N - 1)]
    assert warn(table(subject_id=["s0", *same]), copies=[Copy(0, 1, "equal", 1.0)]) == ["W_DUPLICATE 0.png"]


@pytest.mark.parametrize(("auroc", "p", "told"), [(0.8, 0.01, 1), (0.8, 0.02, 0), (0.59, 0.01, 0)])
def test_looks_are_told_if_they_are_sure_and_matter(auroc: float, p: float, told: int) -> None:
    looks = Probe({"border": auroc, "exposure": 0.5}, {"border": p, "exposure": 1.0}, np.zeros(N))
    assert warn(table(), looks=looks) == ["W_SHORTCUT_PIXELS pixels: border"] * told


def test_many_rare_sizes_are_no_shortcut_by_themselves() -> None:
    sizes = [str(100 + i) for i in numpy_rng(0, "sizes").permutation(N)]
    assert warn(table(width=sizes, file_bytes=[str(1000 * int(size)) for size in sizes])) == []


@settings(max_examples=25, deadline=None)
@given(data=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=20))
def test_the_best_cut_is_that_of_trying_all(data: list[tuple[int, bool]]) -> None:
    amounts = np.array([amount for amount, _ in data], dtype=float)
    positive = np.array([label for _, label in data])
    if positive.all() or not positive.any():
        return
    tried = [
        ((amounts > cut)[positive].mean() + (amounts <= cut)[~positive].mean()) / 2 for cut in set(amounts)
    ]
    expected = max(max(accuracy, 1 - accuracy) for accuracy in tried)
    assert best_threshold(amounts, positive)[0] == pytest.approx(expected)


def test_a_site_of_one_class_is_told_and_a_generator_is_not() -> None:
    columns = {"source": ["a", "b"] * (N // 2)}
    both = protocol.build(SETTINGS | {"known": {"0": ["a"], "1": ["b"]}}, "subject")
    facts: dict[str, Any] = {"copies": [], "unit": np.arange(N)}
    for kind, expected in (("site", ["source a", "source b"]), ("generator", [])):
        found = auditing.warnings(table(source_kind=kind, **columns), both, extra_files={}, **facts)
        assert [finding.where for finding in found] == expected


def test_subjects_and_files_in_two_native_splits() -> None:
    frame = table()
    frame.loc[5, "subject_id"] = frame.loc[2, "subject_id"]
    frame.loc[9, "sha256"] = frame.loc[2, "sha256"]
    native = ["train"] * 3 + ["val"] * (N - 3)
    assert warn(frame.assign(native_split=native)).count("W_LEAK_NATIVE source a") == 2
    assert "W_LEAK_NATIVE source a" not in warn(frame)


def test_the_other_warnings() -> None:
    assert warn(table(subject_known=["0"] + ["1"] * (N - 1))) == ["W_SUBJECT source a"]
    assert warn(table(photometric="MONOCHROME2")) == ["W_PHI_ABSENT 0.png"]
    in_colour = [f"{i}.DCM" if i in (4, 5, 6) else f"{i}.png" for i in range(N)]
    assert warn(table(image_path=in_colour, photometric="RGB")) == ["W_PHI_ABSENT 4.DCM"]
    assert warn(table(photometric="MONOCHROME2", phi_flag="no")) == []
    assert warn(table(annotators=["0", "3"] * (N // 2))) == ["W_ANN_SPARSE label 0"]
    assert warn(table(), extra_files={"images": 2, "maps": 0}) == ["W_EXTRA_FILES images"]
    frames = {f"video{number}": 3 for number in range(10)}  # frames of videos lie in a folder each
    assert warn(table(), extra_files=frames) == [f"W_EXTRA_FILES video{number}" for number in range(9)]
    held_out = table(source=["a"] * (N - 1) + ["z"])
    assert warn(held_out, unit=np.r_[np.arange(N - 1), 7]) == ["W_HELD_OUT_SUBJECT 7.png"]


def test_unlisted_files_of_listed_folders_are_counted() -> None:
    files = [f"images/{name}" for name in ("a.png", "b.png", "C.PNG", "list.csv", "more/d.png")]
    assert auditing.unlisted([*files, "maps/a.png"], ["images/a.png"]) == {"images": 2}


def test_counts_add_up() -> None:
    frame = table(
        split=["train"] * 30 + ["test"] * 30,
        source=["a"] * 50 + ["z"] * 10,
        annotators=["3"] + ["0"] * 58 + ["1"],
    )
    counted = auditing.counts(frame, OPEN_SET)
    assert sum(line["rows"] for line in counted) == N
    first = {"role": "test_closed", "source": "a", "label": 0, "rows": 10, "annotated": 0, "annotators": 0}
    assert counted[0] == first
    assert [line["annotated"] for line in counted if line["role"] == "train"] == [1, 0]
    assert [line["annotators"] for line in counted if line["annotated"]] == [1, 3]
    assert [line["rows"] for line in counted if line["role"] == "test_open"] == [5, 5]
