"""The command line that all stages share: `python -m pipeline.<stage> [dataset ...] [--debug]`."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.common.config import load
from pipeline.common.errors import UserError, nearest

DVC_STAGE = "DVC_STAGE"  # where DVC tells a command which stage it is


def exit_with(work: Callable[[], None], *, debug: bool, name: str) -> None:
    """Run `work` and leave the process: 0 when done, 1 on expected mistakes, 130 on Ctrl-C."""
    try:
        work()
    except UserError as error:
        if debug:
            raise
        for problem in error.problems:
            print(printable(f"{name}: error: {problem}"), file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(f"{name}: error: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: stopped; finished work is kept", file=sys.stderr)
        sys.exit(130)


def printable(text: str) -> str:
    r"""A line for a terminal: what would steer it, such as in the name of a file, as `repr` has it.

    >>> printable("\x1b[31mred.png")
    '\\x1b[31mred.png'
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def run_stage(name: str, doc: str) -> None:
    """Entry point of a stage that works on all data sets at once."""
    args = stage_parser(name, doc).parse_args()
    stage = _stage(name)
    exit_with(lambda: stage(load(args.params)), debug=args.debug, name=name)


def run_dataset_stage(name: str, doc: str) -> None:
    """Entry point of a stage that works on data sets: those named by their keys in `params.yaml`, or all.

    Where DVC runs `<stage>@<data set>` it is that one. It is read from DVC's environment and stands in no
    command of `dvc.yaml`: a shell would run what a hostile key of `params.yaml` holds before it is checked.
    """
    args = dataset_stage_parser(name, doc).parse_args()
    stage = _stage(name)
    args.dataset = args.dataset or _asked_by_dvc()

    def work() -> None:
        params = load(args.params)
        unknown = [dataset for dataset in args.dataset if dataset not in params.datasets]
        if unknown:
            known = params.datasets
            raise UserError(
                [f"dataset {each!r} is not in {args.params}: {nearest(each, known)}" for each in unknown]
            )
        stage(params, *dict.fromkeys(args.dataset or params.datasets))

    exit_with(work, debug=args.debug, name=" ".join([name, *args.dataset]))


def _asked_by_dvc() -> list[str]:
    """The data set of the stage that DVC runs, `[<path>:]<stage>@<data set>`; none where it takes all."""
    name = os.environ.get(DVC_STAGE, "").rpartition(":")[2].partition("@")[2]
    return [name] if name else []


def _stage(name: str) -> Callable[..., None]:
    """The function of a stage, by its module's own name: worker processes cannot import `__main__`."""
    stage: Callable[..., None] = getattr(importlib.import_module(f"pipeline.{name}"), name)
    return stage


def stage_parser(name: str, doc: str) -> argparse.ArgumentParser:
    """The options that all stages have: --params and --debug."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def dataset_stage_parser(name: str, doc: str) -> argparse.ArgumentParser:
    """The same and the data sets to work on."""
    parser = stage_parser(name, doc)
    parser.add_argument("dataset", nargs="*", help="keys of `datasets` in params.yaml (default: all)")
    return parser
