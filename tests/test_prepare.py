"""The stage: equal bytes every time; each kind of bad data gets its own line, and nothing half-written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image, ImageOps

from pipeline import prepare
from pipeline.common import catalogue
from pipeline.common.config import Params, parse
from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng
from pipeline.data import store
from pipeline.data.samples import Boxes, Drawn, Sample

Change = Callable[[list[Sample]], Any]
KNOWN = {"0": ["site_a"], "1": ["site_a"]}
HELD_OUT = {"0": ["site_z"], "1": ["site_z"]}
OUT = Path("data/prepared/tiny")


def params(*, phantom: bool = False, **changes: Any) -> Params:
    """The project's settings for one tiny data set; `changes` go to its section, or to `prepare`."""
    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    dataset = {
        "title": "Tiny",
        "phantom": phantom,
        "task": "cxr_anomaly",
        "root": "raw",
        "adapters": [{"name": "reflacx"}],
        "channels": 1,
        "crop": "none",
        "annotations": {"granularity": "map", "blur": 0},
        "split": {"by": "subject", "val": 0.25, "test": 0.25},
        "protocol": {"known": KNOWN, "held_out": HELD_OUT, "threshold": {"rule": "eer", "value": 0}},
    }
    raw["prepare"] |= {"image_size": 16, "pseudonyms": False} | {
        key: changes.pop(key) for key in list(changes) if key in raw["prepare"]
    }
    raw["datasets"] = {"tiny": {**dataset, **changes}}
    raw["engine"]["workers"] = 1
    return parse(raw)


def draw(path: Path, *seed: int) -> Path:
    """A random picture 24x24, saved as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy_rng(0, "picture", path.stem, *seed).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def tiny_samples(root: Path) -> list[Sample]:
    """24 known films of 12 subjects and 4 held-out ones, both labels, each with a box."""
    films = [("site_a", f"p{n // 2}", n % 2) for n in range(24)]
    films += [("site_z", f"z{n // 2}", n % 2) for n in range(4)]
    return [
        Sample(
            native_id=f"film{n:02}",
            image_path=draw(root / "films" / f"film{n:02}.png"),
            label=label,
            class_name="opacity" if label else "normal",
            source=source,
            source_kind="site",
            modality="cxr",
            subject_id=f"t:{subject}",
            annotations=[Boxes(np.array([[2, 2, 10, 12]]))],
            where=f"list.csv line {n + 1}",
        )
        for n, (source, subject, label) in enumerate(films)
    ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., store.Store]:
    """Runs the stage in a fresh folder, on the tiny samples as `change` leaves them."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "raw"

    def work(change: Change = lambda samples: None, **changes: Any) -> store.Store:
        def read(folder: Path) -> list[Sample]:
            samples = tiny_samples(folder)
            change(samples)
            return samples

        root.mkdir(exist_ok=True)
        (root / "list.csv").write_text(repr(read(root)))  # stands for what is listed
        monkeypatch.setattr(catalogue, "make", lambda kind, choice: read)
        prepare.prepare(params(**changes), "tiny")
        return store.open_store(OUT)

    return work


