"""No subject, group, file or copy is ever parted, and every split gets its share of every kind."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import protocol, splits

SOURCES = {
    "known": {"0": ["a", "b"], "1": ["a", "b", "x"]},
    "held_out": {"0": [], "1": ["z"]},
    "excluded": ["e"],
    "threshold": {"rule": "eer", "value": 0},
}
OPEN_SET = protocol.build(SOURCES, "subject")


def rows(*entries: tuple[str, str, str]) -> pd.DataFrame:
    """A manifest's columns that matter, from (subject, source, label); a blank subject is unknown."""
    ids = [f"t:{number:03}" for number in range(len(entries))]
    return pd.DataFrame(
        {
            "sample_id": ids,
            "image_path": [f"{name}.png" for name in ids],
            "sha256": [f"hash{name}" for name in ids],
            "group_id": ids,
            "subject_id": [subject or name for (subject, _, _), name in zip(entries, ids, strict=True)],
            "subject_known": [str(int(bool(subject))) for subject, _, _ in entries],
            "source": [source for _, source, _ in entries],
            "label": [label for _, _, label in entries],
        },
        dtype="str",
    )


def assign(
    frame: pd.DataFrame, native: list[str] | None = None, near: Any = (), **changes: Any
) -> np.ndarray:
    choices = {"by": "subject", "val": 0.2, "test": 0.2, "seed": 0} | changes
    frame = frame.assign(native_split=native or [""] * len(frame))
    return splits.assign(frame, OPEN_SET, splits.units(frame, near), **choices)


def test_units_join_subjects_groups_files_and_copies() -> None:
    frame = rows(*[(subject, "a", "0") for subject in ("p", "p", "q", "r", "s", "t")])
    frame.loc[3, "group_id"] = frame.loc[2, "group_id"]
    frame.loc[4, "sha256"] = frame.loc[3, "sha256"]
    number = splits.units(frame, near=[(5, 0)])
    assert number[0] == number[1] == number[5]
    assert number[2] == number[3] == number[4] != number[0]


