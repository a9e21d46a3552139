"""Steps on an executor's workers: what is noted there, and how it comes to who reports."""