def refused(run: Callable[..., store.Store], change: Change = lambda samples: None, **changes: Any) -> str:
    """The message of a run that must fail; nothing may be left behind."""
    with pytest.raises(UserError) as error:
        run(change, **changes)
    assert not list(Path("data/prepared").glob("*"))
    return str(error.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_store_holds_every_image_in_the_order_of_ids(run: Callable[..., store.Store]) -> None:
    opened = run(lambda samples: samples.reverse())
    assert opened.manifest["sample_id"].tolist() == [f"reflacx:film{n:02}" for n in range(28)]
    assert opened.labels.tolist() == [0, 1] * 14
    assert [len(opened.rows(role)) for role in ("train", "val", "test_closed", "test_open")] == [12, 6, 6, 4]
    expected = np.zeros((24, 24))
    expected[2:12, 2:10] = 255
    assert opened.maps[0].max() == 255
    assert opened.maps[0].mean() == pytest.approx(expected.mean(), rel=0.02)
    assert set(opened.manifest["annotators"]) == {"1"}
    assert opened.info["n"] == 28
    assert opened.info["preprocessing"] == {
        "image_size": 16,
        "channels": 1,
        "crop": "none",
        "max_megapixels": 64,
        "max_megabytes": 512,
    }


def test_two_runs_give_identical_bytes(run: Callable[..., store.Store]) -> None:
    run()
    first = contents(OUT)
    run()
    assert contents(OUT) == first
    assert set(first) == {
        *("images.npy", "maps.npy", "manifest.csv", "protocol.json", "audit.json", "duplicates.csv"),
        *("quarantine.csv", "noticed.csv", "agreement.csv", "store.json"),
    }
    assert first["noticed.csv"] == b"code,where,what\n"
    assert first["quarantine.csv"] == b"sample_id,image_path,code,where,message\n"


def _with_truth(samples: list[Sample]) -> None:
    """In every image the upper half is causal and nothing a shortcut; twins without the cause are striped."""
    for sample in samples:
        for kind, rows in (("causal", 12), ("shortcut", 0), ("without_cause", 6)):
            folder = Path("raw/truth") / kind
            folder.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((24, 24), np.uint8)
            mask[:rows] = 255
            Image.fromarray(mask).save(folder / f"{sample.native_id}.png")


def test_phantoms_keep_their_truth_apart(run: Callable[..., store.Store]) -> None:
    opened = run(_with_truth, phantom=True)
    causal, shortcut, twin = opened.truth("causal"), opened.truth("shortcut"), opened.twin("cause")
    assert causal is not None
    assert shortcut is not None
    assert twin is not None
    assert causal.shape == shortcut.shape == opened.maps.shape
    assert (causal[:, :8] == 255).all()
    assert (causal[:, 8:] == 0).all()
    assert not shortcut.any()
    assert twin.shape == opened.images.shape
    assert (twin[:, :, :4] == 255).all()
    assert (twin[:, :, 4:] == 0).all()
    assert opened.twin("shortcut") is None


def test_an_image_without_a_shortcut_is_its_own_twin(run: Callable[..., store.Store]) -> None:
    def nothing_to_draw(samples: list[Sample]) -> None:
        _with_truth(samples)
        Path("raw/truth/without_shortcut").mkdir(exist_ok=True)

    opened = run(nothing_to_draw, phantom=True)
    np.testing.assert_array_equal(opened.twin("shortcut"), opened.images)


def test_a_twin_that_was_lost_stops_the_run(run: Callable[..., store.Store]) -> None:
    def lose(samples: list[Sample]) -> None:
        _with_truth(samples)
        Path("raw/truth/without_cause/film03.png").unlink()

    message = refused(run, lose, phantom=True)
    assert "E_LAYOUT films/film03.png (list.csv line 4)" in message


def test_the_summary_names_roles_counts_and_warnings(
    run: Callable[..., store.Store], capsys: pytest.CaptureFixture[str]
) -> None:
    def strip(samples: list[Sample]) -> None:
        for sample in samples[:20]:
            sample.annotations, sample.subject_id = [], ""

    run(strip)
    shown = capsys.readouterr().out
    assert "test_open" in shown
    assert "W_SUBJECT source site_a: 20 of 28 rows" in shown
    assert "W_ANN_SPARSE label 1" in shown
    audit = json.loads((OUT / "audit.json").read_text())
    assert {finding["code"] for finding in audit["findings"]} == {"W_SUBJECT", "W_ANN_SPARSE"}
    assert all(set(finding) == {"code", "where", "message", "remedy"} for finding in audit["findings"])
    assert sum(line["rows"] for line in audit["counts"]) == 28


@pytest.mark.parametrize("exists", [True, False])
def test_an_absent_or_empty_root_is_one_line(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if exists:
        Path("raw").mkdir()
    with pytest.raises(UserError) as error:
        prepare.prepare(params(), "tiny")
    (line,) = error.value.problems
    assert line.startswith("E_LAYOUT raw: expected the data set here, but ")
    assert not Path("data").exists()


def test_an_adapter_that_finds_nothing(run: Callable[..., store.Store]) -> None:
    assert "reflacx found no image" in refused(run, lambda samples: samples.clear())


def _flat(samples: list[Sample]) -> None:
    Image.new("L", (24, 24), 7).save(samples[3].image_path)


def _truncated(samples: list[Sample]) -> None:
    path = samples[3].image_path
    path.write_bytes(path.read_bytes()[:200])


def _map_of_another_size(samples: list[Sample]) -> None:
    samples[3].annotations = [Drawn(draw(Path("raw/maps/big.png")))]
    Image.new("L", (30, 30), 7).save("raw/maps/big.png")


def _outside(samples: list[Sample]) -> None:
    samples[3].annotations = [Boxes(np.array([[100, 100, 120, 120]]))]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_flat, "E_FLAT"),
        (_truncated, "E_DECODE"),
        (_map_of_another_size, "E_ANN_DIMS"),
        (_outside, "E_BOX"),
    ],
)
def test_unusable_images_stop_the_run_or_go_to_quarantine(
    run: Callable[..., store.Store], change: Change, code: str
) -> None:
    message = refused(run, change)
    assert "1 unusable images, at most 0 allowed" in message
    assert f"{code} films/film03.png (list.csv line 4)" in message
    opened = run(change, max_quarantined=1)
    assert len(opened.labels) == len(opened.images) == 27
    assert "reflacx:film03" not in set(opened.manifest["sample_id"])
    set_aside = pd.read_csv(OUT / "quarantine.csv")
    assert set_aside[["sample_id", "code"]].to_numpy().tolist() == [["reflacx:film03", code]]
    assert json.loads((OUT / "audit.json").read_text())["quarantined"] == 1


