"""What waits to leave by OTLP, of this process and of others, and the thread that sends it."""
