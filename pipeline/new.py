"""Settings for images of one's own: proposed from a table or from folders, asked for, written and audited.

    camdivide new mine --images films --table films.csv
    camdivide new mine --images films                       films/<label>/..., or films/<source>/<label>/...

Shows what it takes from the table, and asks only what that cannot tell. --columns, --positive and --held-out
answer beforehand; --yes takes what is proposed, and stops where there is no proposal. Leaves

    profiles/<name>.yaml      the settings, to be read and changed
    data/raw/<name>/          links to the images (copies from another disk), and images.csv

and shows the audit of `prepare`. `camdivide repro <name>` then runs the pipeline in workspaces/<name>/. What
is there already is left alone.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path

import joblib
import numpy as np

from pipeline.common import workspace
from pipeline.common.cli import exit_with
from pipeline.common.config import load
from pipeline.common.conversation import Conversation
from pipeline.common.data_settings import Prepare
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.common.paths import PREPARED
from pipeline.common.progress import duration
from pipeline.data import proposal, starter
from pipeline.data.collection import Collection, collect
from pipeline.data.deciding import Answers, decide_columns, decide_held_out, decide_labels, label_of
from pipeline.data.decoding import load_apart
from pipeline.data.listing import SPLITS, slug
from pipeline.data.placing import Entry, place, read_entries
from pipeline.data.problems import UnusableImage
from pipeline.data.recognising import recognise
from pipeline.grid.cells import cells

SECONDS = 0.35  # to train on one image on one core, with the network and size of `starter`
LOOKED_AT = 16  # images that are opened to see whether all are grey


def new(
    name: str, folder: Path, table: Path | None, maps: Path | None, answers: Answers, silent: bool
) -> None:
    """Propose, ask, write and audit; raises UserError before anything is written."""
    profile, place_of_data = refuse_existing(name)
    if table is None:
        refuse_published(folder)
    collection = collect(folder, table, maps)
    talk = Conversation(silent)
    columns = decide_columns(collection, answers, talk)
    entries = read_entries(collection, columns, maps, name)
    labels = decide_labels([entry.label for entry in entries], answers, talk)
    found = [label_of(entry.label, labels) for entry in entries]
    held_out = decide_held_out(entries, found, answers, talk)
    facts = gather(folder, entries, labels, held_out)
    for line in describe(collection, columns, entries, facts):
        print(line)
    if not talk.agrees("Write these settings?"):
        raise UserError("nothing was written; answer by --columns, --positive and --held-out")
    copied = place(place_of_data, folder, entries)
    head = f"Written by: camdivide new {shlex.join(sys.argv[1:])}"
    write_text(profile, starter.write_profile(name, facts, head))
    print(f"{place_of_data}: {len(entries)} images{f', {copied} files copied' if copied else ''}")
    audit(name)


def refuse_existing(name: str) -> tuple[Path, Path]:
    """The profile and the folder of data to be written; raises UserError where something is there already."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "phantoms":
        expected = "small letters, digits and _, a letter first, and not 'phantoms'"
        raise UserError(f"name {name!r}: expected {expected}")
    root = workspace.PROJECT
    profile, folder = root / "profiles" / f"{name}.yaml", root / "data" / "raw" / name
    there = [path for path in (profile, folder, root / "workspaces" / name) if path.exists()]
    if there:
        raise UserError([f"{path} is there already and stays as it is; take another name" for path in there])
    return profile, folder


def refuse_published(folder: Path) -> None:
    """Raise UserError for a published layout, whose adapter knows its labels, marks, patients and splits."""
    if adapter := recognise(folder):
        remedy = f"write `adapters: [{{name: {adapter}}}]` into a profile; docs/formats.md has it whole"
        raise UserError(
            f"{folder}: this is the published layout of {adapter}: {remedy}; --table passes it by"
        )


def gather(
    folder: Path, entries: Sequence[Entry], labels: Mapping[str, int], held_out: Sequence[str]
) -> starter.Facts:
    """All that settings need to know of a collection."""
    found = [label_of(entry.label, labels) for entry in entries]
    splits = [SPLITS.get(entry.split.casefold(), "") for entry in entries]
    some = np.linspace(0, len(entries) - 1, min(LOOKED_AT, len(entries))).astype(int)
    settings = load(workspace.PROJECT / "params.yaml").prepare
    return starter.Facts(
        labels=labels,
        protocol=proposal.protocol([entry.source for entry in entries], found, held_out),
        split_by=proposal.propose_split(splits, [entry.subject for entry in entries], found),
        channels=1 if all(is_grey(folder / entries[index].image, settings) for index in some) else 3,
        guided=starter.has_enough_maps(entries, found),
        pretrained=has_weights(),
    )


def is_grey(path: Path, settings: Prepare) -> bool:
    """Whether an image says the same in all its colours; also where it is none, which `prepare` will say."""
    limits = settings.model_dump(include={"max_megapixels", "max_megabytes", "dicom_frame"})
    try:
        pixels = load_apart(path, limits).pixels
    except UnusableImage:
        return True
    return pixels.ndim == 2 or float(np.ptp(pixels, axis=2).max()) < 0.02


