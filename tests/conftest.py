"""Shared fixtures: the real sample images, when they are at hand."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Folder of real sample images; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CAMDIVIDE_SAMPLE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"sample data absent: {folder} (set CAMDIVIDE_SAMPLE_DATA)")
    return folder
