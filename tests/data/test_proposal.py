"""What headers and words suggest: the usual names, however written; nothing where nothing tells."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.collection import PATH, Collection
from pipeline.data.listing import TableRow
from pipeline.data.proposal import (
    FACTS,
    label_words,
    likely_positive,
    propose_columns,
    propose_held_out,
    propose_labels,
    propose_split,
    protocol,
)

N = 12
IMAGES = [f"film{n:02}.png" for n in range(N)]
CELLS = {
    "image": IMAGES,
    "label": ["normal", "mass"] * (N // 2),
    "split": ["train", "val", "test"] * (N // 3),
    "map": [f"maps/{name}" for name in IMAGES],
    "source": ["north", "south", "west"] * (N // 3),
    "subject": [f"p{n}" for n in range(N)],
}


def collection(columns: dict[str, list[str]], images: list[str] | None = None) -> Collection:
    rows = [
        TableRow(f"line {n + 2}", dict(zip(columns, cells, strict=True)))
        for n, cells in enumerate(zip(*columns.values(), strict=True))
    ]
    return Collection(Path("films"), IMAGES if images is None else images, "t.csv", list(columns), rows)


@pytest.mark.parametrize(
    "headers",
    [
        {"image": "file", "label": "finding", "source": "hospital", "subject": "patient"},
        {"image": "Image Index", "label": "Finding Labels", "source": "Data Set", "subject": "Patient ID"},
        {"image": "filename", "label": "y_class", "source": "location", "subject": "patientid"},
        {
            "image": "x",
            "label": "Diagnosis",
            "source": "siteName",
            "subject": "SubjectNr",
            "map": "mask_path",
        },
        {"map": "heatmap", "image": "img_file", "label": "is_abnormal", "split": "Subset"},
    ],
)
def test_usual_names_are_understood(headers: dict[str, str]) -> None:
    assert propose_columns(collection({headers[fact]: CELLS[fact] for fact in headers})) == headers


def test_what_is_said_of_a_patient_is_not_who_it_is() -> None:
    ages = [str(n) for n in range(N)]
    table = {"file": IMAGES, "Patient Age": ages, "Patient Gender": ["F", "M"] * 6, "Site Count": ages}
    assert propose_columns(collection(table)) == {"image": "file"}
    assert propose_columns(collection({"file": IMAGES, "Patient Age": ages})) == {"image": "file"}


def test_a_source_has_several_images_and_a_label_several_values() -> None:
    assert propose_columns(collection({"file": IMAGES, "Location": [str(n) for n in range(N)]})) == {
        "image": "file"
    }
    table = {"file": IMAGES, "label": ["same"] * N, "label text": CELLS["label"]}
    assert propose_columns(collection(table))["label"] == "label text"
    assert propose_columns(collection({"file": IMAGES, "label": ["same"] * N}))["label"] == "label"


def test_two_columns_that_could_be_meant_leave_it_open() -> None:
    found = propose_columns(
        collection({"f": IMAGES, "finding_a": CELLS["label"], "finding_b": CELLS["label"]})
    )
    assert found == {"image": "f"}


def test_a_column_without_a_telling_name_is_a_label_if_its_words_are() -> None:
    assert propose_columns(collection({"f": IMAGES, "v": CELLS["label"]}))["label"] == "v"
    assert "label" not in propose_columns(collection({"f": IMAGES, "v": ["0", "1"] * (N // 2)}))


def test_images_are_told_by_what_is_there_and_else_by_name() -> None:
    table = {"number": [str(n) for n in range(N)], "file": ["absent.png"] * N}
    assert propose_columns(collection(table, [f"{n}.png" for n in range(2)]))["image"] == "file"
    table["path"] = IMAGES
    assert propose_columns(collection(table))["image"] == "path"


@given(
    order=st.permutations(sorted(FACTS)),
    spelled=st.lists(st.sampled_from([str.upper, str.title, str.lower]), min_size=6, max_size=6),
    around=st.lists(
        st.sampled_from(["{}", "{}s", " {}", "the_{}", "{} (1)", "{}.x"]), min_size=6, max_size=6
    ),
)
def test_case_order_and_decoration_do_not_matter(
    order: list[str], spelled: list[type[str]], around: list[str]
) -> None:
    words = {"image": "file", "label": "finding", "source": "hospital", "subject": "patient", "map": "mask"}
    headers = {
        fact: form.format(spell(words.get(fact, fact)))
        for fact, spell, form in zip(order, spelled, around, strict=True)
    }
    assert propose_columns(collection({headers[fact]: CELLS[fact] for fact in order})) == headers


@given(
    st.dictionaries(st.text(max_size=20), st.lists(st.text(max_size=8), min_size=3, max_size=3), min_size=1)
)
def test_any_table_gives_columns_that_exist_and_tell_one_thing_each(columns: dict[str, list[str]]) -> None:
    found = propose_columns(collection(columns))
    assert set(found) <= set(FACTS) and set(found.values()) <= set(columns)
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["NORMAL/1.png", "MASS/2.png"], {"label": "folder1"}),
        (["a/sick/1.png", "b/well/2.png"], {"source": "folder1", "label": "folder2"}),
        (["a/0_normal/1.png", "b/1_abnormal/2.png"], {"source": "folder1", "label": "folder2"}),
        (["train/live/p1/1.png", "test/spoof/p2/2.png"],
         {"split": "folder1", "label": "folder2", "subject": "folder3"}),
        (["one/1.png", "one/2.png"], {}),
    ],
)  # fmt: skip
def test_folders_above_an_image_tell_of_it(paths: list[str], expected: dict[str, str]) -> None:
    parts = [path.split("/") for path in paths]
    columns = {PATH: paths} | {
        f"folder{level}": [each[level - 1] for each in parts] for level in range(1, len(parts[0]))
    }
    assert propose_columns(collection(columns, paths)) == {"image": PATH, **expected}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0", "1"], [0, 1]),
        (["false", "true"], [0, 1]),
        (["No Finding", "Effusion"], [0, 1]),
        (["bona-fide", "contact lens"], [0, 1]),
        (["attack", "eye"], [1, 0]),
        (["0_normal", "1_abnormal"], [0, 1]),
        (["1", "2"], []),
        (["normal", "healthy"], []),
        (["left", "right"], []),
        (["normal", "mass", "nodule"], []),
        (["normal"], []),
    ],
)
def test_which_of_two_words_is_label_1(words: list[str], expected: list[int]) -> None:
    assert propose_labels(words) == dict(zip(words, expected, strict=False))
    assert propose_labels(words[::-1]) == propose_labels(words)


def test_of_three_words_people_are_offered_those_that_do_not_sound_normal() -> None:
    assert likely_positive(["Mass", "No Finding", "Nodule"]) == ["Mass", "Nodule"]
    assert likely_positive(["a", "b", "c"]) == []


def test_words_of_labels_are_joined_by_bars_and_differ_not_by_case() -> None:
    assert label_words(["Mass|Nodule", " mass", "", "|"]) == ["Mass", "Nodule"]


def test_the_split_of_the_data_is_kept_if_it_can_be() -> None:
    splits, subjects, labels = ["train", "train", "test", "test"], list("abcd"), [0, 1, 0, 1]
    assert propose_split(splits, subjects, labels) == "native"
    assert propose_split(splits, ["a", "b", "a", "d"], labels) == "subject"  # divides a
    assert propose_split(splits, subjects, [0, 1, 1, 1]) == "subject"  # tests one label
    assert propose_split([""] * 4, subjects, labels) == "subject"


def held_out(*counts: tuple[str, int, int]) -> list[str]:
    """The proposal for sources with so many subjects of label 0 and of label 1, one image each."""
    rows = [(source, label) for source, *n in counts for label in (0, 1) for _ in range(n[label])]
    return propose_held_out(
        [source for source, _ in rows], [label for _, label in rows], [str(n) for n in range(len(rows))]
    )


def test_what_is_held_out_leaves_enough_to_train_and_can_be_tested() -> None:
    assert held_out(("a", 9, 9)) == []
    assert held_out(("a", 9, 9), ("b", 5, 5)) == ["b"]
    assert held_out(("a", 9, 2), ("b", 5, 5)) == ["a"]  # without b two subjects of label 1 were left
    assert held_out(("a", 9, 9), ("b", 8, 8), ("c", 0, 1)) == ["b"]  # one image tests nothing
    assert held_out(("a", 9, 9), ("b", 8, 8), ("c", 1, 1)) == ["b"]
    assert held_out(("a", 9, 9), ("b", 5, 5), ("c", 4, 0)) == ["b"]
    assert held_out(("a", 2, 2), ("b", 2, 2)) == []
    assert held_out(("live_a", 9, 0), ("live_b", 8, 0), ("print", 0, 9), ("lens", 0, 5)) == ["lens", "live_b"]
    assert held_out(("live", 9, 0), ("print", 0, 9), ("lens", 0, 5)) == ["lens"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60
    )
)
def test_a_proposal_never_takes_what_training_needs(rows: list[tuple[str, int, int]]) -> None:
    sources, labels, people = ([str(each[0]) for each in rows], [each[1] for each in rows], rows)
    apart = propose_held_out(sources, labels, [str(each[2]) for each in people])
    if apart:
        left = {(label, who) for source, label, who in rows if source not in apart}
        assert all(sum(label == wanted for label, _ in left) >= 3 for wanted in (0, 1))
        assert any(label for source, label, _ in rows if source in apart)


def test_a_protocol_lists_each_source_under_the_labels_that_it_has() -> None:
    made = protocol(["A 1", "A 1", "b", "c", "c"], [0, 1, 0, 0, 1], ["c"])
    assert made["known"] == {"0": ["a_1", "b"], "1": ["a_1"]}
    assert made["held_out"] == {"0": ["c"], "1": ["c"]}
