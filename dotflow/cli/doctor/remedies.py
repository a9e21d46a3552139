"""What a person can do about a destination that takes nothing."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from dotflow.otel.export.otlp.mistakes import NOT_TLS, is_about_tls


class Place(NamedTuple):
    """Where a destination is, and what says so.

    Attributes:
        url: Its address.
        variable: What names the address: a variable, or an argument.
        token: What names whom it is asked by.
        certificates: The variable of the file with the authorities that are trusted.
    """

    url: str
    variable: str
    token: str
    certificates: str = "REQUESTS_CA_BUNDLE"

    @property
    def host(self) -> str:
        """The host's name."""
        return urlsplit(self.url if "//" in self.url else f"//{self.url}").hostname or self.url

    @property
    def proxy(self) -> str:
        """The proxy that calls go through, without its credentials; empty without one."""
        if "//" not in self.url:
            return ""
        found = select_proxy(self.url, get_environ_proxies(self.url, no_proxy=None))
        if not found:
            return ""
        parts = urlsplit(found if "//" in found else f"//{found}")
        return f"{parts.scheme or 'http'}://{parts.netloc.rpartition('@')[2]}"


_UNREACHED = re.compile(r"could not be reached|proxy|^40[37] |^50[234] |answers 40[37]|broke off")


def advice(why: str, place: Place) -> str:
    """What to do about a failure whose own words name no remedy."""
    found = _advice(why, place)
    proxy = place.proxy
    if proxy and _UNREACHED.search(why):
        return (
            f"calls go through the proxy {proxy}: see whether it runs and lets them through, mend "
            f"HTTP_PROXY or HTTPS_PROXY, or name {place.host} in NO_PROXY; else {found}"
        )
    return found


def _advice(why: str, place: Place) -> str:
    if is_about_tls(why.encode()):
        return f"write https:// in {place.variable}"
    for pattern, words in _ADVICE:
        if re.search(pattern, why):
            return words.format(place=place)
    return f"see whether {place.variable} is its address"


_ADVICE = (
    ("refused$", "start what is to listen there, or write its host and port in {place.variable}"),
    (
        "no such host|does not resolve",
        "write a name in {place.variable} that this machine can look up",
    ),
    ("certificate", "{place.certificates} names the file of its authority's"),
    (
        "|".join(sorted(NOT_TLS)),
        "the server does not speak TLS there: write http:// in {place.variable}",
    ),
    ("TLS", "see whether it speaks TLS there, and which versions of it"),
    ("^40[13] ", "set {place.token} to one that it takes"),
    ("^40[45] ", "{place.variable} must be the address before /workflows"),
    ("no dotflow-api's", "see whether {place.variable} is its address"),
    (
        r"in time|within",
        "see whether {place.host} is up, and a firewall lets it be reached from here",
    ),
    (
        "broke off|closed the connection",
        "see whether {place.variable} is its address, with https:// where it speaks TLS",
    ),
    (r"^(answers )?(429|5\d\d)", "the server has a fault, or too much to do: see its log"),
)
"""By what is said of a failure, the first that fits."""