def test_all_unusable_images_are_listed_together(run: Callable[..., store.Store]) -> None:
    def many(samples: list[Sample]) -> None:
        for sample in samples[:25]:
            sample.image_path.write_bytes(b"no image")

    lines = refused(run, many).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 6 more"


def test_the_same_bytes_under_two_labels(run: Callable[..., store.Store]) -> None:
    def conflict(samples: list[Sample]) -> None:
        samples[3].image_path.write_bytes(samples[0].image_path.read_bytes())

    message = refused(run, conflict)
    assert message.count("E_LABEL_CONFLICT") == 2
    assert "same bytes as films/film00.png" in message
    assert len(run(conflict, max_quarantined=2).labels) == 26


def _mirror(samples: list[Sample], source: int, copy: int) -> None:
    with Image.open(samples[source].image_path) as image:
        ImageOps.mirror(image).save(samples[copy].image_path)


def test_a_mirrored_copy_with_the_other_label(run: Callable[..., store.Store]) -> None:
    """Both are set aside: they stand in the quarantine, and in no split, whether decoded or taken over."""

    def conflict(samples: list[Sample]) -> None:
        _mirror(samples, 0, 23)

    assert refused(run, conflict).count("E_LABEL_CONFLICT") == 2
    for seed in (0, 1):
        opened = run(conflict, max_quarantined=2, seed=seed)
        assert opened.manifest["sample_id"][opened.manifest["split"] == "none"].tolist() == [
            "reflacx:film00",
            "reflacx:film23",
        ]
        assert (OUT / "quarantine.csv").read_text().count("E_LABEL_CONFLICT,") == 2


def test_a_mirrored_copy_under_another_subject_is_shouted(run: Callable[..., store.Store]) -> None:
    opened = run(lambda samples: _mirror(samples, 0, 22))
    assert opened.manifest["split"][0] == opened.manifest["split"][22]
    first = json.loads((OUT / "audit.json").read_text())["findings"][0]
    assert (first["code"], first["where"]) == ("W_LEAK_COPY", "films/film00.png")
    (pair,) = pd.read_csv(OUT / "duplicates.csv").to_dict("records")
    assert pair["kind"] == "flipped" and pair["likeness"] > 0.9
    assert (pair["subject_id"], pair["other_subject_id"]) == ("t:p0", "t:p11")


def test_copies_of_one_label_stay_in_one_split(run: Callable[..., store.Store]) -> None:
    def copies(samples: list[Sample]) -> None:
        for n in range(2, 24, 4):
            samples[n].image_path.write_bytes(samples[n - 2].image_path.read_bytes())

    opened = run(copies)
    assert (opened.manifest.groupby("sha256")["split"].nunique() == 1).all()
    assert opened.manifest["sha256"].duplicated().any()


def test_repeated_ids_are_refused_before_decoding(run: Callable[..., store.Store]) -> None:
    def twice(samples: list[Sample]) -> None:
        samples[5].native_id = samples[4].native_id

    assert refused(run, twice).startswith("E_DUP_ID")


