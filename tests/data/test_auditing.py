"""The audit finds copies in any format, and says what gives a class away."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from pipeline.common.seeding import numpy_rng
from pipeline.data import auditing, duplicates, protocol
from pipeline.data.shortcuts import best_threshold, shortcuts

SETTINGS: dict[str, Any] = {
    "known": {"0": ["a"], "1": ["a"]},
    "held_out": {"0": ["z"], "1": ["z"]},
    "excluded": [],
    "threshold": {"rule": "eer", "value": 0},
}
OPEN_SET = protocol.build(SETTINGS, "subject")
N = 60


def pictures(n: int, side: int = 64) -> np.ndarray:
    """Smooth random pictures uint8 (n, 1, side, side)."""
    rough = numpy_rng(0, "pictures").normal(size=(n, side, side))
    smooth = np.stack([ndimage.gaussian_filter(one, side / 16) for one in rough])
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)[:, None]


def recompressed(picture: np.ndarray) -> np.ndarray:
    """The same picture after a smaller JPEG, back at its size."""
    image, buffer = Image.fromarray(picture[0]), io.BytesIO()
    image.resize((48, 48), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=80)
    return np.asarray(Image.open(buffer).resize(image.size, Image.Resampling.LANCZOS))[None]


def table(n: int = N, **columns: Any) -> pd.DataFrame:
    """A clean manifest of n rows, labels alternating; `columns` replace values."""
    text = {
        "image_path": [f"{i}.png" for i in range(n)],
        "sha256": [f"hash{i}" for i in range(n)],
        "subject_id": [f"s{i}" for i in range(n)],
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
    given = {"near": [], "unit": np.arange(n), "extra_files": {}}
    return [f"{found.code} {found.where}" for found in auditing.warnings(frame, OPEN_SET, **(given | facts))]


def test_copies_are_found_and_others_are_not() -> None:
    images = pictures(12)
    images[7], images[9] = images[2], recompressed(images[4])
    assert duplicates.near_duplicates(images, bits=6) == [(2, 7), (4, 9)]


def test_equal_hashes_need_equal_pixels() -> None:
    """At 64 bits the hash proposes every pair, so that only the pixels decide."""
    one = np.zeros((1, 64, 64), np.uint8)
    one[0, :32] = 200
    two = one.copy()
    two[0, 2::4, ::2] = 255
    assert duplicates.near_duplicates(np.stack([one, two]), bits=64) == []


def test_one_flat_colour_is_a_copy_of_itself() -> None:
    assert duplicates.near_duplicates(np.zeros((2, 1, 32, 32), np.uint8), bits=0) == [(0, 1)]


@settings(max_examples=25, deadline=None)
@given(hashes=st.lists(st.integers(0, 2**64 - 1), max_size=20), bits=st.integers(0, 64))
def test_close_pairs_are_those_of_a_double_loop(hashes: list[int], bits: int) -> None:
    pairs = [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= bits
    ]
    assert duplicates.close_pairs(np.array(hashes, dtype=np.uint64), bits).tolist() == pairs


def test_pairs_are_found_across_blocks() -> None:
    hashes = numpy_rng(0, "blocks").integers(0, 2**63, 1100).astype(np.uint64)
    hashes[1099] = hashes[3]
    assert duplicates.close_pairs(hashes, bits=1).tolist() == [[3, 1099]]


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
    (found,) = shortcuts(table(200, image_path=paths))
    assert "all 25 rows with file extension .tif have label 1" in found.message


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
    facts: dict[str, Any] = {"near": [], "unit": np.arange(N)}
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
    assert warn(table(), near=[(3, 4)]) == ["W_DUPLICATE 3.png"]
    assert warn(table(sha256=["same"] * 2 + [f"h{i}" for i in range(N - 2)]), near=[(0, 1)]) == [
        "W_DUPLICATE 0.png"
    ]
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
