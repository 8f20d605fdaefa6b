"""Pairs of prepared images that show the same picture, whatever their files' format and size."""

import numpy as np
from PIL import Image
from scipy.fft import dctn

SAME_PICTURE = 0.99  # correlation of two prepared images that confirms a near-duplicate


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """64-bit DCT hash of each prepared image: uint8 (N, C, S, S) -> uint64 (N,).

    Bit k says whether the k-th of the 8x8 lowest frequencies of the 32x32 grey picture exceeds their median
    (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
    """
    hashes = np.empty(len(images), dtype=np.uint64)
    for start in range(0, len(images), 256):
        grey = np.asarray(images[start : start + 256]).mean(axis=1, dtype=np.float32)
        small = np.stack([_shrink_to_hash(one) for one in grey])
        low = dctn(small, axes=(1, 2))[:, :8, :8].reshape(len(small), 64)
        bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
        hashes[start : start + 256] = np.packbits(bits, axis=1).view(">u8")[:, 0]
    return hashes


def _shrink_to_hash(grey: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BOX))


def close_pairs(hashes: np.ndarray, bits: int) -> np.ndarray:
    """All pairs i < j of uint64 hashes that differ in at most `bits` bits, int64 (P, 2), sorted.

    >>> close_pairs(np.array([0b000, 0b011, 0b111], dtype=np.uint64), bits=1).tolist()
    [[1, 2]]
    """
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), 1024):
        block = hashes[start : start + 1024, None]
        rows, columns = np.nonzero(np.bitwise_count(block ^ hashes[None, start:]) <= bits)
        later = columns > rows
        found.append(np.stack([rows[later], columns[later]], axis=1) + start)
    return np.concatenate(found)


def near_duplicates(images: np.ndarray, bits: int) -> list[tuple[int, int]]:
    """Pairs of prepared images (row numbers) that show the same picture.

    Hashes within `bits` propose a pair; a correlation of the pixels above 0.99 confirms it, because films of
    different people can share a hash.
    """
    pairs = close_pairs(perceptual_hashes(images), bits)
    return [(int(one), int(two)) for one, two in pairs if _correlate(images[one], images[two]) > SAME_PICTURE]


def _correlate(one: np.ndarray, two: np.ndarray) -> float:
    a, b = (image.mean(axis=0, dtype=np.float64) for image in (one, two))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else 1.0