@pytest.mark.parametrize("what", ["image", "map", "link"])
def test_a_file_outside_of_the_root_is_refused(
    run: Callable[..., store.Store], tmp_path: Path, what: str
) -> None:
    def leave(samples: list[Sample]) -> None:
        outside = draw(tmp_path / "outside.png")
        if what == "image":
            samples[3].image_path = outside
        elif what == "map":
            samples[3].annotations = [Drawn(tmp_path / "raw" / ".." / "outside.png")]
        else:
            samples[3].image_path.unlink()
            samples[3].image_path.symlink_to(outside)

    assert "E_PATH_ESCAPE list.csv line 4: " in refused(run, leave)


def test_a_source_nobody_listed_names_itself(run: Callable[..., store.Store]) -> None:
    def other(samples: list[Sample]) -> None:
        samples[5].source = "site_q"

    assert "P_SOURCE_UNLISTED source 'site_q' label 1" in refused(run, other)


def test_one_class_in_a_split(run: Callable[..., store.Store]) -> None:
    def one_subject(samples: list[Sample]) -> None:
        for sample in samples[1:24:2]:
            sample.subject_id = "t:one"
        for n, sample in enumerate(samples[0:24:2]):
            sample.subject_id = f"t:other{n}"

    message = refused(run, one_subject)
    assert message.count("P_ONE_CLASS") == 2


def _native(samples: list[Sample]) -> None:
    for n, sample in enumerate(samples[:24]):
        sample.native_split = ("train", "val", "test")[n // 8]


def test_a_subject_in_two_native_splits(run: Callable[..., store.Store]) -> None:
    def leak(samples: list[Sample]) -> None:
        _native(samples)
        samples[8].subject_id = samples[0].subject_id

    native = {"by": "native", "val": 0.25, "test": 0.25}
    assert "E_LEAK_SUBJECT subject_id 't:p0': 3 files are in train and val" in refused(
        run, leak, split=native
    )
    opened = run(leak)
    assert (opened.manifest.groupby("subject_id")["split"].nunique() == 1).all()
    codes = [finding["code"] for finding in json.loads((OUT / "audit.json").read_text())["findings"]]
    assert codes == ["W_LEAK_NATIVE"]


def test_a_held_out_source_seen_in_training(run: Callable[..., store.Store]) -> None:
    def leak(samples: list[Sample]) -> None:
        _native(samples)
        samples[25].subject_id = samples[0].subject_id

    native = {"by": "native", "val": 0.25, "test": 0.25}
    assert "P_LEAK subject_id 't:p0': of a held-out source" in refused(run, leak, split=native)
    opened = run(leak)  # by subject, the known films of that patient are only tested
    assert opened.manifest["split"][:2].tolist() == ["test", "test"]


def test_a_failed_run_keeps_the_last_good_store(run: Callable[..., store.Store]) -> None:
    run()
    before = contents(OUT)
    with pytest.raises(UserError):
        run(_flat)
    assert contents(OUT) == before
    assert [path.name for path in OUT.parent.iterdir()] == ["tiny"]


def test_the_audit_finds_what_is_wrong_with_real_films(
    real_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nih64 = {
        "name": "image_table",
        "root": "nih64",
        "collection": "nih64",
        "labels": {"0_normal": 0, "1_abnormal": 1},
        "modality": "cxr",
        "glob": "*/*/*.png",
        "patterns": {"label": r"/(\d_\w+)/", "split": r"^(\w+)/", "subject": r"/(\d{8})_"},
        "constants": {"source": "nih64"},
        "check": {
            "table": "Data_Entry_2017_v2020_subset.csv",
            "key": "Image Index",
            "label": "Finding Labels",
            "normal": "No Finding",
        },
    }
    listed = {"known": {"0": ["nih64"], "1": ["nih64"]}, "held_out": {}}
    changes: dict[str, Any] = {
        "root": str(real_films),
        "adapters": [nih64],
        "max_quarantined": 1,
        "protocol": {**listed, "threshold": {"rule": "eer", "value": 0}},
    }
    prepare.prepare(params(**changes), "tiny")
    assert "valid/0_normal/00000193_019.png" in (OUT / "quarantine.csv").read_text()
    assert "E_LABEL_CONFLICT" in (OUT / "quarantine.csv").read_text()
    findings = json.loads((OUT / "audit.json").read_text())["findings"]
    (leak,) = (finding for finding in findings if finding["code"] == "W_LEAK_NATIVE")
    assert leak["message"].startswith("15 subjects")
    changes["split"] = {"by": "native", "val": 0.2, "test": 0.2}
    with pytest.raises(UserError, match="E_LEAK_SUBJECT"):
        prepare.prepare(params(**changes), "tiny")
