"""The protocol: roles by hand on a small table, and one mutation per code."""

from typing import Any

import pandas as pd
import pytest

from pipeline.data import protocol

SETTINGS: dict[str, Any] = {
    "known": {"0": ["live_a"], "1": ["print", "contact"]},
    "held_out": {"0": ["live_b"], "1": ["glass"]},
    "excluded": ["diseased"],
    "novel": ["glass"],
    "threshold": {"rule": "bpcer", "value": 0.05},
}
ROWS = [  # source, label, split, role
    ("live_a", "0", "train", "train"),
    ("print", "1", "train", "train"),
    ("live_a", "0", "val", "val"),
    ("contact", "1", "val", "val"),
    ("live_a", "0", "test", "test_closed"),
    ("print", "1", "test", "test_closed"),
    ("live_b", "0", "test", "test_open"),
    ("glass", "1", "test", "test_open"),
    ("diseased", "1", "none", ""),
]


def table() -> pd.DataFrame:
    frame = pd.DataFrame([row[:3] for row in ROWS], columns=["source", "label", "split"], dtype="str")
    for column in ("sha256", "group_id", "subject_id", "image_path"):
        frame[column] = [f"{column}{number}" for number in range(len(frame))]
    return frame


def build(**changes: Any) -> dict[str, Any]:
    return protocol.build({**SETTINGS, **changes}, "subject")


def codes(frame: pd.DataFrame, open_set: dict[str, Any]) -> list[str]:
    return [problem.code for problem in protocol.problems(frame, open_set)]


def test_the_file_says_what_was_done() -> None:
    assert build() == {
        "manifest_sha256": "",
        "known": SETTINGS["known"],
        "held_out": SETTINGS["held_out"],
        "excluded": ["diseased"],
        "novel": ["glass"],
        "split_by": "subject",
        "threshold": {"rule": "bpcer", "value": 0.05},
    }
    assert protocol.build(SETTINGS, "native")["split_by"] == "native"
    assert build(held_out={})["held_out"] == {"0": [], "1": []}


def test_roles_by_hand() -> None:
    assert protocol.roles(table(), build()).tolist() == [role for *_, role in ROWS]


def test_a_held_out_source_has_no_role_outside_test() -> None:
    frame = table()
    frame.loc[frame["source"] == "glass", "split"] = "train"
    assert "train" not in protocol.roles(frame, build())[(frame["source"] == "glass").to_numpy()]


def test_a_sound_protocol_has_no_problems() -> None:
    assert codes(table(), build()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"excluded": []}, "P_SOURCE_UNLISTED"),
        ({"held_out": {"0": ["live_b", "print"], "1": ["glass"]}}, "P_SOURCE_TWICE"),
        (
            {"excluded": ["diseased"], "known": {"0": ["live_a"], "1": ["print", "contact", "gl"]}},
            "P_SOURCE_ABSENT",
        ),
    ],
)
def test_sources_must_be_listed_once_and_exist(changes: dict[str, Any], code: str) -> None:
    assert code in [problem.code for problem in protocol.source_problems(table(), build(**changes))]


def test_a_source_is_listed_under_the_labels_it_has() -> None:
    frame = table()
    frame.loc[0, "label"] = "1"
    (found,) = protocol.source_problems(frame, build())
    assert (found.code, found.where) == ("P_SOURCE_UNLISTED", "source 'live_a' label 1")


def test_an_unknown_source_cannot_be_held_out_from() -> None:
    frame = table()
    frame.loc[0, "source"] = "unknown"
    assert [found.code for found in protocol.source_problems(frame, build())] == ["E_SOURCE"]
    listed = build(known={"0": ["live_a", "unknown"], "1": ["print", "contact"]})
    assert [found.code for found in protocol.source_problems(frame, listed)] == ["E_SOURCE"]
    assert protocol.source_problems(frame, build(excluded=["diseased", "unknown"])) == []


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_one_class_in_a_split(split: str) -> None:
    frame = table()
    known_positive = (frame["split"] == split) & frame["source"].isin(["print", "contact"])
    assert codes(frame.drop(frame.index[known_positive]), build()).count("P_ONE_CLASS") == 1


def test_an_open_test_needs_an_attack() -> None:
    frame = table()
    assert "P_NO_OPEN" in codes(frame[frame["source"] != "glass"], build(held_out={"0": ["live_b"]}))


@pytest.mark.parametrize("column", ["sha256", "group_id", "subject_id"])
def test_nothing_of_a_held_out_source_may_be_learned(column: str) -> None:
    frame = table()
    frame.loc[7, column] = frame.loc[2, column]
    assert codes(frame, build()) == ["P_LEAK"]


def test_negatives_of_the_open_test_are_new_subjects() -> None:
    frame = table()
    frame.loc[4, "subject_id"] = frame.loc[0, "subject_id"]
    assert codes(frame, build()) == ["P_LEAK_NEG"]
