"""All seeds of a method and backbone as one run in MLflow: the parent of theirs, with means and intervals."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd

from pipeline.common.files import canonical_json, sha256_text
from pipeline.score.bootstrap import Resamples, interval
from pipeline.tracking import headlines
from pipeline.tracking.contents import LAYOUT, CellContents

WITH_INTERVAL = ("answer", "detection")  # groups of metrics that show it; the table has it of all
ORDER = (*WITH_INTERVAL, "maps", "selected", "robustness", "train")


@dataclass(frozen=True)
class Family:
    """The finished seeds of a method and backbone on one data set."""

    members: list[CellContents]
    confidence: float  # of intervals

    @property
    def name(self) -> str:
        """`method/backbone`, where the run of a seed is `method/backbone/seed`."""
        cell = self.members[0].cell
        return f"{cell.method}/{cell.backbone}"

    def origin_tags(self) -> dict[str, str]:
        """Tags that its run has from its start."""
        about = {"cell": self.name, "layout": LAYOUT}
        return {**about, "mlflow.source.name": "pipeline/track.py", "mlflow.source.type": "LOCAL"}

    def key_tags(self) -> dict[str, str]:
        """The tag that says that all is there: the keys of all that its numbers come from."""
        keys = {str(member.cell.seed): member.key_tags() for member in self.members}
        return {"members": sha256_text(canonical_json([keys, self.confidence]))}

    def parameters(self) -> dict[str, str]:
        """The settings that all seeds have in common, and the seeds."""
        each = [member.parameters() for member in self.members]
        common = {name: value for name, value in each[0].items() if all(p.get(name) == value for p in each)}
        return {**common, "seeds": ", ".join(str(member.cell.seed) for member in self.members)}

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """A row per metric: its mean, low and high over seeds (bootstrap), n, and every seed's value."""
        values: dict[str, dict[str, float]] = {}
        for member in self.members:
            for name, value in member.metrics:
                values.setdefault(name, {})[f"seed_{member.cell.seed}"] = value
        rows = []
        for name in sorted(values, key=lambda name: (_group(name), name)):
            mean, low, high = _interval(np.array([*values[name].values()]), self.confidence)
            rows.append(
                {
                    "metric": name,
                    "mean": mean,
                    "low": low,
                    "high": high,
                    "n": len(values[name]),
                    **values[name],
                }
            )
        return pd.DataFrame(rows)

    def metrics(self) -> list[tuple[str, float]]:
        """Means by the names of the seeds' metrics, and the limits of intervals in a group of their own."""
        means, limits = [], []
        for row in self.seeds.to_dict("records"):
            means.append((row["metric"], row["mean"]))
            group, _, name = row["metric"].partition("/")
            if group in WITH_INTERVAL and np.isfinite(row["low"]):
                limits += [(f"interval/{name}_{limit}", row[limit]) for limit in ("low", "high")]
        return [*limits, *means][: headlines.MOST]

    def times(self) -> tuple[int, int] | None:
        """From the first start to the last end, ms since 1970; None where a seed's are not known."""
        each = [member.times() for member in self.members]
        known = [times for times in each if times is not None]
        if len(known) < len(each):
            return None
        return min(start for start, _ in known), max(end for _, end in known)


def families(finished: list[CellContents], confidence: float) -> list[Family]:
    """Cells by method and backbone, in their order."""
    groups: dict[tuple[str, str], list[CellContents]] = {}
    for contents in finished:
        groups.setdefault((contents.cell.method, contents.cell.backbone), []).append(contents)
    return [Family(members, confidence) for members in groups.values()]


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Mean and limits over seeds, as the report resamples them; the limits of a single one are NaN."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    taken = _resamples(len(values))
    return interval(mean, taken.estimates([taken.of_values(0, values)]), confidence)


@cache
def _resamples(seeds: int) -> Resamples:
    return Resamples([seeds])


def _group(metric: str) -> int:
    return next((place for place, group in enumerate(ORDER) if metric.startswith(f"{group}/")), len(ORDER))
