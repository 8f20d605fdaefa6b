"""Where MLflow is, and that one process at a time writes to it."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

from pipeline.common.config import Params
from pipeline.common.files import sha256_text

SQLITE = b"SQLite format 3\0"  # how a database file begins


class MlflowRefusal(Exception):
    """MLflow did not do what it was asked."""


def tracking_uri(params: Params) -> str:
    """Where MLflow is: MLFLOW_TRACKING_URI, else track.uri."""
    return os.environ.get("MLFLOW_TRACKING_URI") or params.track.uri


def without_password(address: str) -> str:
    """An address as it may be shown.

    >>> without_password("http://me:secret@host:5000")
    'http://host:5000'
    """
    return re.sub(r"//[^/@]*@", "//", address)


@contextlib.contextmanager
def only_writer(address: str, *, wait: bool = True) -> Iterator[None]:
    """Be the one writer; raises filelock.Timeout if there is another and `wait` is false.

    Raises MlflowRefusal if the address names a file that is no database.
    """
    path = database(address)
    if path is None:
        lock = Path(tempfile.gettempdir()) / f"camdivide-mlflow-{sha256_text(address)[:16]}.lock"
    else:
        _refuse_another_file(path)
        lock = path.with_name(path.name + ".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(lock, blocking=wait):
        yield


def database(address: str) -> Path | None:
    """The file of a SQLite store; None for a server."""
    return Path(address.removeprefix("sqlite:///")).resolve() if address.startswith("sqlite:///") else None


def _refuse_another_file(path: Path) -> None:
    """MLflow tries for minutes to open a folder, and a lock would stand beside any file."""
    if path.is_dir():
        raise MlflowRefusal(f"expected a SQLite database, {path} is a folder")
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(SQLITE)) != SQLITE:
                raise MlflowRefusal(f"expected a SQLite database, {path} is another kind of file")
