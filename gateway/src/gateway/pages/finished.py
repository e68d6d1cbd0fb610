"""An answer that never changes while the process runs: served from memory, compressed once, known by its ETag."""

import gzip
import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import blake2b, sha256

from fastapi import Request, Response

from gateway.http_cache import accepts_gzip, matches_etag
from gateway.wire import incoming_of

CACHE_CONTROL = "public, max-age=300"
COMPRESSION_LEVEL = 9

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


@dataclass(slots=True)
class FinishedPage:
    """A page, its compressed twin and its headers."""

    text: str
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)
    _plain: bytes = field(init=False)
    _packed: bytes = field(init=False)
    _etags: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Compute what every answer shares."""
        self._plain = self.text.encode()
        self._packed = gzip.compress(self._plain, COMPRESSION_LEVEL, mtime=0)
        digest = blake2b(self._plain, digest_size=12).hexdigest()
        self._etags = f'"{digest}"', f'"{digest}-gzip"'

    def answer(self, request: Request) -> Response:
        """Return the page as this client reads it, or 304 when it has it."""
        asked = incoming_of(request.scope).headers
        is_packed = accepts_gzip(asked)
        etag = self._etags[is_packed]
        headers = {**self.headers, "Cache-Control": CACHE_CONTROL, "ETag": etag, "Vary": "Accept-Encoding"}
        if matches_etag(asked, etag.encode()):
            return Response(status_code=304, headers=headers)
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return Response(self._packed if is_packed else self._plain, headers=headers, media_type=self.media_type)


def html_page(text: str) -> FinishedPage:
    """Return an HTML page that may run and wear what is written in it, and load nothing from anywhere else."""
    return FinishedPage(text, "text/html", {"Content-Security-Policy": policy_of(text)})


def policy_of(text: str) -> str:
    """Return the content security policy of a page: its own scripts and styles, by their hashes."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for element, content in _INLINE.findall(text):
        hashes[element].append(f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'")
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; script-src {' '.join(hashes['script'])}; "
        f"style-src {' '.join(hashes['style'])}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
