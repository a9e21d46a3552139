"""The threads that carry reports: when they work, what they send, and who waits for them."""
