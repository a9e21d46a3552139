"""Tasks and workflows as JSON, for who reads `result()`."""
