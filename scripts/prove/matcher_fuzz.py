"""Opens damaged and forged member indexes and looks up in them.

*Damaged* files were changed after they were sealed: every answer must be right, or the file must
be refused. *Forged* ones carry digests and checksums that fit what they say: their answers mean
nothing, but nothing may break. Run by `matcher_asan` in a process of its own.
"""

import json
import random
import sys
from array import array
from collections import Counter
from pathlib import Path
from zlib import crc32

from native.matcher import IndexRefused, MemberIndex, Scheme, build
from native.matcher.digests import page_digests, tree_of
from native.matcher.header import CRC_AT, HEADER_BYTES, PAGE_BYTES, decode_header

KEY = bytes(range(32))
SCHEMES = (
    Scheme("card", "number", "gs1", (13,)),
    Scheme("legacy", "number"),
    Scheme("staff", "text"),
    Scheme("phone", "token"),
)
WORDS = (0, 1, 7, 63, 64, 4095, 4096, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
HEADER_USED = 640
ROOT_AT = 176


class Subject:
    """A base, perhaps a delta, and what they hold."""

    def __init__(self, choose: random.Random, directory: Path) -> None:
        self.base, self.delta = directory / "base.kmi", directory / "delta.kmi"
        count = choose.choice((0, 1, 30, 500, 2000))
        numbers = {
            "".join(choose.choices("0123456789", k=choose.randint(1, 19))) for _ in range(count)
        }
        self.members = {("legacy", n): i for i, n in enumerate(numbers)}
        self.members |= {("staff", f"AB-{i}"): i for i in range(count // 10)}
        self.members |= {("phone", f"+316{i:08}"): i for i in range(count // 10)}
        load = choose.choice((0.84, 0.84, 1.03))
        with_filter, confirm = choose.random() < 0.5, choose.random() < 0.5
        entries = [(s, i, m) for (s, i), m in self.members.items()]
        build(
            *(self.base, SCHEMES, entries),
            key=KEY,
            generation=1,
            filter=with_filter,
            confirm=confirm,
            load=load,
        )
        self.with_delta = choose.random() < 0.6
        if self.with_delta:
            gone = choose.sample(sorted(self.members), min(count // 4, len(self.members)))
            more = {("legacy", f"{n:017}"): n for n in range(count // 4)}
            build(
                self.delta,
                SCHEMES,
                [(s, i, m) for (s, i), m in more.items()],
                removed=gone,
                key=KEY,
                generation=2,
                base_generation=1,
                filter=with_filter,
                confirm=confirm,
                load=load,
            )
            for identity in gone:
                del self.members[identity]
            self.members |= more


def damaged(data: bytes, choose: random.Random) -> bytes:
    changed = bytearray(data)
    kind = choose.randrange(6)
    if kind == 0:
        return bytes(changed[: choose.randrange(len(changed))])
    if kind == 1:
        return bytes(changed) + choose.randbytes(choose.choice((1, PAGE_BYTES)))
    for _ in range(choose.choice((1, 1, 4, 50))):
        at = choose.randrange(HEADER_USED if kind == 2 else len(changed))
        changed[at] = choose.choice((changed[at] ^ 1 << choose.randrange(8), 0, 255))
    return bytes(changed)


def forged(data: bytes, choose: random.Random) -> bytes:
    """Other contents, header words or both, sealed again."""
    changed = bytearray(data)
    content_end = decode_header(data[:HEADER_BYTES], len(data)).sections.digests.offset
    if choose.random() < 0.7:
        for _ in range(choose.choice((1, 20, 2000))):
            at = choose.randrange(HEADER_BYTES // 4, content_end // 4) * 4
            word = choose.choice((*WORDS, choose.getrandbits(32)))
            changed[at : at + 4] = word.to_bytes(4, "little")
        content = memoryview(bytes(changed[HEADER_BYTES:content_end]))
        digests, root = tree_of(b"".join(page_digests(content)))
        changed[content_end:] = digests
        changed[ROOT_AT : ROOT_AT + 32] = root
    if choose.random() < 0.6:
        for _ in range(choose.choice((1, 2, 3))):
            at = choose.randrange(HEADER_USED // 4) * 4
            old = int.from_bytes(changed[at : at + 4], "little")
            word = (
                choose.choice((*WORDS, old + 1, old - 1, old + PAGE_BYTES, old - PAGE_BYTES))
                % 2**32
            )
            changed[at : at + 4] = word.to_bytes(4, "little")
    changed[CRC_AT:HEADER_BYTES] = crc32(changed[:CRC_AT]).to_bytes(4, "little")
    return bytes(changed)


def wrong_answers(index: MemberIndex, subject: Subject, choose: random.Random) -> int:
    """Asks in every way; how many exact answers were wrong. Raises what the index raises."""
    wrong = 0
    asked = choose.sample(sorted(subject.members), min(60, len(subject.members)))
    asked += [("legacy", "".join(choose.choices("0123456789?", k=choose.randint(0, 24))))]
    asked += [("card", "2900000000124"), ("staff", "A" * 32), ("phone", "x" * 600)]
    for scheme, identifier in asked:
        found = index.find(scheme, identifier)
        wrong += found != subject.members.get((scheme, identifier))
        wrong += found != index.finder(scheme)(identifier)
        if scheme != "phone":
            index.near(scheme, identifier, limit=choose.choice((1, 8, 5000)))
            index.near(scheme, identifier[:-1] + "?")
            if len(identifier) < 12:
                index.near(scheme, identifier, errors=2)
    for scheme in ("legacy", "staff", "phone"):
        identifiers = [i for s, i in subject.members if s == scheme]
        expected = [subject.members[scheme, i] for i in identifiers]
        wrong += index.find_many(scheme, identifiers) != expected
    index.find_values("legacy", 17, array("Q", range(3000)))
    index.warm_filter()
    index.scrub(pages_max=3)
    return wrong


def one(choose: random.Random, directory: Path, counts: Counter[str]) -> None:
    subject = Subject(choose, directory)
    forge = choose.random() < 0.5
    path = subject.delta if subject.with_delta and choose.random() < 0.5 else subject.base
    change = forged if forge else damaged
    path.write_bytes(change(path.read_bytes(), choose))
    delta = subject.delta if subject.with_delta else None
    try:
        index = MemberIndex.open(subject.base, key=KEY, delta=delta)
    except IndexRefused:
        counts["forged, refused" if forge else "damaged, refused"] += 1
        return
    try:
        wrong = wrong_answers(index, subject, choose)
    except IndexRefused:
        counts["forged, noticed" if forge else "damaged, noticed"] += 1
        return
    except ValueError:
        if not forge:
            raise
        wrong = 0  # a scheme has another name or other lengths
    counts["forged, answered" if forge else "damaged where it does not matter"] += 1
    counts["wrong"] += 0 if forge else wrong


def main() -> None:
    rounds, seed, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    counts: Counter[str] = Counter(wrong=0)
    for number in range(rounds):
        one(random.Random(f"{seed}/{number}"), directory, counts)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
