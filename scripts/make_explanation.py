"""Update the example of docs/explain.md with the current default model.

    python scripts/make_explanation.py [--mirror FOLDER]   # FOLDER/<id[1:3]>/<id>.bcif.gz; without it, 2g2h is downloaded

Run it after a change of weights, then check the text around the tables: it names residues and values.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from pathlib import Path

from debye.explanation.explanation import Explanation, explain, explanation_text
from debye.plots.contributions import save_contributions
from debye.prediction.predictor import DEFAULT_MODEL

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explain.md"
PICTURE = ROOT / "docs" / "images" / "explain_2g2h.png"
MARKERS = re.compile(r"(<!-- explain:start -->\n).*?(<!-- explain:end -->)", re.DOTALL)
ENTRY, RESIDUE, TOP = "2g2h", 281, 10


def main(mirror: Path | None, model: str) -> int:
    """Explain both copies of the residue; write the tables into the page, and the picture."""
    copies = [
        explain(ENTRY, f"{chain}:{RESIDUE}", model=model, mirror=mirror, workers=2)
        for chain in "AB"
    ]
    gradients = explain(ENTRY, f"A:{RESIDUE}", model=model, mirror=mirror, method="gradients")
    save_contributions(copies[0], PICTURE, top=TOP)
    parts = [
        summary(copies),
        f"![Effects on A:LYS281, as bars and in place](images/{PICTURE.name})\n",
        *(block(found, f"debye explain {ENTRY} --residue {found.case.residue.chain}:{RESIDUE} --top {TOP}")
          for found in copies),
        block(
            gradients,
            f"debye explain {ENTRY} --residue A:{RESIDUE} --top {TOP} --method gradients",
        ),
    ]  # fmt: skip
    text = MARKERS.sub(lambda found: found[1] + "\n".join(parts) + found[2], PAGE.read_text())
    PAGE.write_text(text)
    return 0


def summary(copies: list[Explanation]) -> str:
    """Return the table of both copies, Å²."""
    lines = [
        "| copy | B in the file | predicted | predicted without crystal |",
        "| --- | ---: | ---: | ---: |",
    ]
    for found in copies:
        mates = next(row for row in found.features if row.name == "all symmetry mates")
        lines.append(
            f"| {found.case.residue} | {found.case.observed:.1f} | {found.case.predicted:.1f} "
            f"| {found.case.predicted - mates.with_level:.1f} |"
        )
    return "\n".join(lines) + "\n"


def block(found: Explanation, command: str) -> str:
    """Return a command and its output."""
    # The output names the file; the page shows the entry instead.
    text = explanation_text(found, TOP).replace(Path(found.case.structure.source).name, ENTRY)
    return f"`{command}`:\n\n```\n{text}\n```\n"


if __name__ == "__main__":
    parser = ArgumentParser(description="Update the example of docs/explain.md.")
    parser.add_argument("--mirror", type=Path, help="folder of <id[1:3]>/<id>.bcif.gz")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    chosen = parser.parse_args()
    sys.exit(main(chosen.mirror, chosen.model))
