"""The runs of this machine, as the run logs and the history tell of them.

Nothing is sent, and nothing is changed: what goes on is read while it is written.
"""
