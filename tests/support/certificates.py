"""Certificates of an authority of the tests' own."""

from __future__ import annotations

import ssl


def certified(authority, *names):
    """What a server at these names speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
