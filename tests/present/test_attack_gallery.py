"""Pictures of attacks: what a file's keys say, and each tile in its place."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.present import attack_gallery, gallery, pictures

SIDE, STEP = 16, 20  # px of a tile, and from one to the next
IMAGES = np.stack([np.full((1, 16, 16), value, np.uint8) for value in (50, 150)])
NAMES = ["first", "second"]


def tile(sheet: gallery.Sheet, row: int, column: int) -> np.ndarray:
    return sheet.picture[row * STEP : row * STEP + SIDE, column * STEP : column * STEP + SIDE]


def peak(row: int, column: int, size: int = 4) -> np.ndarray:
    found = np.zeros((size, size), np.float32)
    found[row, column] = 1
    return found


def hoax() -> dict[str, np.ndarray]:
    return {
        "index": np.array([3, 5]),
        "target": peak(0, 0),
        "before_cam": np.stack([peak(1, 1), peak(2, 2)]),
        "after_cam": np.stack([peak(0, 0), peak(0, 3)]),
        "before_difference_salience": np.stack([-peak(1, 1), peak(1, 1)]),
        "after_difference_salience": np.zeros((2, 4, 4), np.float32),
    }


def drawn(map_: np.ndarray) -> np.ndarray:
    return pictures.unsigned(pictures.resize(map_, SIDE))


def test_a_hoax_shows_image_and_target_then_each_explanation_before_and_after() -> None:
    sheet = attack_gallery.sheet(hoax(), IMAGES, NAMES, SIDE)
    assert sheet is not None
    assert [text for _, text, _ in sheet.columns] == ["image, target", "cam", "difference\nsalience"]
    assert [text for _, text in sheet.rows] == ["first\nbefore", "after", "second\nbefore", "after"]
    assert (tile(sheet, 2, 0) == 150).all()
    assert (tile(sheet, 3, 0) == drawn(peak(0, 0))).all()
    assert (tile(sheet, 2, 1) == drawn(peak(2, 2))).all()
    assert (tile(sheet, 3, 1) == drawn(peak(0, 3))).all()
    blue, flat = tile(sheet, 0, 2), tile(sheet, 1, 2)
    assert (flat == 247).all() and blue[..., 2].sum() > blue[..., 0].sum()  # signed: below 0 is blue


def test_a_hoax_may_have_a_target_per_image() -> None:
    found = hoax() | {"target": np.stack([peak(0, 0), peak(3, 3)])}
    sheet = attack_gallery.sheet(found, IMAGES, NAMES, SIDE)
    assert sheet is not None
    assert (tile(sheet, 1, 0) == drawn(peak(0, 0))).all() and (tile(sheet, 3, 0) == drawn(peak(3, 3))).all()


def test_a_hoax_without_a_target_leaves_its_place_empty() -> None:
    found = {key: value for key, value in hoax().items() if key != "target"}
    sheet = attack_gallery.sheet(found, IMAGES, NAMES, SIDE)
    assert sheet is not None
    assert sheet.columns[0][1] == "image" and (tile(sheet, 1, 0) == pictures.EMPTY).all()


def test_fewer_images_than_kept_maps_show_the_first() -> None:
    sheet = attack_gallery.sheet(hoax(), IMAGES[:1], side=SIDE)
    assert sheet is not None
    assert [text for _, text in sheet.rows] == ["image 1\nbefore", "after"]


def test_a_manipulation_shows_inputs_beside_originals_per_explanation() -> None:
    changed = IMAGES.copy()
    changed[0, 0, :8] += 20
    found = {
        "images_gradient": changed,
        "before_gradient": np.stack([peak(1, 1, 16)] * 2),
        "after_gradient": np.stack([peak(8, 8, 16)] * 2),
        "target_gradient": peak(12, 12, 16),  # one for all images
        "images_cam": IMAGES,
        "before_cam": np.stack([peak(1, 1)] * 2),
        "after_cam": np.stack([peak(2, 2)] * 2),
        "target_cam": np.stack([peak(3, 3), peak(3, 0)]),
    }
    sheet = attack_gallery.sheet(found, IMAGES, NAMES, SIDE)
    assert sheet is not None
    heads = ["original", "manipulated", "change", "map before", "map after", "target"]
    assert [text for _, text, _ in sheet.columns] == heads
    assert [text for _, text in sheet.rows] == ["first\ngradient", "cam", "second\ngradient", "cam"]
    assert (tile(sheet, 0, 0) == 50).all() and set(np.unique(tile(sheet, 0, 1))) >= {50, 70}
    change = tile(sheet, 0, 2)
    assert change[0, 0].tolist() == [103, 0, 31] and (change[-1] == 247).all()
    assert (tile(sheet, 3, 5) == drawn(peak(3, 0))).all()


def test_adversarial_explanations_carry_their_logit_differences() -> None:
    found = {
        "towards_0": IMAGES - 20,
        "towards_1": IMAGES + 20,
        "logit_difference": np.array([0.0, 1.0]),
        "logit_difference_towards_0": np.array([-2.0, -1.0]),
        "logit_difference_towards_1": np.array([2.0, 3.0]),
    }
    sheet = attack_gallery.sheet(found, IMAGES, NAMES, side=60)
    assert sheet is not None
    assert [text for _, text, _ in sheet.columns] == [
        "original",
        "towards 0",
        "change",
        "towards 1",
        "change",
    ]
    inner = 60 - attack_gallery.STRIP
    first, second = (sheet.picture[:60, left + 6 : left + 6 + inner] for left in (64, 192))
    assert (first[:inner] == 30).all() and (second[:inner] == 70).all()  # nothing of the image is hidden
    assert (first[inner:] < 100).any() and not (first[inner:] == second[inner:]).all()  # texts
    assert (sheet.picture[inner:60, 128:188] == 255).all()  # none below the change


def test_an_attack_without_pictures_has_no_sheet() -> None:
    assert attack_gallery.sheet({"index": np.array([3, 5])}, IMAGES, NAMES) is None
    assert attack_gallery.sheet(hoax(), IMAGES[:0]) is None


def test_keys_of_an_unknown_attack_are_no_maps_unless_in_pairs() -> None:
    odd = {"before_lunch": np.zeros(2), "towards_0": IMAGES, "index": np.array([3, 5])}
    assert attack_gallery.sheet(odd, IMAGES, NAMES) is None
    half = hoax() | {"images_cam": IMAGES, "before_lunch": np.zeros(2)}  # no target of its own
    sheet = attack_gallery.sheet(half, IMAGES, NAMES, SIDE)
    assert sheet is not None and sheet.columns[0][1] == "image, target"


def test_pixel_maps_end_at_their_percentile() -> None:
    spiked = np.repeat([[0.0], [1.0]], 8, axis=0).repeat(16, axis=1).astype(np.float32)
    spiked[15, 15] = 100
    maps = {f"{when}_gradient": np.stack([spiked] * 2) for when in ("before", "after")}
    sheet = attack_gallery.sheet(maps, IMAGES, NAMES, SIDE)
    assert sheet is not None
    assert (
        tile(sheet, 0, 1)[8, 8] == tile(sheet, 0, 1)[15, 15]
    ).all()  # as bright as the rest, which is bright
    assert not (tile(sheet, 0, 1)[0, 0] == tile(sheet, 0, 1)[8, 8]).all()


def test_stacked_sheets_keep_their_rows() -> None:
    sheet = attack_gallery.sheet(hoax(), IMAGES[:1], NAMES[:1], SIDE)
    assert sheet is not None
    both = attack_gallery.stacked({"one": sheet, "two": sheet}, gap=10)
    tall = len(sheet.picture)
    assert len(both.picture) == 2 * tall + 10
    assert (both.picture[tall + 10 :] == sheet.picture).all()
    assert [text for _, text in both.rows] == ["one\nfirst\nbefore", "after", "two\nfirst\nbefore", "after"]
    assert both.rows[2][0] == sheet.rows[0][0] + tall + 10


def test_a_saved_sheet_has_room_for_the_names_of_its_rows(tmp_path: Path) -> None:
    sheet = attack_gallery.sheet(hoax(), IMAGES, NAMES, SIDE)
    assert sheet is not None
    gallery.save(sheet, "sham", tmp_path / "sheet.png")
    canvas = np.asarray(Image.open(tmp_path / "sheet.png"))
    tall, wide = sheet.picture.shape[:2]
    left = canvas.shape[1] - wide
    assert left > 20 and (canvas[-tall:, left:] == sheet.picture).all()
    assert (canvas[-tall:, :left] < 128).any()  # text
