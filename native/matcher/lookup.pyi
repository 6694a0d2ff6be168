from collections.abc import Callable
from os import PathLike
from typing import final

from native.matcher.schemes import Scheme

@final
class MemberIndex:
    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        key: bytes,
        public_key: bytes | None = None,
        delta: str | PathLike[str] | None = None,
    ) -> MemberIndex: ...
    @property
    def generation(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def schemes(self) -> tuple[Scheme, ...]: ...
    def find(self, scheme: str, identifier: str) -> int | None: ...
    def finder(self, scheme: str) -> Callable[[str], int | None]: ...
    def close(self) -> None: ...
