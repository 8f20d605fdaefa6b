"""Data sets: from published folders to prepared stores, and what the rest of the package reads of them."""
