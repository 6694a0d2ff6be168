"""What is looked at of every event that comes: its place in the chain, and whether it is a sale.

In one call that lets go of the interpreter, so that batches are looked at beside each other. What
it tells is what `wire.chain` and `wire.events` tell, which are its reference; the tests hold it
against them. docs/decisions/0012 gives the reason.
"""

COMPILED = ("native.log.scan",)

try:
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

__all__ = ["scan"]
