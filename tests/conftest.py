"""Shared fixtures: the project's real chest films, and further sample images when they are at hand."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: one process is busy with it while the others do the rest."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")


@pytest.fixture(scope="session")
def real_films() -> Path:
    """Folder of the real chest films that lie in the project, see data/samples/ATTRIBUTION.md. Read only."""
    return REPOSITORY / "data" / "samples" / "cxr"


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Folder of real images that may not be given away; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CAMDIVIDE_SAMPLE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"sample data absent: {folder} (set CAMDIVIDE_SAMPLE_DATA)")
    return folder


@pytest.fixture(scope="session")
def trained_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny project with a prepared phantom and trained cells; see `tiny_cells`. Read only."""
    import tiny_cells

    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        tiny_cells.project(root)
    return root


@pytest.fixture
def tiny_project(trained_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project to work in: the working directory."""
    shutil.copytree(trained_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
