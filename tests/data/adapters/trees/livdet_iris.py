"""LivDet-Iris 2017, Notre Dame: lists of stems without a header, images in folders that no list names."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text

LISTS = {
    "livdet-train.txt": ["99001d1 0", "99002d7 1"],
    "livdet-test.txt": ["99003d1 0", "99003d2 1"],
    "livdet-unknown_test.txt": ["99004d1 0", "99004d2 1"],
}


def build(root: Path) -> dict[str, Any]:
    """Six small irises."""
    seed = 0
    for name, lines in LISTS.items():
        text(root / name, lines)
        for line in lines:
            picture(root / "images" / name[7:-4] / f"{line.split()[0]}.tiff", (64, 48), seed := seed + 1)
    return {"site": "notre_dame", "size": [64, 48]}


def warsaw(root: Path) -> dict[str, Any]:
    """Paths below a header, separated by commas."""
    for part, number in (("train", 1), ("test", 3), ("unknown_test", 5)):
        paths = [f"{part}/99_{number}.bmp", f"{part}/99_{number + 1}.bmp"]
        text(root / f"{part}.txt", ["image,label", f"{paths[0]},0", f"{paths[1]},1"])
        for seed, path in enumerate(paths, start=number):
            picture(root / path, (64, 48), seed)
    return {"site": "warsaw", "size": [64, 48], "subject_pattern": r"/(?P<subject>\d+)_"}


def iiitd_wvu(root: Path) -> dict[str, Any]:
    """A row number in front, and a test set that is unknown as a whole."""
    for part, number in (("trainset", 1), ("testset", 3)):
        paths = [f"{part}/Live/99_{number}.bmp", f"{part}/Print/99_{number + 1}.bmp"]
        text(root / f"{part}.csv", [",path,label", f"1,{paths[0]},0", f"2,{paths[1]},1"])
        for seed, path in enumerate(paths, start=number):
            picture(root / path, (64, 48), seed)
    return {"site": "iiitd_wvu", "size": [64, 48], "type_pattern": "/(?P<type>[A-Za-z]+)/"}