known_rows = st.lists(
    st.tuples(st.sampled_from("pqrstuvw"), st.sampled_from(["a", "b", "x", "z", "e"]), st.sampled_from("01")),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(entries=known_rows, seed=st.integers(0, 5))
def test_subjects_stay_whole_and_held_out_sources_only_test(
    entries: list[tuple[str, str, str]], seed: int
) -> None:
    frame = rows(*entries)
    frame["split"] = assign(frame, seed=seed)
    known = frame[frame["source"].isin(["a", "b", "x"])]
    assert (known.groupby("subject_id")["split"].nunique() == 1).all()
    assert set(frame["split"][frame["source"] == "z"]) <= {"test"}
    assert set(frame["split"][frame["source"] == "e"]) <= {"none"}
    assert splits.leaks(frame, OPEN_SET) == []
    learned = frame[frame["split"].isin(["train", "val"])]["subject_id"]
    assert not set(learned) & set(frame["subject_id"][frame["source"] == "z"])


@settings(max_examples=15, deadline=None)
@given(entries=known_rows, shuffle=st.randoms())
def test_the_order_of_rows_is_irrelevant(entries: list[tuple[str, str, str]], shuffle: Any) -> None:
    frame = rows(*entries)
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    assert assign(frame.iloc[order].reset_index(drop=True)).tolist() == assign(frame)[order].tolist()


def test_every_source_and_label_gets_its_share() -> None:
    kinds = [("a", "0")] * 40 + [("a", "1")] * 40 + [("b", "0")] * 20 + [("x", "1")] * 10
    frame = rows(*[(f"s{number // 2}", *kind) for number, kind in enumerate(kinds)])
    frame["split"] = assign(frame)
    table = frame.groupby(["source", "label", "split"]).size().unstack()
    assert table.loc[("a", "0")].tolist() == [8, 24, 8]  # test, train, val
    assert table.loc[("a", "1")].tolist() == [8, 24, 8]
    assert table.loc[("b", "0")].tolist() == [4, 12, 4]
    assert table.loc[("x", "1")].tolist() == [2, 6, 2]


def test_many_sources_of_one_subject_still_fill_every_split_with_both_labels() -> None:
    frame = rows(*[(f"s{n}", "ab"[n % 2], str(n % 2)) for n in range(10)])
    frame["split"] = assign(frame)
    assert (frame.groupby("split")["label"].nunique() == 2).all()
    assert set(frame["split"]) == {"train", "val", "test"}


def test_another_seed_is_another_split() -> None:
    frame = rows(*[(f"s{n}", "a", str(n % 2)) for n in range(40)])
    assert assign(frame, seed=1).tolist() != assign(frame, seed=2).tolist()


def test_near_duplicates_stay_together() -> None:
    frame = rows(*[("", "a", str(n % 2)) for n in range(40)])
    pairs = [(n, n + 1) for n in range(0, 40, 2)]
    split = assign(frame, near=pairs)
    assert all(split[one] == split[two] for one, two in pairs)


def test_a_subject_of_a_held_out_source_is_only_tested() -> None:
    frame = rows(*[(f"s{n}", "a", str(n % 2)) for n in range(20)], ("s3", "z", "1"))
    assert assign(frame)[3] == "test"


def test_native_splits_are_kept_and_what_is_missing_is_carved_from_train() -> None:
    frame = rows(*[(f"s{n // 2}", "a", str(n % 2)) for n in range(40)])
    native = ["val"] * 8 + ["train"] * 30 + [""] * 2
    split = assign(frame, native, by="native")
    assert set(split[:8]) == {"val"}
    assert set(split[8:]) == {"train", "test"}
    assert 4 <= (split[8:] == "test").sum() <= 10
    frame["split"] = split
    assert splits.leaks(frame, OPEN_SET) == []


def test_a_native_test_of_one_class_is_filled_up_from_train() -> None:
    """As in the CYBORG release: of the known sources only StyleGAN2 has a test list."""
    frame = rows(*[("", "a", str(n % 2)) for n in range(40)], *[("", "x", "1")] * 6)
    split = assign(frame, ["val"] * 8 + ["train"] * 32 + ["test"] * 6, by="native")
    assert set(split[:8]) == {"val"}
    assert set(split[40:]) == {"test"}
    assert set(frame["label"][split == "test"]) == {"0", "1"} == set(frame["label"][split == "train"])


def test_complete_native_splits_are_not_touched() -> None:
    frame = rows(*[(f"s{n}", "a", str(n % 2)) for n in range(6)])
    native = ["train", "train", "val", "val", "test", "test"]
    assert assign(frame, native, by="native").tolist() == native


def test_a_blank_row_follows_its_subject() -> None:
    frame = rows(("p", "a", "0"), ("p", "a", "0"), ("q", "a", "1"), ("r", "a", "1"))
    assert assign(frame, ["val", "", "train", "test"], by="native").tolist()[:2] == ["val", "val"]


@pytest.mark.parametrize(
    ("column", "code"),
    [("sha256", "E_LEAK_HASH"), ("group_id", "E_LEAK_GROUP"), ("subject_id", "E_LEAK_SUBJECT")],
)
def test_each_leak_has_its_code(column: str, code: str) -> None:
    frame = rows(*[(f"s{n}", "a", str(n % 2)) for n in range(4)])
    frame["split"] = ["train", "train", "val", "test"]
    frame.loc[2, column] = frame.loc[0, column]
    (found,) = splits.leaks(frame, OPEN_SET)
    assert found.code == code
    assert "2 files are in train and val" in found.message


def test_near_duplicates_in_two_splits_are_a_leak() -> None:
    frame = rows(*[("", "a", "0")] * 3)
    frame["split"] = ["train", "test", "none"]
    assert [found.code for found in splits.leaks(frame, OPEN_SET, [(0, 1), (0, 2)])] == ["E_LEAK_NEAR"]
