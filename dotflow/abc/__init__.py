"""The contracts that a provider implements, one file a slot of `Config`."""
