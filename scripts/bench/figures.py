"""What a benchmark or a proof reports: figures with their bars, as a table and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure. `bar` is what it must reach, in words; `holds` is None where none was set.

    `spread` is the smallest and largest of the rounds whose median `value` is.
    """

    name: str
    value: float
    unit: str
    bar: str = ""
    holds: bool | None = None
    spread: tuple[float, float] | None = None


def at_most(name: str, value: float, unit: str, bar: float) -> Figure:
    """A figure that must not be larger than `bar`."""
    return Figure(name, value, unit, f"≤ {bar:g}", value <= bar)


def at_least(name: str, value: float, unit: str, bar: float) -> Figure:
    """A figure that must not be smaller than `bar`."""
    return Figure(name, value, unit, f"≥ {bar:g}", value >= bar)


@dataclass
class Report:
    """The figures of one run."""

    name: str
    packages: Sequence[str] = ()
    figures: list[Figure] = field(default_factory=list[Figure])
    peers: list[str] = field(default_factory=list[str])

    def add(self, *figures: Figure) -> None:
        self.figures.extend(figures)

    @property
    def holds(self) -> bool:
        """Whether every bar that was set is reached."""
        return all(figure.holds is not False for figure in self.figures)

    def print_table(self) -> None:
        """The figures for people."""
        wide = max((len(figure.name) for figure in self.figures), default=0)
        for f in self.figures:
            mark = {True: "holds", False: "MISSED", None: ""}[f.holds]
            spread = f"{_short(f.spread[0])} to {_short(f.spread[1])}" if f.spread else ""
            value = f"{_short(f.value):>10} {f.unit:<8}"
            print(f"{f.name:<{wide}}  {value} {f.bar:<10} {mark:<7} {spread}".rstrip())

    def write(self, file: Path) -> None:
        """The figures for programs."""
        document = {
            "name": self.name,
            "machine": machine(),
            "versions": _versions(self.packages),
            "figures": [asdict(figure) for figure in self.figures],
            "peers": self.peers,
        }
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def finish(self, file: Path | None) -> int:
        """Prints the table, writes `file`, and returns the exit status: 1 when a bar is missed."""
        self.print_table()
        if file is not None:
            self.write(file)
        return 0 if self.holds else 1


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": sys.version.split()[0],
        "load_at_end": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("klantreis", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
