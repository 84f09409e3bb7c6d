"""PDB format → :class:`Sites`: atom records from the bytes, the header by gemmi."""

from __future__ import annotations

import gemmi

from debye.errors import FormatError
from debye.structure.gemmi_header import header_of, partners_of
from debye.structure.pdb_lines import PdbLines, with_line_feeds
from debye.structure.sites import Sites


def read_pdb(raw: bytes, source: str) -> Sites:
    """Read a file in PDB format.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.

    Raises:
        FormatError: A record is damaged.
    """
    lines = PdbLines(raw, source)
    head = with_line_feeds(raw[: lines.head])
    structure = _parse(head, source)
    no_experiment = "_exptl.method" not in structure.info
    return Sites(
        **lines.columns(),
        partners=partners_of(structure),
        header=header_of(
            structure,
            b_type=_b_type(head),
            hints=(head.decode("ascii", "replace"),) if no_experiment else (),
            is_model_archive=False,
        ),
    )


def _parse(head: bytes, source: str) -> gemmi.Structure:
    try:
        return gemmi.read_pdb_string(head)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source,
            problem=f"damaged header in PDB format ({error})",
            remedy="Repair the record, or give the entry as mmCIF",
        ) from error


def _b_type(head: bytes) -> str:
    """Return what REMARK 3 says about the B column."""
    start = head.find(b"B VALUE TYPE")
    line = head[start : head.find(b"\n", start)] if start >= 0 else b""
    return line.partition(b":")[2].strip().decode("ascii", "replace")
