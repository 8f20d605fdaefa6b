"""Questions on the terminal, or the list of what nobody was there to answer."""

from collections.abc import Sequence

from pipeline.common.errors import UserError, nearest


class Conversation:
    """Asks; if it is to be silent, takes what is proposed and remembers what had no proposal."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent
        self.undecided: list[str] = []

    def choose(
        self, question: str, choices: Sequence[str], proposal: str, option: str, *, most: int = 1
    ) -> list[str]:
        """Up to `most` of the choices, which an answer separates by commas; an empty answer is the proposal.

        proposal: blank if there is none. option: how to answer on the command line.

        Raises UserError if nobody answers.
        """
        if self.silent:
            if not proposal:
                self.undecided.append(f"{question} ({option}; one of: {', '.join(choices)})")
            return _split(proposal)
        shown = f"{question} ({', '.join(choices)})" + (f" [{proposal}]" if proposal else "")
        while True:
            given = _split(_ask(shown) or proposal)
            unknown = [each for each in given if each not in choices]
            if 0 < len(given) <= most and not unknown:
                return given
            hints = [f"{each!r}: {nearest(each, choices)}" for each in unknown]
            print("; ".join(hints) or f"expected {'one' if most == 1 else 'some'} of: {', '.join(choices)}")

    def agrees(self, question: str) -> bool:
        """Whether the answer is yes, which is the proposal. Raises UserError if nobody answers."""
        return self.silent or _ask(f"{question} [yes]").casefold() in ("", "y", "yes")

    def finish(self) -> None:
        """Raises UserError with everything that had no proposal."""
        if self.undecided:
            raise UserError(f"could not decide: {'; '.join(self.undecided)}")


def _ask(question: str) -> str:
    try:
        return input(f"{question}: ").strip()
    except EOFError:
        raise UserError(f"nobody answers: {question}; run it in a terminal, or answer by options") from None


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
