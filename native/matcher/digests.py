"""The digests of a member index's pages: a tree of SHA-256, cut to 16 bytes, as in Linux fs-verity.

Every page after the header has its digest in the digest section; 256 digests fill a page, whose
own digest is in the level above, until a level is one page. The hash of that page, uncut, is the
root that the header keeps and the office signs. So a page can be checked when it is first used, at
the price of one more check for every 256 pages, and opening a file costs the same at any size.
"""

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


def build_digests(content: list[memoryview]) -> tuple[bytes, bytes]:
    """The digest section over the content's pages, and the root. Each view has whole pages."""
    level = b"".join(
        page_digest(view[at : at + PAGE_BYTES])
        for view in content
        for at in range(0, len(view), PAGE_BYTES)
    )
    section: list[bytes] = []
    while True:
        level += bytes(-len(level) % PAGE_BYTES)
        section.append(level)
        if len(level) == PAGE_BYTES:
            return b"".join(section), root_of(level)
        level = b"".join(
            page_digest(level[at : at + PAGE_BYTES]) for at in range(0, len(level), PAGE_BYTES)
        )
