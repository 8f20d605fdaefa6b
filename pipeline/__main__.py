"""The command `camdivide`: every stage and command of the package by its name.

camdivide <command> [arguments]      the same as `python -m pipeline.<command> [arguments]`
camdivide <command> --help           what it does and takes
"""

import ast
import importlib.metadata
import runpy
import sys
from pathlib import Path

from pipeline.common.errors import nearest

EXAMPLES = {
    "new": "new mine --images films --table films.csv",
    "repro": "repro real_sample",
    "phantoms": "phantoms",
    "prepare": "prepare cxr",
    "train": "train cxr iris",
    "evaluate": "evaluate",
    "identify": "identify",
    "robustness": "robustness iris",
    "report": "report",
    "track": "track",
    "predict": "predict --model runs/cxr/compact/transplant/0 images/ --out scores.csv --page looked.html",
    "annotate": "annotate export --model runs/cxr/compact/cyborg/0 --to label_studio --out tasks",
    "attack": "attack --model runs/iris/compact/cross_entropy/0 --attack hoax_both",
    "audit": "audit --model mine.py:network --data iris",
    "trace": "trace evidence 2 --to used.csv",
    "names": "names n3f29ab0c41d2e6b7 n90a1c2d3e4f50617.png",
    "verify": "verify",
    "completion": "completion bash > ~/.local/share/bash-completion/completions/camdivide",
}


def main() -> None:
    """Run a command; without one, say which there are."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"camdivide {importlib.metadata.version('camdivide')}")
    elif name in EXAMPLES:
        sys.path.insert(0, "")  # a workspace brings its own code, as with `python -m`
        sys.argv = [f"camdivide {name}", *arguments]
        runpy.run_module(f"pipeline.{name}", run_name="__main__", alter_sys=True)
    else:
        print(f"camdivide: error: no command {name!r}: {nearest(name, EXAMPLES)}", file=sys.stderr)
        sys.exit(2)


def _help() -> str:
    """Each command with the first line of what its file says, and an example."""
    lines = [(__doc__ or "").strip(), ""]
    for name, example in EXAMPLES.items():
        source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        about = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
        lines += [f"{name:12}{about}", f"{'':12}camdivide {example}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
