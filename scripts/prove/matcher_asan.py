"""Shows that no damaged or forged member index makes the matcher touch memory that is not its own.

    scripts/prove/matcher-asan --rounds 3000

Compiles the matcher once more with AddressSanitizer and UndefinedBehaviorSanitizer, in a directory
of its own, and lets it open thousands of damaged files there and look up in them (see
`matcher_fuzz`). It needs gcc or clang with its sanitizers, and Cython.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.bench.figures import Figure, Report

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("fill", "mapped", "lookup")
ROUNDS = 3000
QUICK_ROUNDS = 60
SEED = 1
COMPILE_S_MAX = 300
FUZZ_S_MAX = 3600
FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
EXIT_MISSING = 2


def compiler() -> str | None:
    for name in (os.environ.get("CC", ""), "gcc", "cc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def runtime_library(cc: str) -> str | None:
    """The sanitizer's library, which has to be loaded before Python."""
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so", "libclang_rt.asan-aarch64.so"):
        found = subprocess.run(
            [cc, f"-print-file-name={name}"], capture_output=True, text=True, check=False
        ).stdout.strip()
        if found and found != name and Path(found).exists():
            return found
    return None


def what_is_missing() -> str | None:
    cc = compiler()
    if cc is None:
        return "a C compiler (gcc or clang)"
    if runtime_library(cc) is None:
        return f"the AddressSanitizer of {cc} (Debian: libasan comes with gcc)"
    if importlib.util.find_spec("Cython") is None:
        return "Cython (python -m pip install Cython)"
    return None


def compile_into(directory: Path, cc: str) -> None:
    """A copy of `native` with sanitized modules."""
    shutil.copytree(
        ROOT / "native",
        directory / "native",
        ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"),
    )
    shutil.copytree(ROOT / "scripts" / "prove", directory / "scripts" / "prove")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in MODULES:
        source = directory / "native" / "matcher" / f"{name}.pyx"
        subprocess.run(
            [sys.executable, "-m", "cython", "-3", str(source)],
            cwd=directory,
            check=True,
            timeout=COMPILE_S_MAX,
        )
        subprocess.run(
            [
                *(cc, "-shared", "-fPIC", "-O1", "-g", "-fwrapv", "-w", *FLAGS),
                f"-I{sysconfig.get_path('include')}",
                *(str(source.with_suffix(".c")), "-o", f"{source.with_suffix('')}{suffix}"),
            ],
            check=True,
            timeout=COMPILE_S_MAX,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="damaged files to open")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="few files, for sense only")
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args(arguments)
    missing = what_is_missing()
    cc = compiler()
    if missing or cc is None:
        print(f"this proof needs {missing}; install it and run this again", file=sys.stderr)
        return EXIT_MISSING
    rounds = QUICK_ROUNDS if asked.quick else asked.rounds
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        compile_into(directory, cc)
        run = subprocess.run(
            [
                *(sys.executable, "-m", "scripts.prove.matcher_fuzz"),
                *(str(rounds), str(asked.seed), str(directory)),
            ],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": str(directory),
                "PYTHONMALLOC": "malloc",
                "LD_PRELOAD": runtime_library(cc) or "",
                "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
            },
            capture_output=True,
            text=True,
            timeout=FUZZ_S_MAX,
            check=False,
        )
    counts: dict[str, int] = json.loads(run.stdout) if run.returncode == 0 else {}
    if not counts:
        sys.stderr.write(run.stdout + run.stderr)
    report = Report("matcher-asan", packages=["cython"])
    report.add(
        Figure("faults of memory", 0 if counts else 1, "", "= 0", bool(counts)),
        Figure(
            "wrong answers from damaged files",
            counts.get("wrong", 0),
            "",
            "= 0",
            bool(counts) and not counts["wrong"],
        ),
        *(Figure(name, value, "files") for name, value in counts.items() if name != "wrong"),
    )
    return report.finish(asked.json)


if __name__ == "__main__":
    sys.exit(main())
