"""The proof that damaged files harm nobody: its parts, without the sanitizers, which take minutes
to compile (scripts/prove/matcher-asan is run by hand)."""

import random
from collections import Counter
from pathlib import Path

import pytest

from scripts.prove import matcher_asan, matcher_fuzz

DAMAGED_FILES = 25


def test_damaged_and_forged_files_are_refused_or_answered_rightly(
    tmp_path: Path,
) -> None:
    counts: Counter[str] = Counter(wrong=0)
    for number in range(DAMAGED_FILES):
        matcher_fuzz.one(random.Random(f"tests/{number}"), tmp_path, counts)
    assert counts["wrong"] == 0
    assert counts.total() == DAMAGED_FILES
    assert counts["damaged, refused"] > 0
    assert counts["forged, answered"] > 0


def test_a_fuzzed_file_differs_from_the_one_that_was_sealed(tmp_path: Path) -> None:
    subject = matcher_fuzz.Subject(random.Random(3), tmp_path)
    sealed = subject.base.read_bytes()
    changes = {matcher_fuzz.damaged(sealed, random.Random(seed)) for seed in range(10)}
    assert len(changes) == 10
    assert sealed not in changes


def test_without_a_compiler_the_proof_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert matcher_asan.main(["--quick"]) == matcher_asan.EXIT_MISSING
    assert "a C compiler (gcc or clang)" in capsys.readouterr().err
