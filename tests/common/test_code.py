"""Code as keys see it: what a function reaches counts, words do not."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.common.code import PACKAGE, code_hash, reached

MODULES = {
    "__init__": '"""A package."""\n',
    "top": """
        from pipeline import helpers
        from pipeline.helpers import Shape, twice as double

        START = 3

        def result(shape: Shape, times: int = START) -> int:
            '''Words.'''
            if times < 0:
                raise ValueError(f"{times} is negative")
            return double(shape.side) + helpers.offset() * times
        """,
    "helpers": """
        import math

        SCALE = 2
        UNUSED = 1

        class Shape:
            side: int = 4

            def area(self) -> int:
                return self.side**2

        def twice(value: int) -> float:
            return SCALE * math.floor(value)

        def offset():
            return 1

        def never_called():
            return UNUSED
        """,
}


@pytest.fixture
def hashed(tmp_path: Path):
    """The hash of `top.result` in a package of its own, after (module, old, new) edits."""

    def compute(*edits: tuple[str, str, str]) -> str:
        folder = tmp_path / "pipeline"
        (folder / "common").mkdir(parents=True, exist_ok=True)
        for name in ("code", "files"):
            (folder / "common" / f"{name}.py").write_text((PACKAGE / "common" / f"{name}.py").read_text())
        texts = {name: textwrap.dedent(text) for name, text in MODULES.items()}
        for module, old, new in edits:
            assert old in texts[module]
            texts[module] = texts[module].replace(old, new)
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)
        script = "from pipeline.common.code import code_hash; print(code_hash('pipeline.top:result'))"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    return compute


@pytest.mark.parametrize(
    "edit",
    [
        ("top", "'''Words.'''", "'''Other words.'''"),
        ("top", "START = 3", "START = 3  # why"),
        ("top", "is negative", "is below zero"),
        ("top", "times: int", "times: 'int | None'"),
        ("helpers", "return UNUSED", "return 2 * UNUSED"),
        ("helpers", "UNUSED = 1", "UNUSED = 5"),
        ("helpers", "def twice(value: int) -> float:", "def twice(value):\n    '''Twice.'''\n"),
    ],
)
def test_words_and_what_is_not_reached_do_not_count(hashed, edit: tuple[str, str, str]) -> None:
    assert hashed(edit) == hashed()


@pytest.mark.parametrize(
    "edit",
    [
        ("top", "START = 3", "START = 4"),
        ("top", "times < 0", "times <= 0"),
        ("top", "* times", "- times"),
        ("helpers", "SCALE = 2", "SCALE = 3"),
        ("helpers", "return 1", "return 2"),
        ("helpers", "side: int = 4", "side: int = 5"),  # a class that is only named in an annotation
        ("helpers", "return self.side**2", "return self.side"),
        ("helpers", "import math\n", "import math\n\nprint('runs on import')\n"),
    ],
)
def test_whatever_is_reached_counts(hashed, edit: tuple[str, str, str]) -> None:
    assert hashed(edit) != hashed()


def test_a_name_that_is_not_defined_is_an_error() -> None:
    with pytest.raises(KeyError, match="no such definition"):
        code_hash("pipeline.common.seeding:nothing")
    with pytest.raises(KeyError, match="no such module"):
        code_hash("pipeline.common.nowhere:nothing")


def test_a_stage_is_never_reached_by_what_it_runs() -> None:
    """Else a word on the command line would run a study again."""
    entries = ("training:fit", "evaluation:measure", "identification:measure", "under_attack:measure")
    for entry in entries:
        room = "model" if entry.startswith("training") else "measure"
        modules = {place.split(":")[0] for place in reached(f"pipeline.{room}.{entry}")}
        assert not {m for m in modules if m.count(".") == 1 and (PACKAGE / f"{m.split('.')[1]}.py").is_file()}
        assert not any(
            m.startswith(("pipeline.grid", "pipeline.present", "pipeline.common.cli")) for m in modules
        )
