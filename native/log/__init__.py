"""What is looked at of every event that comes, and the rows of plain sales.

`scan` tells an event's place in the chain and whether it is a sale, in one call that lets go of the
interpreter, so that batches are looked at beside each other; its reference are `wire.chain` and
`wire.events`. `plain_rows` makes rows of sales with nothing rare in them; its reference is
`sync_server.projection`. The tests hold them against these. docs/decisions/0012 and 0022 give the
reasons.
"""

COMPILED = ("native.log.plain", "native.log.scan")

try:
    from native.log.plain import rows as plain_rows
    from native.log.scan import scan
except ModuleNotFoundError as error:
    if error.name not in COMPILED:
        raise
    raise ImportError(
        "the compiled look at events is not here: klantreis was not installed, or without a C"
        " compiler. Install a C compiler (gcc or clang) and the Python headers, then install"
        " klantreis again (pip install .).",
        name=error.name,
    ) from error

__all__ = ["plain_rows", "scan"]
