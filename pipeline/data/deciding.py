"""What is decided of someone's collection: by answers given beforehand, by proposals, or by asking."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.common.conversation import Conversation
from pipeline.common.errors import UserError, nearest
from pipeline.data import proposal
from pipeline.data.collection import Collection, located
from pipeline.data.placing import Entry

QUESTIONS = {  # fact -> what is asked where no column looks like it
    "image": "Which column names the files?",
    "label": "Which column tells the label?",
    "source": "Which column tells where an image comes from (site, data set, generator)?",
    "subject": "Which column tells whose image it is (patient, person)?",
}
NEEDED = ("image", "label")
NONE = "none"


class Answers(NamedTuple):
    """What was said on the command line; None: nothing."""

    columns: Sequence[str]  # <fact>=<column>, or <fact>= for none
    positive: Sequence[str] | None
    held_out: Sequence[str] | None


def decide_columns(collection: Collection, answers: Answers, talk: Conversation) -> dict[str, str]:
    """Which column tells which fact; raises UserError for answers that do not fit, and for absent images."""
    given = _read_columns(answers.columns, collection)
    proposed = {
        fact: column
        for fact, column in proposal.propose_columns(collection).items()
        if fact not in given and column not in given.values()
    }
    columns = proposed | given
    for fact, question in QUESTIONS.items():
        free = [column for column in collection.columns if column not in columns.values()]
        if fact not in columns and (free or fact in NEEDED):
            choices, likely = (free, "") if fact in NEEDED else ([*free, NONE], NONE)
            columns[fact] = "".join(talk.choose(question, choices, likely, f"--columns {fact}=..."))
        if fact == "image" and columns[fact]:
            located(collection, columns[fact])  # before anything else is asked
    talk.finish()
    return {fact: column for fact, column in columns.items() if column not in ("", NONE)}


def _read_columns(given: Iterable[str], collection: Collection) -> dict[str, str]:
    columns: dict[str, str] = {}
    problems = []
    for text in given:
        fact, equals, column = text.partition("=")
        if not equals or fact not in proposal.FACTS:
            known = nearest(fact, proposal.FACTS)
            problems.append(f"--columns {text!r}: expected <fact>=<column>, the fact {known}")
        elif column and column not in collection.columns:
            problems.append(f"--columns {text!r}: no such column: {nearest(column, collection.columns)}")
        elif not column and fact in NEEDED:
            problems.append(f"--columns {text!r}: {fact} needs a column")
        columns[fact] = column
    if problems:
        raise UserError(problems)
    return columns


def decide_labels(cells: Sequence[str], answers: Answers, talk: Conversation) -> dict[str, int]:
    """0 or 1 for every word of a column of labels. Raises UserError unless both occur."""
    words = proposal.label_words(cells)
    if len(words) < 2:
        raise UserError(f"all images have the label {words[0]!r}; expected both kinds, label 0 and label 1")
    if answers.positive is None and (labels := proposal.propose_labels(words)):
        return labels
    positive = answers.positive
    if positive is None:
        if len(words) > proposal.MOST_LABELS:
            came = f"{len(words)} different words, such as {words[0]!r}"
            raise UserError(f"the column of labels has {came}; name another by --columns label=...")
        likely = "" if talk.silent else ",".join(proposal.likely_positive(words))
        question = "Which labels are 1 (abnormal, attack, synthetic)?"
        positive = talk.choose(question, words, likely, "--positive ...", most=len(words) - 1)
        talk.finish()
    known = {word.casefold(): word for word in words}
    chosen = {word.casefold() for word in positive}
    if unknown := [word for word in positive if word.casefold() not in known]:
        raise UserError([f"--positive {word!r}: no such label: {nearest(word, words)}" for word in unknown])
    if len(chosen) == len(words):
        raise UserError(f"--positive names all labels ({', '.join(words)}); at least one must be 0")
    return {word: int(folded in chosen) for folded, word in known.items()}


def label_of(cell: str, labels: Mapping[str, int]) -> int:
    """The label of one image: of several words joined by a bar, one that is 1 makes it 1.

    >>> label_of("Mass | no finding", {"mass": 1, "No Finding": 0})
    1
    """
    meaning = {word.casefold(): label for word, label in labels.items()}
    return max(meaning[word.strip().casefold()] for word in cell.split("|") if word.strip())


def decide_held_out(
    entries: Sequence[Entry], labels: Sequence[int], answers: Answers, talk: Conversation
) -> list[str]:
    """Sources that training shall not see; raises UserError if too little is left to train or to test."""
    sources = [entry.source for entry in entries]
    known = sorted(set(sources))
    if answers.held_out is not None:
        held_out = list(answers.held_out)
    else:
        subjects = [entry.subject or entry.image for entry in entries]
        held_out = proposal.propose_held_out(sources, labels, subjects)
        if len(known) > 1:
            question = "Which sources shall training not see, to test on them?"
            likely = ",".join(held_out) or NONE
            held_out = talk.choose(question, [*known, NONE], likely, "--held-out ...", most=len(known))
    held_out = [source for source in held_out if source != NONE]
    if unknown := [source for source in held_out if source not in known]:
        raise UserError([f"--held-out {each!r}: no such source: {nearest(each, known)}" for each in unknown])
    if held_out and not any(
        label and source in held_out for source, label in zip(sources, labels, strict=True)
    ):
        raise UserError(
            f"{', '.join(held_out)}: held out, but without an image of label 1; hold out others, or none"
        )
    _refuse_few_subjects(entries, labels, held_out)
    return held_out


def _refuse_few_subjects(entries: Sequence[Entry], labels: Sequence[int], held_out: Sequence[str]) -> None:
    """Raises UserError for each label that known sources cannot give to training, validation and test."""
    problems = []
    for wanted in (0, 1):
        subjects = {
            entry.subject or entry.image
            for entry, label in zip(entries, labels, strict=True)
            if label == wanted and entry.source not in held_out
        }
        if len(subjects) < proposal.SPARE:
            apart = f" besides {', '.join(held_out)}, which are held out" if held_out else ""
            came = f"images of {len(subjects)} subjects{apart}"
            problems.append(f"label {wanted}: {came}; training, validation and test need one each")
    if problems:
        raise UserError(problems)
