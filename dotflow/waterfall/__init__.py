"""Draws runs: pure functions on bars, of the standard library only."""
