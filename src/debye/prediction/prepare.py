"""Structure → graph: everything of a prediction that runs before the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.scores.strata import error_classes, first_atoms
from debye.structure.crystal import crystal_problem
from debye.structure.read import SourceFile
from debye.structure.select import select_atoms
from debye.structure.structure import Structure
from debye.targets.target import Per

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
    selected: Structure
    """Its atoms that get a prediction: those of the graph."""
    rows: NDArray[np.intp]
    """(graph atoms,) row of each atom of the graph in ``structure``."""
    graph: AtomGraph
    dropped: Mapping[str, int]
    """Number of atoms that are not in the graph, by reason."""
    crystal_problem: str | None
    """Why the crystal is not used; None: it is."""
    resolution: float | None
    """Å; None: not known."""

    def file_rows(self, per: Per) -> NDArray[np.integer]:
        """Return the atom, residue or structure of the file that each item of the graph is."""
        first = self.rows[first_atoms(self.selected, per)]
        if per is Per.ATOM:
            return first
        return self.structure.residue_index[first] if per is Per.RESIDUE else np.zeros(1, np.intp)

    def classes(self, per: Per) -> NDArray[np.int8]:
        """Return a :class:`debye.scores.strata.ErrorClass` for each item of the graph."""
        return error_classes(self.selected, per)


def prepare_structure(
    source: Structure | SourceFile,
    config: GraphConfig,
    *,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
) -> Prepared:
    """Select the atoms that get a prediction and build their graph.

    Args:
        source: All atoms of a file; or the file that was read, of which copies can be written.
        crystal: ``auto`` uses crystal contacts if cell and space group are valid, ``on`` requires them, ``off`` hides them.
        resolution: Å; None: that of the file.

    Raises:
        StructureError: nothing to predict, no usable crystal with ``on``, or an impossible resolution.
    """
    source_file = source if isinstance(source, SourceFile) else None
    structure = source.structure if isinstance(source, SourceFile) else source
    chosen, selection = select_atoms(structure)
    if not len(chosen):
        problem = f"none of {len(structure):,} atoms can get a prediction (heavy, not water)"
        remedy = "Give a structure with protein, nucleic acid or ligand atoms"
        raise StructureError(structure.source, problem, remedy)
    resolution = usable_resolution(structure, resolution)
    problem = _crystal_problem(chosen, config, crystal)
    visible = replace(
        chosen,
        crystal=chosen.crystal if problem is None else None,
        entry=replace(chosen.entry, resolution=resolution),
    )
    graph = build_graph(visible, config, resolution=resolution)
    if problem is None and not graph.crystal_known.all():
        problem = _refused_if_on("atoms clash with their symmetry mates", chosen, crystal)
    row_of = np.empty(int(structure.record.max()) + 1, np.intp)
    row_of[structure.record] = np.arange(len(structure))
    return Prepared(
        structure=structure,
        source_file=source_file,
        selected=chosen,
        rows=row_of[chosen.record],
        graph=graph,
        dropped={
            name.replace("_", " "): count for name, count in asdict(selection).items() if count
        },
        crystal_problem=problem,
        resolution=resolution,
    )


def usable_resolution(structure: Structure, given: float | None) -> float | None:
    """Return the resolution that the model gets, Å, or None if unknown.

    The user's value is used if given (outside :data:`FINEST` to :data:`COARSEST` a ``StructureError``); otherwise the
    file's, for diffraction experiments only, since models were not trained on resolutions of microscopy.
    """
    if given is not None:
        if not FINEST <= given <= COARSEST:
            remedy = f"Give one between {FINEST:g} and {COARSEST:g} Å, or none"
            raise StructureError(structure.source, f"a resolution of {given:g} Å", remedy)
        return given
    entry = structure.entry
    if entry.is_predicted or (entry.method and "DIFFRACTION" not in entry.method):
        return None
    is_possible = entry.resolution is not None and FINEST <= entry.resolution <= COARSEST
    return entry.resolution if is_possible else None


def _crystal_problem(chosen: Structure, config: GraphConfig, crystal: CrystalUse) -> str | None:
    """Return why the crystal is not used; None: it is."""
    if crystal not in get_args(CrystalUse):
        problem, choices = f"crystal={crystal!r} is not an option", ", ".join(get_args(CrystalUse))
        raise StructureError(chosen.source, problem, f"Choose from {choices}")
    if crystal == "off":
        return "switched off"
    if not config.reads_crystal:
        return _refused_if_on("the model does not use crystals", chosen, crystal)
    return _refused_if_on(crystal_problem(chosen.crystal, len(chosen)), chosen, crystal)


def _refused_if_on(problem: str | None, chosen: Structure, crystal: CrystalUse) -> str | None:
    if problem is not None and crystal == "on":
        problem, remedy = (
            f"the crystal cannot be used: {problem}",
            "Predict with crystal auto or off",
        )
        raise StructureError(chosen.source, problem, remedy)
    return problem
