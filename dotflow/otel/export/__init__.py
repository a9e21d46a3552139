"""How spans leave: the tracer provider, its processors, and OTLP."""
