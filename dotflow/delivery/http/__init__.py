"""Calls to a server: each bounded in time and in what is read."""
