"""From a data set's folder to arrays: adapters list, images are decoded, what is unusable is set aside."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file, sha256_text
from pipeline.common.progress import track
from pipeline.data import manifest, store
from pipeline.data.decoding import Recipe, decode_all
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Drawn, Found, Masked, Pasted, Sample

QUARANTINE = ("sample_id", "image_path", "code", "where", "message")
NOTICED = ("code", "where", "what")  # of Findings, whose messages name no file and nobody; their places do
AGREED = ("sample_id", "dice")
BESIDE = ("quarantine.csv", "noticed.csv", "agreement.csv")  # files of a store: what `Taken` has besides rows


class Taken(NamedTuple):
    """What was taken in, as tables of the store; the manifest is still unsplit."""

    frame: pd.DataFrame
    unusable: pd.DataFrame  # the columns QUARANTINE
    noticed: pd.DataFrame  # the columns NOTICED, one row each time
    agreed: pd.DataFrame  # the columns AGREED, a row per image with several annotators


class Adapter(NamedTuple):
    """An adapter with its settings, and the folder that it reads."""

    name: str
    folder: Path
    read: Callable[[Path], list[Sample]]


def list_samples(root: Path, adapters: Sequence[Adapter], phantom: bool) -> Found:
    """What the adapters find below `root`, by sample_id; a phantom's have their truth beside them.

    Raises UserError with every problem of the lists.
    """
    samples = Found()
    for name, folder, read in adapters:
        found = read(folder)
        if not found:
            message = f"{name} found no image; check datasets.*.adapters in params.yaml"
            raise UserError(str(Problem("E_LAYOUT", str(folder), message)))
        for sample in found:
            sample.adapter, sample.truth = name, folder / "truth" if phantom else None
        samples += found
        samples.noticed += found.noticed if isinstance(found, Found) else ()
    refuse(_find_outsiders(samples, root.resolve()))
    _find_twins(samples)
    samples.sort(key=lambda sample: sample.sample_id)
    rows = [manifest.listed(sample, root) for sample in samples]
    refuse(manifest.listing_problems(rows, [locate(sample, root) for sample in samples]))
    return samples


def _find_outsiders(samples: Sequence[Sample], root: Path) -> list[Problem]:
    """E_PATH_ESCAPE for every file of a sample that is not below `root`, whatever its adapter has checked."""
    return [
        Problem("E_PATH_ESCAPE", sample.where or sample.sample_id, f"{path}: expected a file in {root}")
        for sample in samples
        for path in _name_files(sample)
        if not path.resolve().is_relative_to(root)
    ]


def _name_files(sample: Sample) -> Iterator[Path]:
    """An image and the files with marks on it."""
    yield sample.image_path
    for annotation in sample.annotations:
        if isinstance(annotation, Drawn | Masked):
            yield annotation.path
        if isinstance(annotation, Pasted):
            yield from (path for path, _, _ in annotation.parts)


def _find_twins(samples: Sequence[Sample]) -> None:
    """Give every sample the twins of which all folders of truth have some; none where there is no truth."""
    folders = {sample.truth for sample in samples}
    twins = tuple(twin for twin in store.TWINS if all(path and (path / twin).is_dir() for path in folders))
    for sample in samples:
        sample.twins = twins


def locate(sample: Sample, root: Path) -> str:
    """What leads to an image: its file, and the list that names it."""
    listed = f" ({sample.where})" if sample.where else ""
    return f"{sample.image_path.relative_to(root).as_posix()}{listed}"


def hash_images(samples: Sequence[Sample], root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Hex SHA-256 of each image by its sample_id, blank where there is no file.

    That of its file; of a video's frame that of "<the file's hash> <the frame's number>".

    `files` are the hashes that are known already, by path below `root`. The same bytes under two labels are
    a problem (E_LABEL_CONFLICT) of each such sample.
    """
    hashes = {sample.sample_id: _hash_image(sample, root, files) for sample in samples}
    labels: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        if hashes[sample.sample_id]:
            labels.setdefault(hashes[sample.sample_id], {})[sample.label] = sample
    for sample in samples:
        twin = labels.get(hashes[sample.sample_id], {}).get(1 - sample.label)
        if twin is not None:
            other = twin.image_path.relative_to(root).as_posix()
            message = f"same bytes as {other}, which has the other label; keep the right one"
            found = Problem("E_LABEL_CONFLICT", locate(sample, root), message)
            sample.problem = sample.problem or found
    return hashes


def _hash_image(sample: Sample, root: Path, files: Mapping[str, str]) -> str:
    path = sample.image_path
    known = files.get(path.relative_to(root).as_posix())
    whole = known or (sha256_file(path) if path.is_file() else "")
    return whole if sample.frame is None or not whole else sha256_text(f"{whole} {sample.frame}")


def decode_into(
    folder: Path,
    root: Path,
    samples: Found,
    hashes: Mapping[str, str],
    recipe: Recipe,
    workers: int,
) -> Taken:
    """Decode all usable samples into a store's arrays; row i of the manifest is row i of the arrays."""
    noticed = list(samples.noticed)
    rows: list[dict[str, Any]] = []
    agreed: list[tuple[str, str]] = []
    usable = [sample for sample in samples if not sample.problem]
    with _grow_arrays(folder, samples, recipe) as arrays:
        results = track(decode_all(usable, recipe, workers), "decoding images", len(usable))
        for sample, result in zip(usable, results, strict=True):
            if isinstance(result, Problem):
                sample.problem = replace(result, where=f"{locate(sample, root)}: {result.where}")
                continue
            arrays["images"].append(result.image)
            noticed += [found._replace(where=locate(sample, root)) for found in result.noticed]
            human_map = result.human_map
            arrays["maps"].append(np.zeros_like(result.image[0]) if human_map is None else human_map)
            for kind, pixels in (result.truths | result.twins).items():
                arrays[f"truth/{kind}"].append(pixels)
            agreed += [] if result.agreement is None else [(sample.sample_id, f"{result.agreement:.10g}")]
            people = len(sample.annotations) if sample.annotators is None else sample.annotators
            known = {"sha256": hashes[sample.sample_id], "annotators": 0 if human_map is None else people}
            rows.append(manifest.listed(sample, root) | result.facts | known)
    told = pd.DataFrame(noticed, columns=NOTICED, dtype="str")
    dice = pd.DataFrame(agreed, columns=AGREED, dtype="str")
    return Taken(manifest.table(rows), _table_of_unusable(samples, root), told, dice)


@contextmanager
def _grow_arrays(
    folder: Path, samples: Sequence[Sample], recipe: Recipe
) -> Iterator[dict[str, store.GrowingArray]]:
    """The arrays of a store by name, open for rows: images, maps, and a phantom's truth masks and twins."""
    side = (recipe.image_size, recipe.image_size)
    shapes: dict[str, tuple[int, ...]] = {"images": (recipe.channels, *side), "maps": side}
    if any(sample.truth for sample in samples):
        shapes |= {f"truth/{kind}": side for kind in store.TRUTHS}
    shapes |= {f"truth/{twin}": shapes["images"] for sample in samples for twin in sample.twins}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(store.GrowingArray(folder / f"{name}.npy", shape))
            for name, shape in shapes.items()
        }


def _table_of_unusable(samples: Found, root: Path) -> pd.DataFrame:
    rows = [
        (
            sample.sample_id,
            sample.image_path.relative_to(root).as_posix(),
            sample.problem.code,
            sample.problem.where,
            sample.problem.message,
        )
        for sample in samples
        if sample.problem
    ]
    return pd.DataFrame(rows, columns=QUARANTINE, dtype="str")
