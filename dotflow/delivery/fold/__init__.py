"""What the run log says, as records of dotflow-api and the calls about them: pure functions."""
