"""Tell on this machine who or what is behind pseudonyms: the name, and where its image lies.

    python -m pipeline.names n3f29ab0c41d2e6b7 n90a1c2d3e4f50617.png
    python -m pipeline.names --text data/prepared/mine/quarantine.csv      the file, with names in it

Pseudonyms stand in tables, pages and messages instead of ids, subjects and files (`prepare.pseudonyms`). The
names lie in data/names/, which is never shared: what this command prints is for the owner of the data alone.
"""

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.common.cli import exit_with
from pipeline.common.config import Params, load
from pipeline.common.errors import UserError
from pipeline.common.paths import NAMES
from pipeline.common.spreadsheet import as_text
from pipeline.data.pseudonyms import PSEUDONYM, read

Tables = Mapping[str, Mapping[str, tuple[str, str]]]  # data set -> what `read` gives


def tell(params: Params, asked: Sequence[str]) -> None:
    """Print what each pseudonym stands for; raises UserError listing those that no table has."""
    tables, unknown = _tables(), []
    for each in asked:
        found = [(dataset, *table[each]) for dataset, table in tables.items() if each in table]
        for dataset, name, file in found:
            print("  ".join(filter(None, (each, dataset, name, _place(params, dataset, file or name)))))
        if not found:
            unknown.append(f"{each!r}: no name in {NAMES}; expected a whole pseudonym, such as in scores.csv")
    if not asked:
        unknown = ["name a pseudonym, such as n3f29ab0c41d2e6b7, or a file with --text"]
    if unknown:
        raise UserError(unknown)


def reveal(text: str) -> str:
    """A text with names in place of all pseudonyms that are known here; raises UserError if none are."""
    return _reveal(_names(), text)


def reveal_csv(text: str) -> str:
    """The same of a CSV file: a name with a comma stays in its cell, and none becomes a formula."""
    known, written = _names(), io.StringIO()
    rows = csv.reader(io.StringIO(text))
    csv.writer(written, lineterminator="\n").writerows(
        [_reveal(known, cell, as_text) for cell in row] for row in rows
    )
    return written.getvalue()


def _reveal(known: Mapping[str, str], text: str, shown: Callable[[str], str] = str) -> str:
    """`shown` makes what is printed of a text in which there were pseudonyms."""
    told = PSEUDONYM.sub(lambda found: known.get(found[0], found[0]), text)
    return text if told == text else shown(told)


def _names() -> dict[str, str]:
    return {each: name for table in _tables().values() for each, (name, _) in table.items()}


def _tables() -> Tables:
    tables = {path.stem: read(path) for path in sorted(NAMES.glob("*.csv"))}
    if not tables:
        raise UserError(f"{NAMES}: no table of names here; ask where these data were prepared")
    return tables


def _place(params: Params, dataset: str, file: str) -> str:
    """Where a file of a data set lies, if it does."""
    if dataset not in params.datasets:
        return ""
    path = Path(params.datasets[dataset].root) / file
    return str(path) if path.exists() else ""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.names",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("pseudonym", nargs="*", help="as it stands in a table, on a page or in a message")
    made.add_argument("--text", type=Path, metavar="FILE", help="print this file with names in it")
    made.add_argument("--debug", action="store_true", help="show tracebacks of expected mistakes")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()

    def work() -> None:
        if args.text:
            put_names = reveal_csv if args.text.suffix == ".csv" else reveal
            print(put_names(args.text.read_text(encoding="utf-8")), end="")
        if args.pseudonym or not args.text:
            tell(load(), args.pseudonym)

    exit_with(work, debug=args.debug, name="names")


if __name__ == "__main__":
    main()
