"""What tests of the report look at: the bytes that it left, the links of its page, one data set's figures."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

from pipeline.common.config import Params
from pipeline.data.store import open_store
from pipeline.present.illustrations import Illustrations
from pipeline.present.results import gather


def digests(folder: Path) -> dict[str, str]:
    """Of all files below a folder that are compared between machines."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stem != "cost")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def check_links(reports: Path) -> None:
    """The page needs no network, and its links lead somewhere."""
    page = (reports / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(links) > 30
    for link in links:
        assert not urlparse(link).scheme and not link.startswith("//"), link
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
        else:
            assert (reports / link).is_file(), link


def illustrations(settings: Params) -> Illustrations:
    """What draws the figures of toy_0 from the records below the working directory."""
    stores = {"toy_0": open_store(Path("data/prepared/toy_0"))}
    grid, values = gather(settings, stores)
    return Illustrations(settings, "toy_0", stores["toy_0"], grid, values, {}, Path("reports/figures"))
