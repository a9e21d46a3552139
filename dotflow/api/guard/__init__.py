"""Decides who is let in, by what a request's head says: no body is read, no thread is taken."""
