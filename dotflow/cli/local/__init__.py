"""The runs of this machine as dotflow-api would have them: read from run logs, written nowhere."""
