"""Text that someone else wrote, in the cells of a CSV file: a spreadsheet shall show it and run nothing.

Programs take a cell that begins with one of FORMULA for a formula (OWASP, CSV injection).
"""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
QUOTE = "'"  # before a text, which programs then take as it is


def as_text(cell: str) -> str:
    """The cell for a text, which `from_text` gives back.

    >>> as_text("=1+1"), as_text("site_a"), from_text(as_text("'=1"))
    ("'=1+1", 'site_a', "'=1")
    """
    return QUOTE + cell if cell.startswith((*FORMULA, QUOTE)) else cell


def from_text(cell: str) -> str:
    """The text of a cell that `as_text` wrote."""
    return cell.removeprefix(QUOTE)


def as_path(path: str) -> str:
    """The same path, with `./` before it where a program would take it for a formula.

    >>> as_path("=1.png"), as_path("a/b.png")
    ('./=1.png', 'a/b.png')
    """
    return f"./{path}" if path.startswith(FORMULA) else path
