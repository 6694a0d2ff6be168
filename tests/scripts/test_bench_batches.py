"""How many bytes a sale takes is measured on real baskets, and its bar holds."""

import json
from pathlib import Path

from scripts.bench import batches


def test_a_sale_in_a_large_batch_takes_few_bytes(tmp_path: Path):
    out = tmp_path / "batches.json"
    assert batches.main(["--quick", "--json", str(out)]) == 0
    figures = {figure["name"]: figure for figure in json.loads(out.read_text())["figures"]}
    judged = figures["bytes a sale, batches of 500, as sent"]
    assert judged["bar"] == "≤ 130"
    assert judged["holds"]
    alone = figures["bytes a sale, batches of 1, as sent"]["value"]
    assert figures["bytes a sale, batches of 1, with a dictionary"]["value"] < alone
