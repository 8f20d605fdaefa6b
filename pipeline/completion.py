"""Completion of `camdivide` by the Tab key: prints a script for bash or zsh.

    bash    camdivide completion bash > ~/.local/share/bash-completion/completions/camdivide
            with the package bash-completion; without it, into a file that ~/.bashrc reads by `source`
    zsh     camdivide completion zsh > ~/.zfunc/_camdivide
            with `fpath+=~/.zfunc; autoload -U compinit; compinit` in ~/.zshrc

It knows commands and options, and finds in the folder where it is asked: profiles, data sets and attacks of
params.yaml, trainings in runs/ and workspaces/*/runs/. The shell must find `camdivide`: put .venv/bin on its
PATH. Print the script again after an update.
"""

import argparse
import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.cli import dataset_stage_parser, exit_with, stage_parser

SHELLS = ("bash", "zsh")
STAGES = ("phantoms", "report", "track")
DATASET_STAGES = ("prepare", "train", "evaluate", "identify", "robustness")
FILES = ("file", "inputs", "params", "out", "page", "table", "text", "to", "weights")
FOLDERS = ("overlays", "images", "maps")
KEYS = r"s/^{indent}\([a-z0-9_]*\):.*/\1/p' params.yaml"
DATASETS = "sed -n '/^datasets:/,/^[a-z]*:/" + KEYS.format(indent="  ")
WORDS = {  # argument -> what lists its values in the shell
    "profile": r"ls profiles | sed -n 's/\.yaml$//p'",
    "report_table": r"ls reports/tables | sed -n 's/\.csv$//p'",
    "dataset": DATASETS,
    "data": DATASETS,
    "model": "ls -d runs/*/*/*/*/ workspaces/*/runs/*/*/*/*/",
    "attack": "sed -n '/^  attacks:/,/^[a-z]*:/" + KEYS.format(indent="    "),
}


def script(shell: str) -> str:
    """The script that makes a shell complete `camdivide`."""
    import shtab

    whole = argparse.ArgumentParser(prog="camdivide")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        about, *_ = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")
        command = commands.add_parser(path.stem, parents=[_parser(path.stem)], add_help=False, help=about)
        for action in _options(command):
            if action.dest in WORDS:
                action.complete = _listing(action.dest)  # type: ignore[attr-defined]
            elif action.dest in FILES + FOLDERS:
                action.complete = shtab.FILE if action.dest in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]
    return str(shtab.complete(whole, shell=shell))


def _options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """What a command takes, and what its sub-commands take."""
    for action in command._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from _options(part)


def _parser(name: str) -> argparse.ArgumentParser:
    """The command line of a command."""
    if name in DATASET_STAGES:
        return dataset_stage_parser(name, "")
    if name in STAGES:
        return stage_parser(name, "")
    made: argparse.ArgumentParser = importlib.import_module(f"pipeline.{name}").parser()
    return made


def _listing(argument: str) -> dict[str, object]:
    """What shtab needs to complete an argument by what a command prints, one word per line."""
    function, found = f"_camdivide_{argument}", f'"$({{ {WORDS[argument]}; }} 2>/dev/null)"'
    return {
        "bash": function,
        "zsh": function,
        "preamble": {
            "bash": f'{function}() {{ compgen -W {found} -- "$1"; }}',
            "zsh": f"{function}() {{ compadd -- ${{(f){found}}}; }}",
        },
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.completion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("shell", choices=SHELLS)
    return made


def main() -> None:
    """Command line."""
    shell = parser().parse_args().shell
    exit_with(lambda: print(script(shell)), debug=False, name="completion")


if __name__ == "__main__":
    main()
