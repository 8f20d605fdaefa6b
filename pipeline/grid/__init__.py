"""The grid of cells: which there are, where they run, what is on disk for each."""
