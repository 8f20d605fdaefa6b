"""What tests of the report look at: the bytes that it left, the links of its page, one data set's figures."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

import pytest
from fake_results import write_all

from pipeline.common.config import Params
from pipeline.data.store import open_store
from pipeline.present.illustrations import Illustrations
from pipeline.present.results import gather
from pipeline.report import report


def digests(folder: Path) -> dict[str, str]:
    """Of all files below a folder that are compared between machines."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stem != "cost")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    found["index.html"] = without_provenance(found["index.html"].decode()).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def check_links(reports: Path) -> None:
    """The pages need no network, and their links lead somewhere."""
    for path in (reports / "index.html", reports / "details" / "index.html"):
        page = path.read_text(encoding="utf-8")
        links = re.findall(r'(?:href|src)="([^"]+)"', page)
        assert len(links) > 20
        for link in (link for link in links if not re.match("data:image/(jpeg|png);base64,", link)):
            assert not urlparse(link).scheme and not link.startswith("//"), link
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.is_file(), link
            assert not anchor or f'id="{anchor}"' in target.read_text(encoding="utf-8"), link


def without_provenance(page: str) -> str:
    """The main page without what it says of when and where its numbers were made."""
    return re.sub(r'<(dl|span) class="provenance">.*?</\1>', "", page, flags=re.S)


def report_without_figures(folder: Path, settings: Params) -> Path:
    """Writes the records of a finished grid and their report into a folder, which it returns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Illustrations, "jobs", lambda self: [])
        write_all(settings)
        report(settings)
    return folder


def illustrations(settings: Params) -> Illustrations:
    """What draws the figures of toy_0 from the records below the working directory."""
    stores = {"toy_0": open_store(Path("data/prepared/toy_0"))}
    grid, values = gather(settings, stores)
    return Illustrations(settings, "toy_0", stores["toy_0"], grid, values, {}, Path("reports/figures"))
