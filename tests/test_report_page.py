"""The main page: what it shows of each method is what tables, records and maps say."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_results import params
from reported import report_without_figures

from pipeline.data.store import label_names, open_store
from pipeline.present import glossary, page
from pipeline.present.illustrations import Illustrations
from pipeline.report import report

SETTINGS = params(seeds=2)
CELL = Path("toy_0/compact/cyborg/0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of a small invented grid, without figures."""
    return report_without_figures(tmp_path_factory.mktemp("paged"), SETTINGS)


def text_of(folder: Path) -> str:
    return (folder / "reports/index.html").read_text(encoding="utf-8")


def album_of(folder: Path) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text_of(folder), re.S)
    return dict(json.loads(found))


def test_the_page_is_one_small_file_without_links_to_the_network(finished: Path) -> None:
    text = text_of(finished)
    assert len(text) < 8e6 and "http" not in re.sub(r"data:image/jpeg;base64,[^\"]*", "", text)
    assert text.count('<img src="data:image/jpeg;base64,') == 1 + len(SETTINGS.methods)


def test_every_line_says_what_the_table_says(finished: Path) -> None:
    table = pd.read_csv(finished / "reports/tables/evidence.csv", keep_default_na=False)
    found = re.findall(
        r'data-value="([^"]+)" data-row="evidence (\d+)" title="(\d+) of (\d+) units: ([^";]*)',
        text_of(finished),
    )
    assert len(found) > 20
    for value, row, n, planned, cells in found:
        line = table.iloc[int(row) - 1]
        assert float(value) == pytest.approx(float(line["mean"]), abs=1e-9)
        assert (int(n), int(planned), cells) == (line["n"], line["planned"], line["cells"])


def test_what_a_method_relies_on_is_the_alarms_table(finished: Path) -> None:
    table = pd.read_csv(finished / "reports/tables/alarm.csv").set_index("method")
    line = re.search(r'<tr data-method="cyborg".*?</tr>', text_of(finished), re.S)
    assert line is not None
    shown = re.findall(r"(\d+) % (shortcut|cause|unclear)", line[0])
    assert {name: int(share) for share, name in shown} == {
        name: round(100 * table.at["cyborg", name])
        for name in ("shortcut", "cause", "unclear")
        if table.at["cyborg", name] >= 0.005
    }


def test_the_browser_has_the_maps_logits_and_thresholds_of_the_records(finished: Path) -> None:
    album, store = album_of(finished), open_store(finished / "data/prepared/toy_0")
    method = next(each for each in album["methods"] if each["name"] == "cyborg")
    record = json.loads((finished / "evaluate" / CELL / "record.json").read_text())
    assert album["labels"] == list(label_names(store))
    assert method["threshold"] == record["results"].get("threshold")
    with np.load(finished / "evaluate" / CELL / "gallery.npz") as kept:
        places = {store.manifest["sample_id"][row]: place for place, row in enumerate(kept["index"])}
        chosen = [places[image["id"]] for image in album["images"]]
        cams, logits = kept["cams"][chosen], kept["logit_difference"][chosen]
    np.testing.assert_allclose(method["logits"], logits, atol=6e-4)
    shown = np.frombuffer(base64.b64decode(method["difference"]), np.int8).reshape(
        len(chosen), *method["grid"]
    )
    difference = cams[:, 1] - cams[:, 0]
    np.testing.assert_allclose(shown / 127, difference / np.abs(difference).max(), atol=1 / 127)
    levels = np.frombuffer(base64.b64decode(method["cams"]), np.uint8).reshape(cams.shape)
    assert levels.min(axis=(2, 3)).max() == 0 and levels.max(axis=(2, 3)).min() >= 254


def test_a_name_cannot_end_the_script_that_holds_it(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    monkeypatch.setattr(page.browser, "album", lambda *_: "an album")
    monkeypatch.setattr(page.browser, "tiles", lambda _: None)
    monkeypatch.setattr(page.browser, "content", lambda *_: {"id": "</script><b>"})
    store = open_store(Path("data/prepared/toy_0"))
    shown = page._pictures("toy_0", store, None)["album"]
    assert "<" not in shown and json.loads(shown) == {"id": "</script><b>"}


def test_words_are_explained_once(finished: Path) -> None:
    text = text_of(finished)
    anchors = re.findall(r'<dt id="([^"]+)">', text)
    assert len(anchors) == len(set(anchors))
    for name in SETTINGS.methods:
        assert glossary.anchor("method", name) in anchors
    for word in glossary.TERMS:
        assert glossary.anchor("term", word) in anchors
    assert "CYBORG (Boyd" in text and "alpha 0.5" in text
    assert "Another annotated image" in text  # the control's maps


def test_it_says_when_with_what_and_where(finished: Path) -> None:
    text = text_of(finished)
    assert "2026-01-01 00:00 to 2026-01-01 00:00 UTC" in text and "cpu abacus" in text and "torch 2" in text
    assert "<dd>make repro</dd>" in text and "mlflow ui --backend-store-uri sqlite:///mlflow.db" in text


@pytest.mark.parametrize("stage", ["figures", "page"])
def test_a_report_that_fails_leaves_the_old_one_whole(
    finished: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    before = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}

    def fail(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    if stage == "figures":
        monkeypatch.setattr(Illustrations, "jobs", lambda self: [fail])
    else:
        monkeypatch.setattr(page, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        report(SETTINGS)
    after = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    assert after == before and not any(name.startswith(".reports") for name in map(str, Path().iterdir()))
