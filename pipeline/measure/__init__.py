"""What is measured of a trained cell: `measure(model, store, settings)` gives tables and arrays, no files.

Keys hash this room and what it reaches, so that words elsewhere never run a measurement again.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd


class Measurement(NamedTuple):
    """All that one measurement leaves of one cell."""

    tables: dict[str, pd.DataFrame]  # CSV file, without suffix -> its rows
    results: dict[str, float]  # the headlines, for the record
    arrays: dict[str, np.ndarray] | None = None  # for the one .npz file of the stage, if it has one
