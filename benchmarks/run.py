"""Measure everything and write benchmarks/results.md, or results-cuda.md where there is a GPU."""

import platform
from pathlib import Path

import torch

from benchmarks import data, maps, steps
from pipeline.common.files import write_text

FOLDER = Path(__file__).parent
NOTE = """\
Written by `make bench`. Ratios of contestants that took turns in one run: the median over rounds of paired
ratios. Batch {batch}; {sides}; {precision}; {device}; torch {torch}. Our steps have the memory layout of
`train`, channels last; the published CYBORG step has the default one where nothing else is said.

| what | measured | target | met |
|---|---|---|---|
"""


def main() -> None:
    """Run all comparisons on the best device at hand."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rounds = 20 if device == "cuda" else 5
    found = steps.rows(device, rounds) + maps.rows(device, rounds) + data.rows()
    lines = ["| " + " | ".join(row) + " |" for row in found]
    about = NOTE.format(
        batch=steps.BATCH,
        sides=", ".join(f"{backbone} {side} px" for backbone, side in steps.SIDES.items()),
        precision="bfloat16 autocast" if device == "cuda" else "float32",
        device=torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        torch=torch.__version__,
    )
    name = "results-cuda.md" if device == "cuda" else "results.md"
    write_text(FOLDER / name, "# Benchmarks\n\n" + about + "\n".join(lines) + "\n")
    print((FOLDER / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
