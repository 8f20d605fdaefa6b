"""Which images an AUROC of a table compares, and its interval over draws, seeds and test subjects."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.store import Store
from pipeline.measure import scopes
from pipeline.measure.strata import STRATA
from pipeline.present.results import AT, GROUP, Grid
from pipeline.score.bootstrap import Pairs, Resamples, interval, mean_of_draws
from pipeline.score.stats import Interval

CELL = ["backbone", "method", "seed"]  # of one draw
NOBODY = np.array([""])  # the subjects of a draw that nothing was measured on
EVERY = ""  # the stratum of all pairs


class Compared(NamedTuple):
    """The pairs behind an AUROC: scope and source as in metrics.csv, stratum as in strata.csv or EVERY."""

    scope: str
    source: str = ""
    stratum: str = EVERY


class Images:
    """The test images of one draw, and every cell's scores of them."""

    def __init__(self, scores: pd.DataFrame, store: Store) -> None:
        tested = scores[scores["role"].isin(("test_closed", "test_open"))]
        about = tested.drop_duplicates("sample_id").set_index("sample_id")
        self.known = about[["label", "role", "source", "subject_id"]].reset_index()
        self.novel: Sequence[str] = store.protocol.get("novel", ())
        self.marked = about["marked"].eq(1).to_numpy()  # by the shortcut; blank on real data
        wide = tested.pivot(index=CELL, columns="sample_id", values="logit_difference")
        self.scores = wide[self.known["sample_id"]].to_numpy(float)
        self.rows = {cell: row for row, cell in enumerate(wide.index)}  # CELL -> row of the scores
        self.known_pairs: dict[Compared, list[Pairs]] = {}

    @cached_property
    def subjects(self) -> np.ndarray:
        """Whose each image is; an image of nobody known is by itself."""
        own = self.known["subject_id"].where(self.known["subject_id"] != "", self.known["sample_id"])
        return own.to_numpy(str)

    def pairs(self, compared: Compared) -> list[Pairs]:
        """The pairs of each source that an AUROC is a mean over; none where there are none."""
        if compared not in self.known_pairs:
            self.known_pairs[compared] = [
                self._pairs(part, compared.stratum) for part in self._parts(compared)
            ]
        return self.known_pairs[compared]

    def _parts(self, compared: Compared) -> list[pd.DataFrame]:
        """The images of each source that an AUROC is a mean over."""
        if compared.scope == "closed":
            return [self.known[self.known["role"] == "test_closed"]]
        unseen = scopes.held_out_groups(self.known)
        means = scopes.means(unseen, self.novel)
        names = [compared.source] if compared.source else means.get(compared.scope, [])
        return [unseen[name] for name in names if name in unseen]

    def _pairs(self, group: pd.DataFrame, stratum: str) -> Pairs:
        positive, negative = (group.index[group["label"] == label].to_numpy() for label in (1, 0))
        counted = np.ones((len(positive), len(negative)), bool)
        if stratum != EVERY:
            kinds = STRATA[stratum]
            signs = [
                (self.marked[negative][None] == of_negative) & (self.marked[positive][:, None] == of_positive)
                for of_negative, of_positive in kinds
            ]
            counted = np.logical_or.reduce(signs)
        return Pairs(positive, negative, counted)

    def of(self, backbone: str, method: str, seeds: Sequence[int]) -> np.ndarray:
        """Scores (S, images) of a method's seeds, a row of NaN where one is missing."""
        rows = [self.rows.get((backbone, method, seed)) for seed in seeds]
        missing = np.full(self.scores.shape[1], np.nan)
        return np.stack([missing if row is None else self.scores[row] for row in rows])


class Plan(NamedTuple):
    """The draws of a data set, the seeds trained on each, and how both are resampled, with subjects."""

    draws: list[str]
    seeds: list[list[int]]
    resamples: Resamples


