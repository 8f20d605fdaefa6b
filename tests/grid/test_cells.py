"""Which cells there are, and what their keys depend on."""

from pathlib import Path

import tiny_store
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.grid.cells import Cell, cells, key


def test_cells_are_backbones_by_methods_by_seeds_in_order() -> None:
    params = tiny_store.params(
        backbones={"compact": {"name": "compact"}, "resnet50": {"name": "resnet50"}}, train={"seeds": [3, 1]}
    )
    found = [cell.name for cell in cells(params, "tiny")]
    assert found[:3] == [
        "cross_entropy/compact/3",
        "cross_entropy/compact/1",
        "difference_salience/compact/3",
    ]
    assert len(found) == 8 and found[-1] == "difference_salience/resnet50/1"


def test_a_data_set_may_choose_its_methods() -> None:
    params = tiny_store.params()
    dataset = params.datasets["tiny"].model_copy(update={"methods": ["difference_salience"]})
    params = params.model_copy(update={"datasets": {"tiny": dataset}})
    assert [cell.method for cell in cells(params, "tiny")] == ["difference_salience"]


def test_a_data_set_may_have_seeds_of_its_own() -> None:
    params = tiny_store.params()
    dataset = params.datasets["tiny"].model_copy(update={"seeds": [4, 2]})
    params = params.model_copy(update={"datasets": {"tiny": dataset}})
    assert [cell.seed for cell in cells(params, "tiny")] == [4, 2, 4, 2]


def test_a_data_set_may_choose_its_backbones_and_a_method_its_seeds() -> None:
    backbones = {"compact": {"name": "compact"}, "resnet50": {"name": "resnet50"}}
    methods = {**tiny_store.METHODS, "few": {"loss": {"name": "cross_entropy"}, "seeds": [1, 2]}}
    params = tiny_store.params(backbones=backbones, methods=methods, train={"seeds": [0, 2, 1]})
    dataset = params.datasets["tiny"].model_copy(update={"methods": ["few"], "backbones": ["resnet50"]})
    params = params.model_copy(update={"datasets": {"tiny": dataset}})
    assert [cell.name for cell in cells(params, "tiny")] == ["few/resnet50/2", "few/resnet50/1"]


def test_where_a_cell_lives() -> None:
    assert Cell("cxr", "compact", "cyborg", 2).folder(Path("runs")) == Path("runs/cxr/compact/cyborg/2")


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2, max_size=4))
@settings(deadline=None, max_examples=30)
def test_the_key_forgets_order_and_nothing_else(values: dict[str, int]) -> None:
    backwards = dict(reversed(values.items()))
    assert key(values, "d", "c") == key(backwards, "d", "c")
    name = next(iter(values))
    others = [key(values | {name: values[name] + 1}, "d", "c"), key(values, "e", "c"), key(values, "d", "e")]
    assert len({key(values, "d", "c"), *others}) == 4
