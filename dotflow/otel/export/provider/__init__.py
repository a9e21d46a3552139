"""The tracer provider: the application's or ours, in every process that a run has."""
