"""`make bench`: ratios against peers, measured side by side in one run, since machines differ."""
