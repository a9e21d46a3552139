"""The engine: what runs steps and keeps their results."""
