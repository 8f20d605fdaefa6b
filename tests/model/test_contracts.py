"""Promises that every backbone and every loss must keep; a new file in a catalogue is found by itself."""

from pathlib import Path

import pytest
import torch
from members import Choice, called, choices, declaring
from torch import Tensor

from pipeline.common import catalogue
from pipeline.model import CamClassifier, Outputs, build, load, save
from pipeline.model.losses import Terms

BACKBONES = catalogue.names("model/backbones")
LOSSES = choices("model/losses")
MAPS = [choice for choice in LOSSES if choice["name"] in declaring("model/losses", "USES_MAPS")]
NO_MAPS = [choice for choice in LOSSES if choice not in MAPS]
MIXED = [
    name
    for name in catalogue.names("model/losses")
    if "alpha" in catalogue.settings_model("model/losses", name).model_fields
]
N, SIDE = 4, 64


@pytest.fixture(scope="module", params=BACKBONES)
def grey(request: pytest.FixtureRequest) -> CamClassifier:
    torch.manual_seed(0)
    return build(request.param, in_channels=1)


def images(channels: int = 1) -> Tensor:
    return torch.rand(2, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def test_mean_of_the_map_plus_bias_is_the_logit(grey: CamClassifier) -> None:
    with torch.no_grad():
        found = grey.eval()(images())
        pooled = torch.nn.functional.linear(found.features.mean((2, 3)), grey.head.weight, grey.head.bias)
    assert found.cams.shape == (2, 2, *found.features.shape[2:])
    torch.testing.assert_close(found.cams.mean((2, 3)) + grey.head.bias, found.logits)
    torch.testing.assert_close(found.logits, pooled, rtol=1e-4, atol=1e-4)


def test_maps_have_several_cells_and_the_channels_that_the_backbone_names(grey: CamClassifier) -> None:
    with torch.no_grad():
        features = grey.eval()(images()).features
    _, channels, height, width = features.shape
    assert channels == grey.features.out_channels and 1 < height < SIDE and 1 < width < SIDE


def test_one_forward_per_step(grey: CamClassifier) -> None:
    """The backbone runs once, and normalisations that count batches count one."""
    calls: list[int] = []
    before = {name: value.clone() for name, value in grey.named_buffers() if "num_batches" in name}
    hook = grey.features.register_forward_hook(lambda *_: calls.append(1))
    grey.train()(images())
    hook.remove()
    after = dict(grey.named_buffers())
    assert calls == [1]
    assert {int(after[name] - value) for name, value in before.items()} <= {1}


def test_a_sample_does_not_see_the_others_when_the_model_is_used(grey: CamClassifier) -> None:
    with torch.no_grad():
        both, alone = grey.eval()(images()).cams, grey(images()[:1]).cams
    torch.testing.assert_close(both[:1], alone, rtol=1e-3, atol=1e-4)


def test_the_maps_alone_reach_every_weight_but_the_heads_bias(grey: CamClassifier) -> None:
    torch.manual_seed(0)  # stochastic depth must not drop a block for the whole batch
    cams = grey.train()(images().repeat(2, 1, 1, 1)).cams
    grey.zero_grad()
    (cams * torch.randn_like(cams)).sum().backward()
    silent = [name for name, value in grey.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == ["head.bias"]


def test_saving_and_loading_keeps_every_bit(grey: CamClassifier, tmp_path: Path) -> None:
    save(grey, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    ours, theirs = grey.state_dict(), again.state_dict()
    assert (again.backbone, again.in_channels, again.training) == (grey.backbone, 1, False)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", BACKBONES)
def test_colour_has_the_grid_of_grey(name: str) -> None:
    with torch.device("meta"):
        found = [build(name, in_channels=count).features.eval()(images(count).to("meta")) for count in (1, 3)]
    assert found[0].shape == found[1].shape


def outputs() -> Outputs:
    """Random maps; the second logit is the larger one in some samples only."""
    generator = torch.Generator().manual_seed(4)
    cams = torch.randn((N, 2, 3, 3), generator=generator, dtype=torch.float64)
    return Outputs(cams.mean((2, 3)), cams.new_zeros(N, 1, 3, 3), cams)


LABELS = torch.tensor([0, 1, 1, 0])
HUMAN = torch.rand((N, 6, 6), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
ALL = torch.ones(N, dtype=torch.bool)


def terms(
    choice: Choice,
    found: Outputs,
    labels: Tensor = LABELS,
    human: Tensor = HUMAN,
    has_map: Tensor = ALL,
) -> Terms:
    computed: Terms = catalogue.make("model/losses", choice)(found, labels, human, has_map)
    assert all(term.shape == () for term in computed)
    return computed


@pytest.mark.parametrize("choice", LOSSES, ids=called)
def test_gradients_are_right(choice: Choice) -> None:
    def through(cams: Tensor) -> Tensor:
        return terms(choice, Outputs(cams.mean((2, 3)), cams, cams)).total

    assert torch.autograd.gradcheck(through, outputs().cams.requires_grad_())


@pytest.mark.parametrize("choice", LOSSES, ids=called)
def test_order_of_samples_does_not_matter(choice: Choice) -> None:
    order = torch.tensor([2, 0, 3, 1])
    found, has_map = outputs(), torch.tensor([True, False, True, True])
    moved = Outputs(*(value[order] for value in found))
    first = terms(choice, found, has_map=has_map)
    second = terms(choice, moved, LABELS[order], HUMAN[order], has_map[order])
    torch.testing.assert_close(torch.stack(first), torch.stack(second))


@pytest.mark.parametrize("name", MIXED)
def test_alpha_is_the_weight_of_cross_entropy(name: str) -> None:
    found, loss = outputs(), catalogue.get("model/losses", name)
    expected = torch.nn.functional.cross_entropy(found.logits, LABELS)
    torch.testing.assert_close(loss(found, LABELS, HUMAN, ALL, alpha=1.0).total, expected)
    mixed = loss(found, LABELS, HUMAN, ALL, alpha=0.3)
    torch.testing.assert_close(mixed.total, 0.3 * mixed.classification + 0.7 * mixed.guidance)
    torch.testing.assert_close(mixed.classification, expected)


@pytest.mark.parametrize("choice", LOSSES, ids=called)
@pytest.mark.parametrize("cams", ["flat", "one class flat", "one-hot"])
@pytest.mark.parametrize("human", ["flat", "one-hot"])
def test_degenerate_maps_give_finite_values_and_gradients(choice: Choice, cams: str, human: str) -> None:
    values = outputs().cams
    values[:, 0] = 0
    if cams != "one class flat":
        values[:, 1] = 0
    if cams == "one-hot":
        values[:, :, 1, 1] = 1
    values.requires_grad_()
    drawn = torch.full_like(HUMAN, 0.7)
    if human == "one-hot":
        drawn[:, 0, 0] = 1
    found = terms(choice, Outputs(values.mean((2, 3)), values, values), human=drawn).total
    found.backward()
    assert found.isfinite() and values.grad is not None and values.grad.isfinite().all()


@pytest.mark.parametrize("choice", MAPS, ids=called)
def test_samples_without_a_map_add_nothing(choice: Choice) -> None:
    has_map = torch.tensor([True, False, False, True])
    other = HUMAN.clone()
    other[1:3] = torch.rand(2, 6, 6, dtype=torch.float64)
    found = terms(choice, outputs(), has_map=has_map)
    assert torch.equal(found.total, terms(choice, outputs(), human=other, has_map=has_map).total)
    annotated = Outputs(*(value[has_map] for value in outputs()))
    alone = terms(choice, annotated, LABELS[has_map], HUMAN[has_map], has_map[has_map])
    torch.testing.assert_close(found.guidance, alone.guidance)
    assert found.guidance > 0 and terms(choice, outputs(), has_map=~ALL).guidance == 0


@pytest.mark.parametrize("choice", NO_MAPS, ids=called)
def test_a_loss_that_says_so_looks_at_no_map(choice: Choice) -> None:
    first = terms(choice, outputs())
    second = terms(choice, outputs(), human=torch.full_like(HUMAN, torch.nan), has_map=~ALL)
    assert torch.equal(torch.stack(first), torch.stack(second)) and first.guidance == 0


@pytest.mark.parametrize("choice", LOSSES, ids=called)
def test_float32_under_autocast_and_modes_are_left_alone(choice: Choice) -> None:
    torch.manual_seed(0)
    model = build("compact", in_channels=1).train()
    model.features[1].eval()
    modes = [module.training for module in model.modules()]
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images())
        computed = terms(choice, found, LABELS[:2], HUMAN.float()[:2], ALL[:2])
    assert found.features.dtype == torch.bfloat16
    assert {found.cams.dtype, found.logits.dtype, *(term.dtype for term in computed)} == {torch.float32}
    computed.total.backward()
    assert [module.training for module in model.modules()] == modes
