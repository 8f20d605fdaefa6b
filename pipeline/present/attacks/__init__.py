"""Tables of attacks: one file per table; an attack declares by its TABLE which of them shows it.

All are of test images of known sources. Values come per cell and attack as the stage `robustness` wrote them;
an attack that is planned for a cell and has no record of its present training lowers `n`.
"""