def has_weights() -> bool:
    """Whether ImageNet's weights are there; a workspace has those of the project."""
    from pipeline.model import weights

    try:
        with chdir(workspace.PROJECT):
            weights.find(starter.BACKBONE, "imagenet")
    except UserError:
        return False
    return True


def describe(
    collection: Collection, columns: Mapping[str, str], entries: Sequence[Entry], facts: starter.Facts
) -> list[str]:
    """What is going to be written, fact by fact, and what must be known of it."""
    found = [label_of(entry.label, facts.labels) for entry in entries]
    counts = Counter(found)
    words = {label: [word for word, mine in facts.labels.items() if mine == label] for label in (0, 1)}
    told = {
        "image": f"{len(entries)} of {len(collection.images)} images in {collection.folder}",
        "label": "; ".join(
            f"{label}: {', '.join(words[label])} ({counts[label]} images)" for label in (0, 1)
        ),
        "source": _describe_sources(entries, facts),
        "subject": f"{len({entry.subject or entry.image for entry in entries})} subjects"
        + (
            "" if "subject" in columns else ", since each image counts as one: copies of a person stay unseen"
        ),
        "split": f"by {facts.split_by}" if facts.split_by == "subject" else "as the data say (native)",
        "map": f"{sum(entry.map is not None for entry in entries)} images; {_describe_methods(facts)}",
    }
    lines = [f"{collection.table}: {len(collection.rows)} rows"]
    lines += [f"  {fact:8} {columns.get(fact, '-'):16} {text}" for fact, text in told.items()]
    colours = "grey" if facts.channels == 1 else "colour"
    first = (
        "weights of ImageNet"
        if facts.pretrained
        else "no first weights, since those of ImageNet are not here"
    )
    return [*lines, f"  network  {starter.BACKBONE}, 224 px, {colours}, {first}"]


def _describe_sources(entries: Sequence[Entry], facts: starter.Facts) -> str:
    sizes = ", ".join(
        f"{source} {count}" for source, count in sorted(Counter(e.source for e in entries).items())
    )
    apart = {source for group in facts.protocol["held_out"].values() for source in group}
    held_out = sorted({entry.source for entry in entries if slug(entry.source) in apart})
    if not held_out:
        return f"{sizes}; none held out, so nothing is measured on unseen sources"
    return f"{sizes}; held out: {', '.join(held_out)}"


def _describe_methods(facts: starter.Facts) -> str:
    names = ", ".join(starter.GUIDED if facts.guided else starter.UNGUIDED)
    few = f"too few to guide (a label that has some needs {starter.FEWEST_MAPS}), so methods without: "
    return f"methods: {names}" if facts.guided else few + names


def audit(name: str) -> None:
    """Run `prepare` in the new workspace, which shows its audit; raises UserError if that stops."""
    folder = workspace.workspace(name)
    done = subprocess.run([sys.executable, "-m", "pipeline.prepare", name], cwd=folder, check=False)
    profile = f"profiles/{name}.yaml"
    if done.returncode:
        mend = f"mend {profile} or data/raw/{name}/, then run `camdivide repro {name}`"
        raise UserError(f"the settings are written, but the audit stopped, see above; {mend}")
    params = load(folder / "params.yaml")
    counts = json.loads((folder / PREPARED / name / "audit.json").read_text(encoding="utf-8"))["counts"]
    shown = params.train.epochs * sum(line["rows"] for line in counts if line["role"] == "train")
    count, cores = len(cells(params, name)), joblib.cpu_count()
    long = duration(count * shown * SECONDS / cores)
    print(f"\n{profile}: read it, and run `camdivide repro {name}`")
    print(f"{count} trainings: about {long} on the {cores} cores of this machine, far less on a GPU")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.new",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", help="of the settings to be written: small letters, digits and _")
    made.add_argument("--images", type=Path, required=True, help="folder of the images, searched in depth")
    made.add_argument("--table", type=Path, help="CSV with one row per image; commas, semicolons or tabs")
    made.add_argument(
        "--maps", type=Path, help="folder of grey maps of what people marked, named like the images"
    )
    made.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="FACT=COLUMN",
        help=f"which column tells what: {', '.join(proposal.FACTS)}; <fact>= for none. "
        "Without a table the columns are folder1, folder2, ...",
    )
    made.add_argument("--positive", nargs="+", metavar="LABEL", help="labels that are 1; all others are 0")
    made.add_argument(
        "--held-out", nargs="+", metavar="SOURCE", help="sources to test on alone; `none` for none"
    )
    made.add_argument("--yes", action="store_true", help="ask nothing: take what is proposed")
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    answers = Answers(args.columns, args.positive, args.held_out)
    exit_with(
        lambda: new(args.name, args.images, args.table, args.maps, answers, args.yes),
        debug=args.debug,
        name="new",
    )


if __name__ == "__main__":
    main()