class Bootstrap:
    """Intervals by resampling draws, seeds within draws and, where scores are known, test subjects.

    Of units that say `scope`, `source` and `stratum` the images are resampled too; of those with a blank
    scope, of which nothing but one number was recorded, draws and seeds alone.
    """

    def __init__(self, scores: pd.DataFrame, stores: Mapping[str, Store], grid: Grid) -> None:
        self.grid = grid
        self.images = {
            str(draw): Images(rows, stores[str(draw)]) for draw, rows in scores.groupby("draw", sort=False)
        }
        self.plans: dict[Any, Plan] = {}  # the same one for all methods that were trained on the same draws
        self.found: dict[Any, np.ndarray] = {}  # a method's resampled AUROC on a draw

    def of(self, units: pd.DataFrame) -> Interval:
        """See `comparisons.Sampler`."""
        return self._interval(units, {"method": 1})

    def of_gains(self, units: pd.DataFrame) -> Interval:
        """See `comparisons.Sampler`."""
        gains = units.assign(value=units["value"] - units["value_other"])
        return self._interval(gains, {"method": 1, "other": -1})

    def _interval(self, units: pd.DataFrame, signs: Mapping[str, int]) -> Interval:
        if units.empty:
            return Interval(float("nan"), float("nan"), float("nan"))
        about = {name: units[name].iloc[0] for name in (*GROUP, *AT, "other") if name in units}
        draw_of, seed_of, value_of = (units[name].to_numpy() for name in ("draw", "seed", "value"))
        compared = Compared(about["scope"], about["source"], about["stratum"])
        plan = self._plan(about)
        values, resampled, by_subject = [], [], False
        for place, (draw, seeds) in enumerate(zip(plan.draws, plan.seeds, strict=True)):
            own = draw_of == draw
            known = dict(zip(seed_of[own], value_of[own], strict=True))
            values.append(np.array([known.get(seed, np.nan) for seed in seeds], float))
            pairs = self.images[draw].pairs(compared) if compared.scope and draw in self.images else []
            by_subject |= bool(pairs)
            if pairs:
                at = (plan, place, compared, pairs, about["backbone"], seeds)
                present = values[-1] == values[-1]
                parts = [sign * self._auroc(*at, str(about[name]), present) for name, sign in signs.items()]
                resampled.append(np.sum(parts, axis=0))
            else:
                resampled.append(plan.resamples.of_values(place, values[-1]))
        mean = mean_of_draws(values)
        if len(units) == 1 and not by_subject:  # nothing varies: its resamples would all be the same
            return Interval(mean, float("nan"), float("nan"))
        return interval(mean, plan.resamples.estimates(resampled), self.grid.confidence)

    def _plan(self, about: Mapping[str, Any]) -> Plan:
        """How the draws and seeds that a method is planned for are resampled; the same for equal ones."""
        place = tuple(about[name] for name in GROUP)
        if place in self.plans:
            return self.plans[place]
        rows = self.grid.rows
        own = rows[np.logical_and.reduce([rows[name] == about[name] for name in GROUP])]
        draws = tuple(dict.fromkeys(own["draw"]))
        seeds = [sorted(set(own.loc[own["draw"] == draw, "seed"])) for draw in draws]
        key = (draws, about["backbone"], str(seeds))
        if key not in self.plans:
            subjects = [self.images[draw].subjects if draw in self.images else NOBODY for draw in draws]
            resamples = Resamples([len(each) for each in seeds], subjects)
            self.plans[key] = Plan(list(draws), seeds, resamples)
        self.plans[place] = self.plans[key]
        return self.plans[place]

    def _auroc(
        self,
        plan: Plan,
        place: int,
        compared: Compared,
        pairs: list[Pairs],
        backbone: str,
        seeds: list[int],
        method: str,
        present: np.ndarray,
    ) -> np.ndarray:
        """A method's AUROC in every place that took a draw, over those of its seeds that are `present`."""
        images = self.images[plan.draws[place]]
        key = (id(plan), place, compared, backbone, method, present.tobytes())
        if key not in self.found:
            scores = images.of(backbone, method, seeds)
            scores[~present] = np.nan
            self.found[key] = plan.resamples.of_scores(place, scores, pairs)
        return self.found[key]
