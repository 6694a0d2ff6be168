from collections.abc import Callable, Iterable, Mapping
from typing import Any

Rows = bytes | list[tuple[Any, ...]]

def rows(
    events: Iterable[tuple[str, int, int, bytes]],
    stores: Mapping[tuple[str, int], str],
    day_of: Callable[[str, int], int],
    as_copies: bool,
) -> tuple[
    tuple[Rows, Rows, Rows, Rows],
    set[int],
    list[tuple[Any, ...]],
    list[int],
]: ...
