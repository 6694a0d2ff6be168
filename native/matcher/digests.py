"""The digests of a member index's pages: a tree of SHA-256, cut to 16 bytes, as in Linux fs-verity.

Every page after the header has its digest in the digest section; 256 digests fill a page, whose
own digest is in the level above, until a level is one page. The hash of that page, uncut, is the
root that the header keeps and the office signs. So a page can be checked when it is first used, at
the price of one more check for every 256 pages, and opening a file costs the same at any size.
"""

from collections.abc import Iterator
from hashlib import sha256

from native.matcher.header import PAGE_BYTES

DIGEST_BYTES = 16
DIGESTS_A_PAGE = PAGE_BYTES // DIGEST_BYTES


def page_digest(page: bytes | memoryview) -> bytes:
    return sha256(page).digest()[:DIGEST_BYTES]


def root_of(top: bytes | memoryview) -> bytes:
    """The root, from the page of the topmost level."""
    return sha256(top).digest()


def level_pages(pages: int) -> list[int]:
    """How many pages each level has for so many pages of content, lowest level first."""
    levels: list[int] = []
    while not levels or levels[-1] > 1:
        pages = -(-pages // DIGESTS_A_PAGE)
        levels.append(pages)
    return levels


def page_digests(content: memoryview) -> Iterator[bytes]:
    """The digest of each page of the content, which has whole pages."""
    for at in range(0, len(content), PAGE_BYTES):
        yield page_digest(content[at : at + PAGE_BYTES])


def tree_of(level: bytes) -> tuple[bytes, bytes]:
    """The digest section, and the root, from the digests of the content's pages."""
    section: list[bytes] = []
    while True:
        level += bytes(-len(level) % PAGE_BYTES)
        section.append(level)
        if len(level) == PAGE_BYTES:
            return b"".join(section), root_of(level)
        level = b"".join(page_digests(memoryview(level)))
