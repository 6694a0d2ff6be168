"""Members as the lane asks for them: the compiled index, behind the words of `known.py`."""

from collections.abc import Callable, Sequence
from typing import Literal

from native.matcher import IndexRefused, MemberIndex
from terminal_agent.known import MembersUnusable, NearMember


class MemberLookup:
    """Look-ups in `index`. `damaged` is told when a page of it turns out to have rotted."""

    def __init__(self, index: MemberIndex, damaged: Callable[[IndexRefused], None]) -> None:
        self._index = index
        self._damaged = damaged
        self._finders = {scheme.name: index.finder(scheme.name) for scheme in index.schemes}
        # A token stands for something that was hashed: nothing is near it.
        self._numbers = frozenset(s.name for s in index.schemes if s.kind == "number")

    def find_member(self, domain: str, number: str) -> int | None:
        """The member who has exactly this number; raises `MembersUnusable`."""
        find = self._finders.get(domain)
        if find is None:
            return None
        try:
            return find(number)
        except IndexRefused as error:
            self._damaged(error)
            raise MembersUnusable from error

    def near_members(
        self, domain: str, number: str, limit: int, errors: Literal[1, 2]
    ) -> Sequence[NearMember]:
        """Whom a misread number may mean (`MemberIndex.near`); raises `MembersUnusable`."""
        if domain not in self._numbers:
            return ()
        try:
            return [NearMember(*c) for c in self._index.near(domain, number, limit, errors)]
        except IndexRefused as error:
            self._damaged(error)
            raise MembersUnusable from error
