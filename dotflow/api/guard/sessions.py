"""Sessions of people: a signed cookie that ends by itself, and holds no token."""

import asyncio
import hashlib
import hmac
import secrets
import time
from functools import cached_property

from anyio import to_thread
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

from dotflow.api.limits import header
from dotflow.api.store import Store

SESSION = "dotflow.session"
"""Where a request's scope says that a session let it in."""

LIFETIME_SECONDS = 7 * 86400
WAIT_SECONDS = 1.0
"""How long the answer to a wrong token takes."""
MOST_WAITING = 10
"""Wrong tokens that wait at once: no more than these are tried in `WAIT_SECONDS`."""


class Sessions:
    """Makes sessions and knows its own.

    The key is derived from the token: sessions outlive a restart, several processes share them,
    and a new token ends them all. Those that people have ended are in the database.

    Args:
        token: The server's token.
        store: On the database that all processes of the server share.
    """

    def __init__(self, token: str, store: Store) -> None:
        self._token = token
        self._store = store
        self._waiting: set[asyncio.Task[None]] = set()

    @cached_property
    def _key(self) -> bytes:
        # Slow on purpose: whoever gets hold of a cookie learns no weak token from it.
        salt = b"dotflow-api session"
        return hashlib.scrypt(self._token.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)

    @cached_property
    def _name(self) -> str:
        # Cookies know no ports: two servers of one host with two tokens keep apart by this.
        return f"dotflow_{self._sign('name')[:8]}"

    @property
    def is_busy(self) -> bool:
        """Whether so many wrong tokens came just now that no other one is looked at."""
        return len(self._waiting) >= MOST_WAITING

    async def knows(self, offered: str) -> bool:
        """Says whether it is the token; a wrong one takes a second, also where nobody waits.

        Args:
            offered: What somebody takes for the token.
        """
        if hmac.compare_digest(offered.encode("utf-8", "replace"), self._token.encode()):
            return True
        # A task of its own: whoever hangs up has used up a try all the same.
        wait = asyncio.get_running_loop().create_task(asyncio.sleep(WAIT_SECONDS))
        self._waiting.add(wait)
        wait.add_done_callback(self._waiting.discard)
        await asyncio.shield(wait)
        return False

    def begin(self, scope: Scope, answer: Response) -> None:
        """Gives a browser a session with an answer.

        Args:
            scope: The request.
            answer: It.
        """
        content = f"{int(time.time()) + LIFETIME_SECONDS}.{secrets.token_hex(16)}"
        answer.set_cookie(
            self._name,
            f"{content}.{self._sign(content)}",
            max_age=LIFETIME_SECONDS,
            path=scope.get("root_path") or "/",
            secure=scope["scheme"] == "https",
            httponly=True,
            samesite="lax",
        )

    async def end(self, scope: Scope, answer: Response) -> None:
        """Takes the session away from a browser, and from whoever has copied it.

        Args:
            scope: The request.
            answer: What it is answered with.
        """
        session = self._session(scope)
        if session is not None:
            await to_thread.run_sync(self._end, session)
        answer.delete_cookie(self._name, path=scope.get("root_path") or "/", httponly=True)

    async def admits(self, scope: Scope) -> bool:
        """Whether a request has a session that is good.

        Args:
            scope: The request.
        """
        session = self._session(scope)
        if session is None:
            return False
        return not await to_thread.run_sync(self._store.has_ended, session)

    def _session(self, scope: Scope) -> str | None:
        """Gives the id of a session that we made and that has not run out."""
        content, _, signature = self._offered(scope).rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(content).encode()):
            return None
        expires, _, session = content.partition(".")
        return session if int(expires) > time.time() else None

    def _end(self, session: str) -> None:
        with self._store.writing() as writing:
            writing.end_session(session)

    def _offered(self, scope: Scope) -> str:
        given = header(scope, b"cookie")
        if b"dotflow_" not in given:
            return ""
        return cookie_parser(given.decode("latin-1")).get(self._name, "")

    def _sign(self, content: str) -> str:
        return hmac.digest(self._key, content.encode("utf-8", "replace"), "sha256").hex()
