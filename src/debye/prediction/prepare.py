"""Structure → graph: everything of a prediction that runs before the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.graph.build import build_graph
from debye.scores.strata import error_classes
from debye.structure.crystal import crystal_problem
from debye.structure.read import read_source
from debye.structure.select import Selection, select_atoms
from debye.targets.target import Per

if TYPE_CHECKING:
    from debye.graph.config import GraphConfig
    from debye.graph.graph import AtomGraph
    from debye.structure.read import SourceFile
    from debye.structure.structure import Structure

CrystalUse = Literal["auto", "on", "off"]
FINEST, COARSEST = 0.3, 30.0
"""Resolutions outside this range (Å) are mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One structure on its way to the model."""

    structure: Structure
    """All atoms of the file."""
    source_file: SourceFile | None
    """The file that was read, of which copies are written; None for a structure made in memory."""
    rows: NDArray[np.intp]
    """(graph atoms,) row of each atom of the graph in ``structure``."""
    atom_class: NDArray[np.int8]
    """(graph atoms,) a :class:`debye.scores.strata.ErrorClass`."""
    graph: AtomGraph
    dropped: Mapping[str, int]
    """Number of atoms that are not in the graph, by reason."""
    crystal_problem: str | None
    """Why the crystal is not used; None: it is."""
    resolution: float | None
    """Å; None: not known."""

    def file_rows(self, per: Per) -> NDArray[np.intp]:
        """Return the atom, residue or structure of the file that each item of the graph is."""
        if per is Per.STRUCTURE:
            return np.zeros(1, np.intp)
        if per is Per.ATOM:
            return self.rows
        return self.structure.residue_index[self.rows[self._first_atoms()]].astype(np.intp)

    def classes(self, per: Per) -> NDArray[np.int8]:
        """Return a :class:`debye.scores.strata.ErrorClass` for each item; that of its first atom."""
        if per is Per.ATOM:
            return self.atom_class
        return self.atom_class[:1] if per is Per.STRUCTURE else self.atom_class[self._first_atoms()]

    def _first_atoms(self) -> NDArray[np.intp]:
        index = self.graph.residue_index.cpu().numpy()
        return np.unique(index, return_index=True)[1]


def prepare_file(
    path: Path,
    config: GraphConfig,
    *,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
) -> Prepared:
    """Read a structure file and build its graph; arguments as for :func:`prepare_structure`."""
    source = read_source(path)
    return prepare_structure(
        source.structure, config, crystal=crystal, resolution=resolution, source_file=source
    )


def prepare_structure(
    structure: Structure,
    config: GraphConfig,
    *,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
    source_file: SourceFile | None = None,
) -> Prepared:
    """Select the atoms that get a prediction and build their graph.

    Args:
        structure: All atoms of a file.
        config: Graphs that the model reads.
        crystal: ``auto`` uses crystal contacts if cell and space group are valid, ``on`` requires them, ``off`` hides them.
        resolution: Å; None: that of the file.
        source_file: The file that the structure was read from.

    Raises:
        StructureError: nothing to predict, no usable crystal although ``crystal`` is ``on``, or an impossible
            resolution.
    """
    chosen, selection = select_atoms(structure)
    if not len(chosen):
        raise StructureError(
            structure.source,
            f"none of {len(structure):,} atoms can get a prediction (heavy, not water)",
            "Give a structure with protein, nucleic acid or ligand atoms",
        )
    resolution = usable_resolution(structure, resolution)
    problem = _crystal_problem(chosen, config, crystal)
    visible = replace(
        chosen,
        crystal=chosen.crystal if problem is None else None,
        entry=replace(chosen.entry, resolution=resolution),
    )
    graph = build_graph(visible, config, resolution=resolution)
    if problem is None and not graph.crystal_known.all():
        problem = "atoms clash with their symmetry mates"
        _refuse_if(crystal == "on", chosen, problem)
    return Prepared(
        structure=structure,
        source_file=source_file,
        rows=_rows_of(chosen, structure),
        atom_class=error_classes(chosen),
        graph=graph,
        dropped=_counts(selection),
        crystal_problem=problem,
        resolution=resolution,
    )


def usable_resolution(structure: Structure, given: float | None) -> float | None:
    """Return the resolution that the model gets, Å, or None if unknown.

    The user's value is used if given; otherwise the file's, for diffraction experiments only, since models were
    not trained on resolutions of microscopy.

    Raises:
        StructureError: the user's resolution is impossible.
    """
    if given is not None:
        if not FINEST <= given <= COARSEST:
            raise StructureError(
                structure.source,
                f"a resolution of {given:g} Å",
                f"Give one between {FINEST:g} and {COARSEST:g} Å, or none",
            )
        return given
    entry = structure.entry
    if entry.resolution is None or entry.is_predicted:
        return None
    if entry.method and "DIFFRACTION" not in entry.method:
        return None
    return entry.resolution if FINEST <= entry.resolution <= COARSEST else None


def _crystal_problem(chosen: Structure, config: GraphConfig, crystal: CrystalUse) -> str | None:
    """Return why the crystal is not used; None: it is."""
    if crystal not in get_args(CrystalUse):
        raise StructureError(
            chosen.source,
            f"crystal={crystal!r} is not an option",
            f"Choose from {', '.join(get_args(CrystalUse))}",
        )
    if crystal == "off":
        return "switched off"
    if not config.reads_crystal:
        problem = "the model does not use crystals"
    else:
        problem = crystal_problem(chosen.crystal, len(chosen))
    _refuse_if(crystal == "on" and problem is not None, chosen, problem)
    return problem


def _refuse_if(refused: bool, chosen: Structure, problem: str | None) -> None:
    if refused:
        raise StructureError(
            chosen.source,
            f"the crystal cannot be used: {problem}",
            "Predict with crystal auto or off",
        )


def _rows_of(chosen: Structure, structure: Structure) -> NDArray[np.intp]:
    row_of = np.full(int(structure.record.max()) + 1, -1, np.intp)
    row_of[structure.record] = np.arange(len(structure))
    return row_of[chosen.record]


def _counts(selection: Selection) -> dict[str, int]:
    counts = {
        item.name.replace("_", " "): getattr(selection, item.name) for item in fields(selection)
    }
    return {name: count for name, count in counts.items() if count}
