"""The drawing of the stages: all of them, in order, and narrow enough for a laptop."""

import re
from pathlib import Path

from pipeline.common.stages import drawing

PROJECT = Path(__file__).parents[2]
WIDEST = 100  # columns


def test_every_stage_is_drawn_below_what_it_needs() -> None:
    text = drawing(PROJECT)
    rows = [set(re.findall(r"[\w@]+", line)) for line in text.splitlines()]
    assert [names for names in rows if names] == [
        {"phantoms"},
        {"prepare@cxr", "prepare@iris", "prepare@face"},
        {"train"},
        {"evaluate", "identify", "robustness"},
        {"report"},
        {"track"},
    ]
    assert max(map(len, text.splitlines())) <= WIDEST
