"""What is counted and measured of runs, by OpenTelemetry's API; it follows from their facts."""
