"""Spans of anyone's that tell of runs: what they say, and the facts that follow from it."""
