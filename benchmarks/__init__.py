"""What reporting costs: `python -m benchmarks` writes the figures of docs/performance.md."""
