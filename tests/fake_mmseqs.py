"""A stand-in for MMseqs2: compares sequences of one length position by position, in no time.

It is right for related sequences that differ by exchanges only, and is a program of its own, so that what calls it
runs unchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

IDENTITY = 0.3


def put_on_path(folder: Path) -> Path:
    """Write the program ``mmseqs`` into a folder, which belongs in front of PATH."""
    program = folder / "mmseqs"
    program.write_text(f"#!{sys.executable} -S\n{Path(__file__).read_text(encoding='utf-8')}")
    program.chmod(0o755)
    return program


def main(task: str, *words: str) -> None:
    """Do what ``mmseqs version``, ``easy-cluster`` or ``easy-search`` does."""
    if task == "version":
        print("by position")
        return
    files = words[: 1 + (task == "easy-search")]
    queries, targets = _fasta(Path(files[0])), _fasta(Path(files[-1]))
    pairs = [
        (name, other, alike)
        for name, text in queries.items()
        for other, another in targets.items()
        if len(text) == len(another)
        and (alike := sum(map(str.__eq__, text, another)) / len(text)) > IDENTITY
    ]
    if task == "easy-search":
        lines = [f"{name}\t{other}\t{alike}\t1\t1\t0\n" for name, other, alike in pairs]
        Path(words[2]).write_text("".join(lines))
        return
    first: dict[str, str] = {}
    for name, other, _ in pairs:
        first.setdefault(other, first.get(name, name))
    lines = [f"{name}\t{member}\n" for member, name in first.items()]
    Path(f"{words[1]}_cluster.tsv").write_text("".join(lines))


def _fasta(path: Path) -> dict[str, str]:
    lines = path.read_text().split()
    return {name[1:]: text for name, text in zip(lines[::2], lines[1::2], strict=True)}


if __name__ == "__main__":
    main(*sys.argv[1:])
