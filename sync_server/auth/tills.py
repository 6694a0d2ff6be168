"""The till behind a request, for the routes that only tills may use."""

from sync_server.answers import AnyRequest, office_of
from sync_server.auth.signatures import SignedRequest, require_claim, require_till


def claiming_till(request: AnyRequest) -> None:
    """Raises `Refused` (401) unless `request` says it is of a till that may ask.

    Says nothing of the signature: `signing_till` does, when the body is there. Asks the database.
    """
    require_claim(office_of(request), request.headers.get("authorization", ""))


def signing_till(request: AnyRequest, body: bytes) -> str:
    """The till that signed `request` with `body`. Raises `Refused` (401). Asks the database."""
    # Some servers put the query into the raw path, too; ASGI says they should not.
    path = (request.scope.get("raw_path") or request.scope["path"].encode()).partition(b"?")[0]
    query = request.scope.get("query_string", b"")
    target = path + b"?" + query if query else path
    signed = SignedRequest(
        authorization=request.headers.get("authorization", ""),
        method=request.method,
        target=target.decode("latin-1"),
        body=body,
    )
    return require_till(office_of(request), signed)
