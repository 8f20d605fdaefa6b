"""Whose maps guide a training: people's own, a ceiling, and the controls that they must beat.

A control keeps something of the human maps and loses the rest, so each answers one question. Does it matter
that the map is this image's (`shuffled`), and not merely one of its class (`within_class`, `class_mean`) or
of all (`mean`)? That it lies where it lies (`moved`), that it shows anything at all (`noise`), that people
looked there and not elsewhere (`inverted`)? Only the annotated rows in use are used and given other maps, so
every source guides as many images. What a row gets is fixed by the seed, in every epoch and for every method.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng

if TYPE_CHECKING:
    from pipeline.model.batches import StoreRows

Maps = Callable[[np.ndarray], np.ndarray]  # store rows (n,) -> their maps, uint8 (n, S, S)
CHUNK = 1024  # maps in memory at once while means are taken


def maps_of(source: str, samples: "StoreRows", seed: int) -> Maps:
    """The maps of one of the functions below, by its name; raises UserError where there can be none.

    Found by name so that a key hashes the source that a cell uses and no other.
    """
    found: Maps = globals()[source](samples, seed)
    return found


def human(samples: "StoreRows", seed: int) -> Maps:
    """Each image's own map."""
    return lambda rows: samples.maps[rows]


def shuffled(samples: "StoreRows", seed: int) -> Maps:
    """Another annotated image's map, of either class: a derangement.

    The annotated rows are put in a random ring and each takes its successor's map, so nobody keeps their own
    and every map is used once. Raises UserError if there are fewer than two.
    """
    annotated = _annotated(samples)
    if len(annotated) < 2:
        raise UserError(
            f"map_source: shuffled needs at least 2 annotated training images, got {len(annotated)}"
        )
    lender = np.arange(len(samples.labels))
    _pass_on(lender, numpy_rng(seed, "shuffled maps").permutation(annotated))
    return lambda rows: samples.maps[lender[rows]]


def within_class(samples: "StoreRows", seed: int) -> Maps:
    """Another annotated image's map, of the same class: a derangement of each, as in `shuffled`.

    Raises UserError if a class has just one.
    """
    lender = np.arange(len(samples.labels))
    for label, annotated in _by_class(samples, "within_class"):
        _pass_on(lender, numpy_rng(seed, "maps within class", label).permutation(annotated))
    return lambda rows: samples.maps[lender[rows]]


def class_mean(samples: "StoreRows", seed: int) -> Maps:
    """The mean of the maps of the image's class, its own included, scaled to the peak of a map (255).

    Raises UserError if a class has just one map, which would be its own mean.
    """
    means = np.zeros((2, *samples.maps.shape[1:]), np.uint8)
    for label, annotated in _by_class(samples, "class_mean"):
        means[label] = _mean(samples, annotated)
    return _instead(samples, lambda rows: means[samples.labels[rows]])


def mean(samples: "StoreRows", seed: int) -> Maps:
    """The mean of all maps, scaled to the peak of a map (255): one map for every annotated image.

    Raises UserError if there are fewer than two.
    """
    annotated = _annotated(samples)
    if len(annotated) < 2:
        raise UserError(f"map_source: mean needs at least 2 annotated training images, got {len(annotated)}")
    whole = _mean(samples, annotated)
    return _instead(samples, lambda rows: np.broadcast_to(whole, (len(rows), *whole.shape)))


def moved(samples: "StoreRows", seed: int) -> Maps:
    """The image's own map, moved cyclically by a random shift that is never none: shape and area stay."""
    side = samples.maps.shape[-1]
    steps = numpy_rng(seed, "moved maps").integers(1, side * side, len(samples.labels))
    grid = np.arange(side)

    def shift(rows: np.ndarray) -> np.ndarray:
        down, right = np.divmod(steps[rows, None], side)
        y, x = (grid - down) % side, (grid - right) % side
        return samples.maps[rows][np.arange(len(rows))[:, None, None], y[:, :, None], x[:, None, :]]

    return _instead(samples, shift)


def noise(samples: "StoreRows", seed: int) -> Maps:
    """A random field per image, as smooth as the human maps: their mean power spectrum with random phases.

    Scaled to 0..255 per image. Says nothing of any image, class or place; repeats at its borders.
    """
    annotated, shape = _annotated(samples), samples.maps.shape[1:]
    power = np.zeros((shape[0], shape[1] // 2 + 1))
    for part in _chunks(annotated):
        power += np.square(np.abs(np.fft.rfft2(samples.maps[part] / 255))).sum(0)
    power[0, 0] = 0
    amplitude = np.sqrt(power / max(len(annotated), 1))

    def draw(rows: np.ndarray) -> np.ndarray:
        white = np.stack([numpy_rng(seed, "noise maps", int(row)).standard_normal(shape) for row in rows])
        fields = np.fft.irfft2(np.fft.rfft2(white) * amplitude, shape)
        low, high = fields.min((1, 2), keepdims=True), fields.max((1, 2), keepdims=True)
        return np.rint(255 * (fields - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)

    return _instead(samples, draw)


def inverted(samples: "StoreRows", seed: int) -> Maps:
    """One minus the image's own map: where people did not look."""
    return _instead(samples, lambda rows: 255 - samples.maps[rows])


def truth(samples: "StoreRows", seed: int) -> Maps:
    """The exact mask of what is causal: a ceiling, for phantoms alone. Raises UserError for real data.

    A negative has no cause and keeps its human map.
    """
    causal = samples.causal
    if causal is None:
        raise UserError("map_source: truth needs masks of the causes, which only phantoms have")
    positive = samples.labels == 1
    return _instead(
        samples, lambda rows: np.where(positive[rows, None, None], causal[rows], samples.maps[rows])
    )


def _annotated(samples: "StoreRows") -> np.ndarray:
    """The rows in use that have a map."""
    found: np.ndarray = samples.rows[samples.has_map[samples.rows]]
    return found


def _by_class(samples: "StoreRows", source: str) -> Iterator[tuple[int, np.ndarray]]:
    """(label, annotated rows) of each class that has any; raises UserError if one of them has one only."""
    annotated = _annotated(samples)
    for label in (0, 1):
        rows = annotated[samples.labels[annotated] == label]
        if len(rows) == 1:
            raise UserError(
                f"map_source: {source} needs at least 2 annotated training images of a class, "
                f"got 1 of label {label}"
            )
        if len(rows):
            yield label, rows


def _pass_on(lender: np.ndarray, ring: np.ndarray) -> None:
    """Give each row of a ring its successor's."""
    lender[ring] = np.roll(ring, -1)


def _instead(samples: "StoreRows", draw: Maps) -> Maps:
    """What `draw` gives, for the annotated rows in use; the others keep their own."""
    changed = np.zeros(len(samples.labels), bool)
    changed[_annotated(samples)] = True

    def maps(rows: np.ndarray) -> np.ndarray:
        found = np.array(samples.maps[rows])
        places = np.flatnonzero(changed[rows])
        if len(places):
            found[places] = draw(rows[places])
        return found

    return maps


def _mean(samples: "StoreRows", rows: np.ndarray) -> np.ndarray:
    """Mean of the rows' maps with a peak of 255, uint8 (S, S)."""
    total = sum(samples.maps[part].sum(0, dtype=np.int64) for part in _chunks(rows))
    return np.rint(255 * (total / max(np.max(total), 1))).astype(np.uint8)


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // CHUNK)) if len(rows) else []
