"""Questions are asked until they are answered; in silence proposals are taken and the rest is listed."""

from collections.abc import Callable

import pytest

from pipeline.common.conversation import Conversation
from pipeline.common.errors import UserError

Type = Callable[..., list[str]]


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types the given answers, then nothing more; gives the questions as they were shown."""

    def prepare(*answers: str) -> list[str]:
        waiting, shown = list(answers), []

        def answer(question: str) -> str:
            shown.append(question)
            if not waiting:
                raise EOFError
            return waiting.pop(0)

        monkeypatch.setattr("builtins.input", answer)
        return shown

    return prepare


def test_an_empty_answer_is_the_proposal(types: Type) -> None:
    shown = types("", " b ")
    talk = Conversation(silent=False)
    assert talk.choose("Which?", ["a", "b"], "a", "--x") == ["a"]
    assert talk.choose("Which?", ["a", "b"], "a", "--x") == ["b"]
    assert shown[0] == "Which? (a, b) [a]: "


def test_a_wrong_answer_is_asked_again(types: Type, capsys: pytest.CaptureFixture[str]) -> None:
    shown = types("nroth", "", "north,south", "north")
    assert Conversation(silent=False).choose("Which?", ["north", "south"], "", "--x") == ["north"]
    assert len(shown) == 4
    assert "'nroth': did you mean 'north'?" in capsys.readouterr().out


def test_several_are_separated_by_commas(types: Type) -> None:
    types("a, c")
    assert Conversation(silent=False).choose("Which?", ["a", "b", "c"], "", "--x", most=2) == ["a", "c"]


def test_silence_takes_proposals_and_lists_what_has_none(types: Type) -> None:
    types()
    talk = Conversation(silent=True)
    assert talk.choose("Which?", ["a", "b"], "a", "--x") == ["a"]
    talk.finish()
    assert talk.choose("Who?", ["a", "b"], "", "--y") == []
    assert talk.choose("What?", ["c"], "", "--z") == []
    with pytest.raises(UserError) as error:
        talk.finish()
    (line,) = error.value.problems
    assert line == "could not decide: Who? (--y; one of: a, b); What? (--z; one of: c)"
    assert talk.agrees("Really?")


def test_agreement(types: Type) -> None:
    types("", "yes", "n")
    talk = Conversation(silent=False)
    assert [talk.agrees("Really?") for _ in range(3)] == [True, True, False]


def test_nobody_there_is_one_line(types: Type) -> None:
    types()
    with pytest.raises(UserError, match="nobody answers: Which"):
        Conversation(silent=False).choose("Which?", ["a"], "a", "--x")
