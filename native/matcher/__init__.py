"""The matcher: finds the member behind an identifier in a mapped, read-only file.

The office builds the file with `build`, the tills open it with `MemberIndex.open`. What the file
looks like: docs/member-index.md; why: docs/decisions/0003-member-index.md.
"""

from native.matcher.density import Density, measure_density
from native.matcher.errors import EntryRefused, IndexRefused
from native.matcher.header import signed_by
from native.matcher.schemes import MEMBER_MAX, Candidate, Scheme

COMPILED = ("native.matcher.fill", "native.matcher.mapped", "native.matcher.lookup")

try:
    from native.matcher.lookup import MISSING, MemberIndex
    from native.matcher.writer import BuildReport, NumberColumn, build
except ModuleNotFoundError as error:
    if error.name not in COMPILED:
        raise
    raise ImportError(
        "the compiled matcher is not here: klantreis was not installed, or without a C compiler."
        " Install a C compiler (gcc or clang) and the Python headers, then install klantreis again"
        " (pip install .).",
        name=error.name,
    ) from error

__all__ = [
    "MEMBER_MAX",
    "MISSING",
    "BuildReport",
    "Candidate",
    "Density",
    "EntryRefused",
    "IndexRefused",
    "MemberIndex",
    "NumberColumn",
    "Scheme",
    "build",
    "measure_density",
    "signed_by",
]
