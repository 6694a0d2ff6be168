from collections.abc import Iterable
from typing import Any

def encode(rows: Iterable[tuple[Any, ...]], kinds: str) -> bytes: ...
