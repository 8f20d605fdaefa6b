"""The stages as a drawing that fits a laptop: `make dag`.

    python -m pipeline.common.stages      in the project, or in a workspace

`dvc dag` draws a line for everything that a stage reads. Here a line is left out where others lead the same
way: what `report` needs of `phantoms`, it has by way of the stages between them.
"""

from pathlib import Path


def drawing(folder: Path) -> str:
    """The stages of the DVC project in a folder as text, each below what it needs."""
    import networkx
    from dvc.dagascii import draw
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        needs = [(stage.addressing, needed.addressing) for stage, needed in repo.index.graph.edges]
    shown = networkx.transitive_reduction(networkx.DiGraph(sorted(needs)))
    text: str = draw(list(shown.nodes), list(shown.edges))
    return "\n".join(line.rstrip() for line in text.splitlines())


if __name__ == "__main__":
    print(drawing(Path.cwd()))
