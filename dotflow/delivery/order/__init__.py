"""Decides in which order calls go, within a run and from run to run."""
