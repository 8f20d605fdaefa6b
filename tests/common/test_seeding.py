"""Seeds: the same purpose gives the same numbers, another purpose gives others."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.seeding import derive, numpy_rng, torch_rng


@given(st.integers(0, 2**31), st.text(max_size=5), st.integers(0, 99))
def test_a_seed_is_a_pure_function_that_fits_torch(seed: int, purpose: str, index: int) -> None:
    assert derive(seed, purpose, index) == derive(seed, purpose, index) < 2**63


def test_purposes_do_not_run_into_each_other() -> None:
    assert len({derive(1, "a", 23), derive(1, "a", 2, 3), derive(1, "a2", 3), derive(12, "a", 3)}) == 4


def test_generators_of_both_libraries() -> None:
    assert numpy_rng(0, "x").random() == numpy_rng(0, "x").random() != numpy_rng(0, "y").random()
    assert torch_rng(0, "x").initial_seed() == derive(0, "x")
