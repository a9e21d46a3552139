"""The version of this release; pip, the user agents and the instrumentation scopes read it here."""

__version__ = "2.0.0.dev1"
