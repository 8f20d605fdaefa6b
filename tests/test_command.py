"""The command `camdivide`: each command by its name, help with examples, a hint for a mistyped one."""

import re
import sys
from pathlib import Path

import pytest

from pipeline import __main__ as command

PACKAGE = Path(command.__file__).parent


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """The exit code of `camdivide <arguments>`, None without one."""
    monkeypatch.setattr(sys, "argv", ["camdivide", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        command.main()
    except SystemExit as left:
        return left.code
    return None


def test_every_file_that_runs_by_itself_is_a_command() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert set(command.EXAMPLES) == files - {"__main__"}
    assert all(example.split()[0] == name for name, example in command.EXAMPLES.items())


@pytest.mark.filterwarnings("ignore:'pipeline.*found in sys.modules")  # by other tests
@pytest.mark.parametrize("name", command.EXAMPLES)
def test_a_command_is_the_module_of_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, name, "--help") == 0
    assert f"usage: python -m pipeline.{name} " in capsys.readouterr().out


def test_help_says_what_each_command_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) is None
    first = capsys.readouterr().out
    assert run(monkeypatch, "--help") is None and capsys.readouterr().out == first
    for name, example in command.EXAMPLES.items():
        assert re.search(rf"^{name} +\w.*\n +camdivide {re.escape(example)}$", first, re.MULTILINE)


def test_a_mistyped_command_is_an_error_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "trian") == 2
    assert "no command 'trian': did you mean 'train'?" in capsys.readouterr().err


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") is None
    assert re.fullmatch(r"camdivide \d+\.\d+\.\d+\n", capsys.readouterr().out)
