"""Deletion and insertion on models whose answer is known in closed form."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from pipeline.explain import faithfulness

SIDE = 8


def corner_margin(images: Tensor) -> Tensor:
    """A model that looks at the upper left quarter only: bright means class 1."""
    return 20 * (images[:, 0, : SIDE // 2, : SIDE // 2].mean(dim=(1, 2)) - 0.5)


def corner_images() -> Tensor:
    images = torch.zeros(2, 1, SIDE, SIDE)
    images[0, 0, : SIDE // 2, : SIDE // 2] = 1
    images[1, 0, SIDE // 2 :, SIDE // 2 :] = 1
    return images


def corner_maps() -> Tensor:
    maps = torch.zeros(2, 2, 2)
    maps[:, 0, 0] = 1
    return maps


def curves_of(maps: dict, steps: int = 5, classes: tuple[int, int] = (1, 0)) -> dict:
    return faithfulness.curves(corner_margin, corner_images(), torch.tensor(classes), maps, steps)


def test_ends_are_the_clean_and_the_emptied_image() -> None:
    """Emptied: the image's mean, 0.25, everywhere, so that the margin is -5."""
    found = curves_of({"map": corner_maps(), "random": None})
    for order in ("map", "random"):
        np.testing.assert_allclose(
            found[order, "deletion"][0, [0, -1]], torch.sigmoid(torch.tensor([10.0, -5.0]))
        )
        assert found[order, "insertion"][0, -1] == found[order, "deletion"][0, 0]


def test_deleting_what_the_model_sees_drops_the_score_at_once() -> None:
    """A quarter of the pixels, the highest ones, is the quarter that the model sees."""
    found = curves_of({"map": corner_maps(), "opposite": -corner_maps()})
    assert found["map", "deletion"][0, 1] == pytest.approx(1 / (1 + np.exp(5)), rel=1e-4)
    assert found["opposite", "deletion"][0, 1] == pytest.approx(1 / (1 + np.exp(-10)), rel=1e-4)
    areas = [faithfulness.area(found[order, "deletion"])[0] for order in ("map", "opposite")]
    assert areas[0] < areas[1]


def test_restoring_what_the_model_sees_raises_the_score_at_once() -> None:
    """One bright pixel, which the blur dims below the model's level."""
    image, maps = torch.zeros(1, 1, 56, 56), torch.zeros(1, 7, 7)
    image[0, 0, 28, 28] = maps[0, 3, 3] = 1
    orders = {"map": maps, "opposite": -maps}
    found = faithfulness.curves(
        lambda images: 20 * (images[:, 0, 28, 28] - 0.5), image, torch.ones(1, dtype=torch.long), orders, 5
    )
    high, low = torch.sigmoid(torch.tensor([10.0, -5.0])).tolist()
    np.testing.assert_allclose(found["map", "insertion"][0, 1:], high)
    assert (found["opposite", "insertion"][0, :-1] < low).all()


def test_curves_pixel_by_pixel() -> None:
    """A linear model of both channels; every point of both curves is computed by NumPy, image by image."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, SIDE, SIDE, generator=generator)
    images = torch.rand(3, 2, SIDE, SIDE, generator=generator)
    maps = torch.randn(3, SIDE, SIDE, generator=generator)
    classes, steps = torch.tensor([1, 0, 1]), 5  # a quarter of the pixels at a time
    found = faithfulness.curves(
        lambda batch: (batch * weight).sum((1, 2, 3)), images, classes, {"map": maps}, steps
    )
    blurred = faithfulness.blur(images).numpy()
    for index, image in enumerate(images.numpy()):
        order = np.argsort(-maps[index].numpy().ravel(), kind="stable")
        grey = np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)
        for curve, start, end in (("deletion", image, grey), ("insertion", blurred[index], image)):
            for step in range(steps):
                mixed = start.copy().reshape(2, -1)
                changed = order[: int(np.ceil(step / (steps - 1) * SIDE**2))]
                mixed[:, changed] = end.reshape(2, -1)[:, changed]
                score = (mixed * weight.numpy().reshape(2, -1)).sum() * (1 if classes[index] else -1)
                assert found["map", curve][index, step] == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-5)


@pytest.mark.parametrize("explained", [0, 1])
def test_the_sign_of_a_map_decides(explained: int) -> None:
    """A linear model's own contributions are the best order; with the sign flipped they are the worst."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(SIDE, SIDE, generator=generator)
    images = 0.5 + 0.1 * torch.randn(4, 1, SIDE, SIDE, generator=generator)
    evidence = (2 * explained - 1) * weight * (images - images.mean((2, 3), keepdim=True))[:, 0]
    orders = {"for": evidence, "random": None, "against": -evidence}
    classes = torch.full((4,), explained)
    found = faithfulness.curves(
        lambda batch: (batch[:, 0] * weight).sum((1, 2)), images, classes, orders, steps=9
    )
    areas = {key: faithfulness.area(points) for key, points in found.items()}
    assert (areas["for", "deletion"] < areas["random", "deletion"]).all()
    assert (areas["random", "deletion"] < areas["against", "deletion"]).all()


