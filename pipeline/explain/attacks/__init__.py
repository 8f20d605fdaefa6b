"""Ways to break an explanation, one file each; `pipeline.explain.victim` holds what they get and give."""
