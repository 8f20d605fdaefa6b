"""Pairs of prepared images that show the same picture, whatever was done to one of them."""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.common.seeding import numpy_rng
from pipeline.data.aligning import Fit, align
from pipeline.data.likeness import propose, textures
from pipeline.data.problems import Problem

COPY = 0.85  # likeness (median correlation of patches, see `aligning`) from which two pictures are copies
# Drawn pictures of a set share more than films do: a copy must be that far above 95 % of random pairs, on the
# scale of Fisher's z. One that is turned or negative was searched for among 16 and must be farther above.
USUAL, ABOVE, TURNED = 1.35, 0.5, 0.3
SURE = 0.98  # a copy in any set; what repeats within a subject or group counts from here on only
STRANGERS = 200  # random pairs
ENOUGH = 20  # pictures; fewer say little about strangers
TURN_NAMES = ("", "rotated 90", "rotated 180", "rotated 90", *("flipped", "flipped, rotated 90") * 2)
TILT, RESIZED, MOVED = 1.0, 0.02, 0.02  # degrees, share of the side, half sides: more is called so
UNTOUCHED = 3.0  # mean difference in grey values up to which nothing but the file was changed
SHOWN = ("image_path", "subject_id", "label", "source", "split")  # of both rows


class Copy(NamedTuple):
    """Two rows that show one picture: what was done, and how alike they are once laid over, 0..1."""

    one: int
    two: int
    kind: str
    likeness: float


def find_copies(images: np.ndarray, subject: np.ndarray, group: np.ndarray) -> list[Copy]:
    """Pairs of prepared images uint8 (N, C, S, S) that show the same picture; sorted, first row first.

    Of equal pictures the first is compared with others, and paired with each of its equals. Films of one
    subject or group may be alike without being copies, so that they count from SURE on only.
    """
    first = _find_first_equal(images)
    shown = np.flatnonzero(first == np.arange(len(images)))
    texture = textures(images)[shown]
    pairs = propose(texture)
    fit = align(texture, pairs)
    rows = shown[pairs]
    of_one = np.array([_together(subject, group, *pair) for pair in rows], dtype=bool)
    limits = _limits(texture)[((fit.turn > 0) | fit.negative).astype(int)]
    alike = fit.likeness > np.where(of_one, SURE, limits)
    equal = [Copy(int(i), j, "equal", 1.0) for j, i in enumerate(first) if i != j]
    found = [
        Copy(int(one), int(two), _name(fit, k, images[rows[k]]), round(float(fit.likeness[k]), 3))
        for k, (one, two) in enumerate(rows)
        if alike[k]
    ]
    return sorted([*equal, *found])


def _find_first_equal(images: np.ndarray) -> np.ndarray:
    """For each image the row of the first one with the same pixels, int64 (N,)."""
    seen: dict[bytes, int] = {}
    digests = (sha256(np.ascontiguousarray(image).data).digest() for image in images)
    return np.array([seen.setdefault(digest, row) for row, digest in enumerate(digests)], dtype=np.int64)


def _limits(texture: np.ndarray) -> np.ndarray:
    """Likeness above which two pictures of this set are copies: upright, and turned or negative."""
    n, usual = len(texture), 0.0
    if n >= ENOUGH:
        pairs = numpy_rng(0, "strangers", n).integers(0, n, (STRANGERS, 2))
        strangers = align(texture, pairs[pairs[:, 0] != pairs[:, 1]]).likeness
        usual = float(np.arctanh(np.quantile(strangers, 0.95).clip(0, SURE)))
    least = max(float(np.arctanh(COPY)), ABOVE + USUAL * usual)
    return np.tanh(least + np.array([0, TURNED])).clip(max=SURE)


def _name(fit: Fit, k: int, pictures: np.ndarray) -> str:
    """What was done to one picture of pair k, in words; the pictures are (2, C, S, S)."""
    linear, shift = fit.place[k, :2, :2].astype(float), fit.place[k, :2, 2]
    tilt = np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))
    words = [TURN_NAMES[fit.turn[k]], "negative" if fit.negative[k] else ""]
    if abs(tilt) > TILT:
        words.append("tilted")
    if abs(np.sqrt(abs(np.linalg.det(linear))) - 1) > RESIZED:
        words.append("cropped or framed")
    elif np.abs(shift).max() > MOVED:
        words.append("shifted")
    change = np.abs(np.subtract(*pictures.astype(np.float32))).mean()
    return ", ".join(filter(None, words)) or ("re-encoded" if change <= UNTOUCHED else "retouched")


def table(copies: Sequence[Copy], manifest: pd.DataFrame) -> pd.DataFrame:
    """`duplicates.csv`, a row per pair: `kind`, `likeness`, SHOWN of one, and of the other as `other_`."""
    pairs = pd.DataFrame(copies, columns=Copy._fields)
    one, two = (manifest[list(SHOWN)].iloc[pairs[row]].reset_index(drop=True) for row in ("one", "two"))
    return pd.concat([pairs[["kind", "likeness"]], one, two.add_prefix("other_")], axis=1)


def unrelated(copies: Sequence[Copy], manifest: pd.DataFrame) -> list[Copy]:
    """Copies whose rows share neither subject nor group: two different things, says the data set."""
    subject, group = (manifest[column].to_numpy() for column in ("subject_id", "group_id"))
    return [copy for copy in copies if not _together(subject, group, copy.one, copy.two)]


def conflicts(copies: Sequence[Copy], manifest: pd.DataFrame) -> dict[str, Problem]:
    """E_LABEL_CONFLICT by sample_id for both rows of each unrelated pair with two labels.

    Within a subject or group two labels are no error: a patient falls ill, an attack begins within a video.
    """
    found: dict[str, Problem] = {}
    label, path, name = (manifest[column].to_numpy() for column in ("label", "image_path", "sample_id"))
    for one, two, kind, likeness in unrelated(copies, manifest):
        if label[one] != label[two]:
            for row, other in ((one, two), (two, one)):
                message = (
                    f"copy ({kind}, likeness {likeness:.2f}) of {path[other]}, which has the other label; "
                    "keep the right one, or give both one subject or group if they differ on purpose"
                )
                found.setdefault(name[row], Problem("E_LABEL_CONFLICT", path[row], message))
    return found


def _together(subject: np.ndarray, group: np.ndarray, one: int, two: int) -> bool:
    return bool(subject[one] == subject[two] or group[one] == group[two])
