"""Every file below a folder by its hash: what a data set is, and whether it is as it was."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.common.files import sha256_file


def hash_tree(root: Path) -> dict[str, str]:
    """Hex SHA-256 of each file by its path relative to `root`, with forward slashes, in their order.

    Links to folders are not followed; an absent folder has no files.
    """
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(lambda path: sha256_file(root / path), paths)
        return dict(zip(paths, hashes, strict=True))
