from typing import Self

from typing_extensions import Buffer

class Rows:
    def __new__(
        cls,
        person: Buffer,
        at_ms: Buffer,
        day: Buffer,
        kind: Buffer,
        channel: Buffer,
        store: Buffer,
        joins: Buffer,
        belongs: Buffer,
        caused: Buffer,
        amount_cents: Buffer,
        value: Buffer,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def cuts(self, parts: int) -> list[int]: ...
    def floor(self, start: int, end: int) -> int: ...
