"""A short `make fuzz`: valid DICOM files mean what the standard says, damaged files give a line."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz, fuzz_mutants, fuzz_valid
from pipeline.common.expendable import Lost


def try_both(folder: Path, valid: int, mutants: int) -> tuple[Counter[str], Counter[str]]:
    """All counts, of files drawn here; faults are shown by the test that fails."""
    places = [folder / name for name in ("valid", "sources", "mutants")]
    for place in places:
        place.mkdir()
    one = fuzz.try_valid(valid, places[0], workers=2)
    sources = fuzz_mutants.sources(places[1], folder / "absent", sorted(places[0].iterdir()))
    other = fuzz.try_mutants(mutants, places[2], sources, workers=2)
    print("\n".join([*one.faults, *other.faults]))
    return sum(one.counts.values(), Counter()), sum(other.counts.values(), Counter())


@pytest.mark.parametrize(("valid", "mutants"), [(108, 150), pytest.param(900, 5000, marks=pytest.mark.slow)])
def test_nothing_is_wrong_and_nothing_ends_the_run(tmp_path: Path, valid: int, mutants: int) -> None:
    right, damaged = try_both(tmp_path, valid, mutants)
    assert set(right) <= {"right", "flat"} and right.total() == valid
    assert right["right"] > 0.85 * valid
    assert set(damaged) <= {"picture", "refused", "decoder died"} and damaged.total() == mutants
    assert min(damaged["picture"], damaged["refused"]) > 0.05 * mutants


def test_a_wrong_picture_is_noticed(tmp_path: Path) -> None:
    case = fuzz_valid.draw(tmp_path / "a.dcm", 0, fuzz.SEED)
    found = fuzz_mutants.load(tmp_path / "a.dcm", case.frame)
    assert isinstance(found, np.ndarray) and case.is_met(found)
    assert not case.is_met(found + np.float32(0.01))
    assert not case.is_met(None)
    assert not case.is_met(found[1:])


def test_every_outcome_has_its_column() -> None:
    lost = {"died (SIGSEGV)": 2, "took more than 10 s": 3, "needed more than 9 MB of memory": 4}
    assert {told: fuzz.COUNTED.index(fuzz._sort(Lost(told))) for told in lost} == lost
    told = {"picture": 0, "E_DECODE": 1, "traceback: KeyError": 5}
    found = {what: fuzz.COUNTED.index(fuzz._sort(fuzz_mutants.Outcome(what, 0))) for what in told}
    assert found == told


def test_the_same_number_gives_the_same_damage() -> None:
    data = bytes(range(256)) * 20
    one, same, other = (fuzz_mutants.damage(data, np.random.default_rng([1, n])) for n in (5, 5, 6))
    assert one == same != other != data
