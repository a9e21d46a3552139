"""Steps in child processes: the parent decides and reports; a child only runs steps."""
