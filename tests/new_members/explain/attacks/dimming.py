"""What a model says of darker images."""

from typing import Annotated

from pydantic import Field

from pipeline.explain.attacks import Findings, Values
from pipeline.explain.explanations import explain

TABLE = "other"


def attack(victim, *, by: Annotated[float, Field(gt=0, lt=1)] = 1 / 4) -> Findings:
    values, dark = Values(), victim.images * (1 - by)
    values.add("accuracy", (victim.model(dark).logits.argmax(1) == victim.labels).float())
    for name in victim.explanations:
        maps = explain(name, victim.model, dark, victim.labels)
        values.add("mean", maps.mean((1, 2)), explanation=name)
    return Findings(values.table(), {"images": (dark[: victim.shown] * 255).byte().cpu().numpy()})
