"""`scripts/demo` as a person runs it: what it says, what it leaves, and that it goes away."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

END_S_MAX = 60.0
FIGURES = (
    "sales",
    "lines",
    "turnover_cents",
    "linked_sales",
    "persons",
    "vouchers_printed",
    "events_synced",
    "trips",
)

pytestmark = pytest.mark.slow


@pytest.fixture
def out() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="kr-"))
    yield place
    shutil.rmtree(place)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_agrees_with_the_data_stays_up_and_goes_away_with_ctrl_c(out: Path) -> None:
    figures_file = out / "figures.json"
    command = [sys.executable, "-m", "scripts.replay.demo", "--baskets", "12", "--tills", "1"]
    command += ["--out", str(out / "demo"), "--json", str(figures_file)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    said: list[str] = []
    link = ""
    for line in demo.stdout:
        said.append(line)
        if line.strip().startswith("http"):
            link = line.strip()
        if "Ctrl-C ends it" in line:
            break
    assert link, "".join(said)
    with urllib.request.urlopen(link, timeout=END_S_MAX) as page:
        assert page.status == 200
    pids = [int(pid) for pid in (out / "demo/.klantreis-demo").read_text().split()]
    demo.send_signal(signal.SIGINT)
    assert demo.wait(END_S_MAX) == 0
    demo.stdout.close()
    assert not any(is_alive(pid) for pid in pids)
    figures = json.loads(figures_file.read_text())
    assert figures["agrees"]
    assert figures["sales"] == 12
    assert set(FIGURES) <= figures.keys()
    assert len(list((out / "demo/till-1/receipts").glob("*.png"))) == 12
    assert "The office agrees with the data" in "".join(said)
