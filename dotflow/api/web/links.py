"""The addresses of pages: every link is made here, so that all of them stand below the prefix."""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from typing_extensions import Self

from dotflow.api.web.assets import assets


class Links:
    """Makes the addresses of pages; an id or a name in them may hold anything.

    Args:
        prefix: The path below which a proxy serves us, as `/dotflow`; "" for none.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix.rstrip("/")

    @classmethod
    def of(cls, request: Request) -> Self:
        """Gives the links of a request's answer."""
        return cls(request.scope.get("root_path", ""))

    def runs(self, **filters: object) -> str:
        """The list of runs, with those filters that are given: a list stands for several."""
        return self._path("/", filters)

    def run(self, workflow_id: str, **options: object) -> str:
        """The page of a run."""
        return self._path(f"/runs/{_part(workflow_id)}", options)

    def rows(self, workflow_id: str, **options: object) -> str:
        """The rows of a run's waterfall, as JSON."""
        return self._path(f"/runs/{_part(workflow_id)}/rows", options)

    def task(self, workflow_id: str, task_id: int, **options: object) -> str:
        """The page of a task."""
        return self._path(f"/runs/{_part(workflow_id)}/tasks/{task_id}", options)

    def workflows(self) -> str:
        """The workflows that ran lately."""
        return self._path("/trends")

    def trends(self, name: str, **options: object) -> str:
        """How the last runs of a workflow went."""
        # Browsers take a part that is only dots for a folder: its runs are listed then.
        if name in {".", ".."}:
            return self.runs(name=name)
        return self._path(f"/trends/{_part(name)}", options)

    def events(self, workflow_id: str | None = None) -> str:
        """Where it is told that runs, or this one, have changed."""
        return self._path("/events", {"workflow_id": workflow_id})

    def static(self, name: str) -> str:
        """A file of ours, at an address that changes with what is in it."""
        return self._path(f"/static/{assets.digest}/{quote(name)}")

    def docs(self) -> str:
        """The description of the API."""
        return self._path("/docs")

    def login(self, after: str | None = None) -> str:
        """Where to log in, and where to go from there."""
        return self._path("/login", {"next": after})

    def logout(self) -> str:
        """Where to log out."""
        return self._path("/logout")

    def _path(self, path: str, query: dict[str, object] | None = None) -> str:
        given = {key: one for key, one in (query or {}).items() if one not in (None, "", [], ())}
        asked = "?" + urlencode(given, doseq=True, errors="replace") if given else ""
        return self.prefix + path + asked


def _part(text: str) -> str:
    """One part of a path, slashes and percent signs too; `decode_part` reads it."""
    return quote(text, safe="", errors="replace")
