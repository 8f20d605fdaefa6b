"""Tiles and mosaics: colours and places by hand."""

import numpy as np
import pandas as pd

from pipeline.data.store import Store
from pipeline.present import gallery, pictures


def test_signed_colours_are_symmetric_about_zero() -> None:
    tile = pictures.signed(np.array([[-2.0, 0.0, 1.0]]))
    assert tile[0, 0].tolist() == [5, 48, 97]
    assert tile[0, 1].tolist() == [247, 247, 247]
    assert tile[0, 2].tolist() == [214, 96, 77]  # half of the limit 2
    assert (pictures.signed(np.zeros((2, 2))) == 247).all()


def test_flat_map_is_all_at_the_least() -> None:
    assert (pictures.unsigned(np.full((2, 2), 7.0)) == [68, 1, 84]).all()


def test_overlay_leaves_the_picture_where_the_map_is_zero() -> None:
    picture = np.full((2, 2, 3), 100, np.uint8)
    over = pictures.overlay(picture, np.array([[0.0, 1.0], [0.0, -1.0]]))
    assert over[0, 0].tolist() == [100, 100, 100]
    assert over[0, 1, 0] > over[0, 1, 2] and over[1, 1, 2] > over[1, 1, 0]  # red above 0, blue below


def test_outline_is_the_inner_edge() -> None:
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    drawn = pictures.outlined(np.zeros((6, 6, 3), np.uint8), mask, (255, 0, 0))
    edge = drawn[..., 0] == 255
    assert edge.sum() == 12 and not edge[2:4, 2:4].any() and not edge[0].any()


def test_mask_at_the_border_keeps_its_edge() -> None:
    mask = np.ones((4, 4), bool)
    edge = pictures.outlined(np.zeros((4, 4, 3), np.uint8), mask, (255, 0, 0))[..., 0] == 255
    assert edge.sum() == 12


def store() -> Store:
    """Six black images, three of a known source and three of a new one."""
    manifest = pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(6)],
            "label": ["0", "1", "1", "0", "1", "1"],
            "source": ["known"] * 3 + ["new"] * 3,
            "class_name": ["plain", "odd", "odd"] * 2,
            "split": ["train", "test", "test", "test", "test", "test"],
        }
    )
    found = object.__new__(Store)
    vars(found).update(
        manifest=manifest,
        labels=manifest["label"].astype(int).to_numpy(),
        images=np.zeros((6, 1, 8, 8), np.uint8),
        maps=np.zeros((6, 8, 8), np.uint8),
        info={"phantom": False},
        protocol={"held_out": {"0": ["new"], "1": ["new"]}},
    )
    return found


def test_choice_takes_turns_and_only_tests() -> None:
    chosen = gallery.choose(store(), np.arange(6), 4)
    assert chosen == [1, 2, 3, 4]  # no training image; known first; both labels of the held-out source
    assert gallery.choose(store(), np.arange(6), 3) == [1, 3, 4]


def test_gallery_subtracts_the_false_cam() -> None:
    cams = np.zeros((6, 2, 2, 2), np.float32)
    cams[1, 1, 0, 0] = 1.0  # sample 1 has label 1: its true CAM
    sheet = gallery.gallery(store(), {"m": gallery.Maps(np.arange(6), cams, np.zeros(6))}, [1], side=2)
    difference = sheet.picture[:, -2:]
    assert difference[0, 0].tolist() == [103, 0, 31] and difference[1, 1].tolist() == [247, 247, 247]
    assert [text for _, text, weight in sheet.columns if weight == "bold"] == ["m"]


def test_contact_sheet_names_roles_and_counts() -> None:
    rows = [text for _, text in gallery.contact_sheet(store(), per_row=2, side=8).rows]
    assert rows[0] == "known\nknown, plain\n1 images"
    assert rows[-1] == "new\nheld out, odd\n2 images"
