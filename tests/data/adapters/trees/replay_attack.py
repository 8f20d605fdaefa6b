"""Replay-Attack: real and attack videos of one client per split, one of them with its faces."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text
from tests.data.videos import film, pictures

REAL = "client{}_session01_webcam_authenticate_adverse_1"
ATTACKS = (
    "attack_highdef_client{}_session01_highdef_photo_adverse",
    "attack_print_client{}_session01_highdef_photo_controlled",
)


def build(root: Path) -> dict[str, Any]:
    """Videos of six frames; the second attack of the test is a folder of frames in `hand`."""
    for number, folder in enumerate(("train", "devel", "test")):
        client = f"{991 + number}"
        film(root / folder / "real" / f"{REAL.format(client)}.mov", pictures(6, 3 * number))
        fixed = ATTACKS[0].format(client)
        film(root / folder / "attack" / "fixed" / f"{fixed}.mov", pictures(6, 3 * number + 1))
    for frame in range(1, 4):
        picture(
            root / "test" / "attack" / "hand" / ATTACKS[1].format("993") / f"{frame:03}.jpg", (32, 24), frame
        )
    film(root / "enroll" / "client991_session02_webcam_authenticate_adverse_1.mov", pictures(2, 99))
    boxes = [*(f"{frame} 4 5 10 12" for frame in range(4)), "4 0 0 0 0"]
    text(root / "face-locations" / "train" / "real" / f"{REAL.format('991')}.face", boxes)
    return {"frames": 3}
