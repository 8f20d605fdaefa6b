"""Where `dvc repro` runs: the project itself, or `workspaces/<profile>` with its own settings and results.

    python -m pipeline.common.workspace [profile]      checks the settings and prints that folder

A profile (`profiles/<name>.yaml`) says only what differs from `params.yaml`. Its workspace shares the code,
first weights and DVC's cache with the project, so no default result is overwritten. Git sees its settings and
lock alone, so that DVC can compare it with what was committed, and experiment in it.
"""

import argparse
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.common.cli import exit_with
from pipeline.common.config import load, parse
from pipeline.common.errors import UserError, nearest
from pipeline.common.files import write_text
from pipeline.common.folds import unfold
from pipeline.common.paths import PHANTOMS, WEIGHTS

PROJECT = Path(__file__).parents[2]
# A profile's axes, not a mixture with those of params.yaml.
REPLACED_WHOLE = {"datasets", "backbones", "methods", "tasks", "attacks"}
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
[cache]
    dir = ../../../.dvc/cache
"""


def project() -> Path:
    """The project's own folder, once its settings have been checked; raises UserError."""
    load(PROJECT / "params.yaml")
    return PROJECT


def workspace(profile: str) -> Path:
    """Create or refresh `workspaces/<profile>`; raises UserError listing what is wrong with the profile."""
    source = PROJECT / "profiles" / f"{profile}.yaml"
    if not source.is_file():
        known = [path.stem for path in (PROJECT / "profiles").glob("*.yaml")]
        raise UserError(f"profile {profile!r} is not in profiles/: {nearest(profile, known)}")
    settings = unfold(merge(_read(PROJECT / "params.yaml"), _expand(_read(source))))
    parse(settings, f"profiles/{profile}.yaml over params.yaml")
    folder = PROJECT / "workspaces" / profile
    for dataset in settings["datasets"].values():
        dataset["root"] = _root(dataset["root"], folder)

    write_text(folder / ".dvc" / "config", DVC_CONFIG)
    for name in (".dvcignore", "dvc.yaml"):
        write_text(folder / name, (PROJECT / name).read_text(encoding="utf-8"))
    write_text(folder / "params.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    (PROJECT / WEIGHTS).mkdir(parents=True, exist_ok=True)
    for shared in (Path("pipeline"), WEIGHTS):
        _link(folder, shared)
    return folder


def merge(base: Any, over: Any) -> Any:
    """Lay `over` on `base`, key by key; lists, scalars and the axes of the grid are replaced whole.

    >>> merge({"a": {"x": 1, "y": 2}, "methods": {"m": 1}}, {"a": {"y": 3}, "methods": {"n": 1}})
    {'a': {'x': 1, 'y': 3}, 'methods': {'n': 1}}
    """
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    merged = dict(base)
    for key, value in over.items():
        merged[key] = value if key in REPLACED_WHOLE else merge(base.get(key), value)
    return merged


def _link(folder: Path, shared: Path) -> None:
    """Let what lies at `shared` in the project be at the same place in a workspace."""
    place = folder / shared
    if not place.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(PROJECT / shared, place.parent))


def _read(path: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _expand(value: Any) -> Any:
    """Replace `${NAME:-default}` in strings by the environment variable NAME, or the default."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: os.environ.get(m[1]) or m[2], value)
    return value


def _root(root: str, folder: Path) -> str:
    """The place of data as seen from a workspace; phantoms are drawn in it, other roots are the project's.

    What is relative stays relative, so that settings and lock mean the same on another machine.
    """
    if Path(root).is_relative_to(PHANTOMS) or Path(root).is_absolute():
        return root
    return os.path.relpath(PROJECT / root, folder)


def main() -> None:
    """Print the folder in which `dvc repro` shall run."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.common.workspace", description=__doc__)
    parser.add_argument("profile", nargs="?", help="a file of profiles/, without .yaml")
    profile = parser.parse_args().profile
    exit_with(lambda: print(workspace(profile) if profile else project()), debug=False, name="settings")


if __name__ == "__main__":
    main()
