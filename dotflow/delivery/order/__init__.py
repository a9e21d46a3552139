"""In which order calls go: who waits for whom, within a run and from run to run."""
