from typing import final

from typing_extensions import Buffer

@final
class Entries:
    def __init__(self, confirm: bool = False) -> None: ...
    def __len__(self) -> int: ...
    def add_number(
        self,
        hash_key: tuple[int, int],
        confirm_key: tuple[int, int],
        text: str,
        check: int,
        stored: int,
    ) -> bool: ...
    def add_bytes(
        self, hash_key: tuple[int, int], confirm_key: tuple[int, int], data: bytes, stored: int
    ) -> None: ...
    def add_column(
        self,
        hash_key: tuple[int, int],
        confirm_key: tuple[int, int],
        length: int,
        check: int,
        values: Buffer,
        members: Buffer,
        member_max: int,
    ) -> int: ...
    def fill(
        self, pages: int, filter_blocks: int, spill_max: int
    ) -> tuple[tuple[bytearray, ...], int] | None: ...
