"""The files a browser loads: our style and script, and Plotly's script from its package."""

import gzip
import re
from base64 import b64encode
from functools import cache
from hashlib import blake2b, sha256
from importlib.resources import files
from typing import NamedTuple

_STYLE_TEXT = re.compile(r"\.textContent='((?:[^'\\]|\\.)*)',document\.head\.appendChild\(")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
CSS, JS = "text/css", "text/javascript"
_SOURCES = {
    "klantreis.css": ("sync_server.dashboard", "static/klantreis.css", CSS),
    "figures.js": ("sync_server.dashboard", "static/figures.js", JS),
    "plotly.js": ("plotly", "package_data/plotly.min.js", JS),
}


class Asset(NamedTuple):
    """A file as it is served. `tag` changes with its content."""

    plain: bytes
    media_type: str
    tag: str


@cache
def asset(name: str) -> Asset | None:
    """The file of that name; None when there is none. Read once."""
    if name not in _SOURCES:
        return None
    package, path, media_type = _SOURCES[name]
    plain = files(package).joinpath(path).read_bytes()
    tag = blake2b(plain, digest_size=8).hexdigest()
    return Asset(plain, media_type, tag)


@cache
def gzipped(found: Asset) -> bytes:
    """The file compressed: once, when it is first asked for, as a command never does."""
    return gzip.compress(found.plain, mtime=0)


def asset_url(name: str) -> str:
    """Where a page finds the file; a new content has a new address, so it may be kept for long."""
    found = asset(name)
    assert found is not None, name
    return f"/static/{name}?{found.tag}"


@cache
def style_hashes() -> tuple[str, ...]:
    """The style elements that Plotly's script makes, as sources of a Content-Security-Policy.

    One without text, which it fills rule by rule, and the style of its maps, which we do not use
    but which it adds when it is loaded. (CSP Level 3, section 2.3.1)
    """
    script = asset("plotly.js")
    assert script is not None
    texts = ["", *_STYLE_TEXT.findall(script.plain.decode())]
    return tuple(
        f"'sha256-{b64encode(sha256(_ESCAPE.sub(_escaped, text).encode()).digest()).decode()}'"
        for text in texts
    )


def _escaped(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1])
