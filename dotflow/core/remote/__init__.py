"""Steps on an executor of the user's: what goes there, what comes back, and who hears it."""
