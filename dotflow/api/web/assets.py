"""The files that pages load: style, scripts, pictures. All are committed; none is built."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

FOLDER = Path(__file__).parent / "static"

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"


class Asset(NamedTuple):
    """A file as it is served."""

    content: bytes
    kind: str
    etag: str


class Assets:
    """The files of a folder, read once.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    @cached_property
    def files(self) -> dict[str, Asset]:
        """The files by their path below the folder."""
        found = (one for one in sorted(self._folder.rglob("*")) if one.suffix in _KINDS)
        return {one.relative_to(self._folder).as_posix(): _read(one) for one in found}

    @cached_property
    def digest(self) -> str:
        """One for all files: a module that imports its neighbour then gets the one it knows."""
        whole = hashlib.sha256()
        for name, file in self.files.items():
            whole.update(f"{name} {file.etag}\n".encode())
        return whole.hexdigest()[:12]


assets = Assets()
router = APIRouter(include_in_schema=False)


@router.get("/static/{digest}/{name:path}")
async def send(digest: str, name: str, request: Request) -> Response:
    """Answer with a file; one under the digest of now may be kept for good."""
    file = assets.files.get(name)
    if file is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    headers = {
        "Cache-Control": _FOR_GOOD if digest == assets.digest else _ASK_FIRST,
        "ETag": file.etag,
    }
    if request.headers.get("If-None-Match") == file.etag:
        return Response(None, 304, headers)
    return Response(file.content, 200, headers, media_type=file.kind)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, _KINDS[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
