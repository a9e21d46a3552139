"""Makes records of dotflow-api from lines of the run log, and messages from records."""
