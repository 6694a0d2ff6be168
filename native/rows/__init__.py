"""Rows for PostgreSQL: tuples to the bytes of a binary COPY.

The plain-Python reference is `native.rows.reference`; the tests hold this against it.
docs/decisions/0012 gives the reason.
"""

COMPILED = ("native.rows.binary",)

try:
    from native.rows.binary import encode
except ModuleNotFoundError as error:
    if error.name not in COMPILED:
        raise
    raise ImportError(
        "the compiled encoder of rows is not here: klantreis was not installed, or without a C"
        " compiler. Install a C compiler (gcc or clang) and the Python headers, then install"
        " klantreis again (pip install .).",
        name=error.name,
    ) from error

__all__ = ["encode"]