def test_score_is_the_probability_of_the_explained_class() -> None:
    own, other = curves_of({"m": corner_maps()}), curves_of({"m": corner_maps()}, classes=(0, 1))
    np.testing.assert_allclose(own["m", "deletion"] + other["m", "deletion"], 1, atol=1e-6)


def test_a_constant_model_has_its_score_as_area() -> None:
    found = faithfulness.curves(
        lambda images: torch.full((len(images),), 2.0),
        corner_images(),
        torch.ones(2, dtype=torch.long),
        {"random": None},
        steps=7,
    )
    for points in found.values():
        np.testing.assert_allclose(faithfulness.area(points), 1 / (1 + np.exp(-2)), rtol=1e-6)


def test_random_order_works_wherever_the_images_are() -> None:
    """The device `meta` refuses what CUDA refuses: masks of the CPU on images that are elsewhere."""
    images = corner_images().to("meta")
    found = faithfulness.curves(
        lambda batch: torch.zeros(len(batch)), images, torch.tensor([1, 0]), {"random": None}, steps=3
    )
    assert found["random", "deletion"].tolist() == [[0.5] * 3] * 2


def test_one_forward_per_step_for_the_whole_batch() -> None:
    """Two ends for each curve, shared by all orders; the steps between for each order and curve."""
    batches = []

    def margins(images: Tensor) -> Tensor:
        batches.append(len(images))
        return corner_margin(images)

    faithfulness.curves(margins, corner_images(), torch.tensor([1, 0]), {"a": corner_maps(), "b": None}, 6)
    assert batches == [2] * (4 + 2 * 2 * 4)


def test_area_by_hand() -> None:
    np.testing.assert_allclose(faithfulness.area(np.array([[1, 0.5, 0], [0, 0, 1]])), [0.5, 0.25])


def test_ranks_follow_the_map_and_ties_follow_one_permutation() -> None:
    maps = torch.arange(16.0).view(1, 4, 4)
    ranks = faithfulness.pixel_ranks(maps, 1, (4, 4))
    assert ranks.flatten().tolist() == list(range(15, -1, -1))
    tied = faithfulness.pixel_ranks(torch.zeros(3, 4, 4), 3, (4, 4))
    control = faithfulness.pixel_ranks(None, 3, (4, 4))
    assert (tied == control).all()
    assert (tied == tied[:1]).all()
    assert sorted(tied[0].flatten().tolist()) == list(range(16))
    assert tied[0].flatten().tolist() != list(range(16))


def test_blur_is_gaussian_and_keeps_flat_images() -> None:
    image = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    rows = gaussian_filter1d(image.numpy(), 5, axis=2, radius=5, mode="mirror")
    expected = gaussian_filter1d(rows, 5, axis=3, radius=5, mode="mirror")
    np.testing.assert_allclose(faithfulness.blur(image).numpy(), expected, atol=1e-5)
    flat = torch.full((1, 1, 32, 32), 0.3)
    torch.testing.assert_close(faithfulness.blur(flat), flat)


def test_mean_fill_is_per_image_and_channel() -> None:
    images = torch.stack([torch.zeros(2, 3, 3), torch.ones(2, 3, 3)])
    images[1, 0] = 0.5
    assert faithfulness.mean_fill(images).flatten().tolist() == [0, 0, 0.5, 1]


def test_a_small_image_is_blurred_by_its_neighbours_alone() -> None:
    """At 40 px sigma is 0.9 px and the kernel three cells wide."""
    image = torch.zeros(1, 1, 40, 40)
    image[0, 0, 20, 20] = 1
    found = faithfulness.blur(image)[0, 0]
    assert found[19:22, 19:22].min() > 0
    assert found.sum().item() == pytest.approx(found[19:22, 19:22].sum().item())


def test_images_need_not_be_square() -> None:
    images = torch.rand(2, 1, 6, 9, generator=torch.Generator().manual_seed(0))
    maps = {"map": torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(1)), "random": None}

    def brightness(batch: Tensor) -> Tensor:
        return batch.mean(dim=(1, 2, 3))

    found = faithfulness.curves(brightness, images, torch.tensor([1, 1]), maps, 3)
    assert {points.shape for points in found.values()} == {(2, 3)}
    ranks = faithfulness.pixel_ranks(maps["map"], 2, (6, 9))
    assert ranks.shape == (2, 6, 9) and sorted(ranks[0].flatten().tolist()) == list(range(54))
