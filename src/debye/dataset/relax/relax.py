"""A chain of a crystal as a program that predicts structures would give it: complete, and relaxed in a force field.

Coordinates of a crystal know how well each atom was seen: side chains without density are cut short, and what refinement
restrains little is a little off. Predicted models have none of this. Needs the extra ``relax`` (OpenMM and PDBFixer).

References: Eastman et al. (2024), doi:10.1021/acs.jpcb.3c06662 (OpenMM 8); Lindorff-Larsen et al. (2010),
doi:10.1002/prot.22711 (Amber ff99SB-ILDN).
"""

from __future__ import annotations

import io
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.export import pdb_text
from debye.structure.structure import Entry, Structure

if TYPE_CHECKING:
    from openmm.app import Topology

FORCE_FIELD = "amber99sbildn.xml"
CUTOFF = 1.0
"""nm, of the forces between atoms that are not bonded; beyond, OpenMM's reaction field of water."""
TOLERANCE = 10.0
"""kJ/mol/nm; below this root mean square of the forces minimization stops. Free chains mostly stop at the limit of iterations."""
BACKBONE = ("N", "CA", "C")
LONGEST_PEPTIDE_BOND = 2.0
"""Å. Residues farther apart are not bonded: residues between them are missing."""
SEGMENT_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits
KCAL_PER_SQUARE_ANGSTROM = 418.4
"""kJ/mol/nm²."""


def relax_chain(
    structure: Structure, *, noise: float, restraint: float, iterations: int, seed: int
) -> Structure:
    """Complete the residues of a protein chain and minimize its energy, alone.

    Residues without a complete backbone or without a bonded neighbor are left out, nonstandard ones that PDBFixer knows are
    replaced by the usual ones, side chains are completed; missing residues stay missing, and what they separate is not bonded.

    Args:
        structure: Heavy atoms of one protein chain, one conformer.
        noise: Standard deviation of a random move along each axis before the minimization, Å.
        restraint: Of heavy atoms to where they were before these moves, kcal/mol/Å²; 0: none.
        iterations: Of the minimization, at most.
        seed: Of the random moves and of the side chains.

    Returns:
        A predicted model of the chain: heavy atoms, without crystal and header, atoms that were added with a B of NaN.

    Raises:
        StructureError: nothing is left, the force field does not know what is left, or its forces have no end.
    """
    chain = _bonded_residues(_complete_backbones(structure))
    topology, position = _completed(chain, seed)
    moved = _minimized(chain.source, topology, position, noise, restraint, iterations, seed)
    return _as_model(chain, topology, moved)


def _complete_backbones(structure: Structure) -> Structure:
    """Keep residues of which N, CA and C are there; of two atoms, or two residues, in one place the first."""
    _, start = np.unique(structure.residue_index, return_index=True)
    is_first = structure.residue_name == structure.residue_name[start][structure.residue_index]
    structure = structure.take(is_first)
    _, first = np.unique(
        np.char.add(np.char.add(structure.residue_index.astype(str), " "), structure.atom_name),
        return_index=True,
    )
    structure = structure.take(np.sort(first))
    named = [structure.atom_name == name for name in BACKBONE]
    found = [np.unique(structure.residue_index[rows]) for rows in named]
    whole = found[0][np.isin(found[0], found[1]) & np.isin(found[0], found[2])]
    kept = structure.take(np.isin(structure.residue_index, whole))
    if not len(kept):
        raise StructureError(
            structure.source,
            problem="no residue has N, CA and C",
            remedy="Give a protein chain with its backbone",
        )
    return kept


def _segment_numbers(structure: Structure) -> Int[np.ndarray, " residues"]:
    """Count the runs of bonded residues."""
    place: dict[str, Float[np.ndarray, "residues 3"]] = {}
    for name in ("N", "C"):
        rows = np.flatnonzero(structure.atom_name == name)
        place[name] = structure.position[rows[np.argsort(structure.residue_index[rows])]]
    gap = np.linalg.norm(place["C"][:-1] - place["N"][1:], axis=1) > LONGEST_PEPTIDE_BOND
    return np.concatenate([[0], np.cumsum(gap)])


def _bonded_residues(structure: Structure) -> Structure:
    """Keep residues that have a neighbor: force fields know none that is both ends of a chain."""
    number = _segment_numbers(structure)
    has_neighbor = np.bincount(number)[number] > 1
    kept = structure.take(has_neighbor[structure.residue_index])
    if not len(kept):
        raise StructureError(
            structure.source,
            problem="no residue is bonded to another one",
            remedy="Give a protein chain with its backbone",
        )
    return kept


def _segments(structure: Structure) -> NDArray[np.str_]:
    """Name the runs of bonded residues, one name an atom."""
    number = _segment_numbers(structure)
    if number[-1] >= len(SEGMENT_NAMES):
        raise StructureError(
            structure.source,
            problem=f"{number[-1]} gaps in one chain",
            remedy="Leave the chain out",
        )
    return np.array(list(SEGMENT_NAMES))[number][structure.residue_index]


def _completed(chain: Structure, seed: int) -> tuple[Topology, NDArray[np.float64]]:
    """Return the topology with all atoms, hydrogens included, and where they are, nm."""
    from openmm import unit
    from pdbfixer import PDBFixer

    plain = replace(
        chain,
        chain=_segments(chain),
        chain_label=np.full(len(chain), ""),
        residue_number=chain.residue_index + np.int32(1),
        insertion_code=np.full(len(chain), ""),
        is_hetero=np.zeros(len(chain), bool),
        links=np.zeros((0, 2), np.int32),
        crystal=None,
    )
    fixer = PDBFixer(pdbfile=io.StringIO(pdb_text(plain)), platform=_one_core())
    fixer.missingResidues = {}
    fixer.findNonstandardResidues()
    fixer.replaceNonstandardResidues()
    unknown = {residue.name for residue in fixer.topology.residues()} - fixer.templates.keys()
    if unknown:  # PDBFixer would look for their hydrogens on a server
        raise StructureError(
            chain.source,
            problem=f"the force field {FORCE_FIELD} does not know {', '.join(sorted(unknown))}",
            remedy="Leave the chain out",
        )
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=seed)
    with _python_random(seed):  # hydrogens start at random, and OpenMM asks for no seed
        fixer.addMissingHydrogens(7.0)
    return fixer.topology, np.array(fixer.positions.value_in_unit(unit.nanometer))  # type: ignore[attr-defined]


@contextmanager
def _python_random(seed: int) -> Iterator[None]:
    """Seed the random numbers of the standard library, and leave them as they were."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _minimized(
    source: str,
    topology: Topology,
    position: NDArray[np.float64],
    noise: float,
    restraint: float,
    iterations: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the relaxed positions, Å."""
    import openmm
    from openmm import app, unit

    try:
        system = app.ForceField(FORCE_FIELD).createSystem(
            topology,
            nonbondedMethod=app.CutoffNonPeriodic,  # type: ignore[arg-type]
            nonbondedCutoff=CUTOFF,
        )
    except ValueError as error:
        raise StructureError(
            source,
            problem=f"the force field {FORCE_FIELD} does not know it ({error})",
            remedy="Leave the chain out",
        ) from error
    if restraint:
        system.addForce(_restraint(topology, position, restraint))
    simulation = app.Simulation(
        topology,
        system,
        openmm.VerletIntegrator(0.001),
        _one_core(),
        {"DeterministicForces": "true"},
    )
    moves = np.random.default_rng(seed).normal(0.0, noise / 10.0, position.shape)
    simulation.context.setPositions(position + moves)
    try:
        simulation.minimizeEnergy(tolerance=TOLERANCE, maxIterations=iterations)
    except openmm.OpenMMException as error:
        raise StructureError(
            source, problem=f"no minimum of the energy ({error})", remedy="Leave the chain out"
        ) from error
    state = simulation.context.getState(getPositions=True)
    return state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)  # type: ignore[attr-defined]


def _one_core() -> Any:
    """Return OpenMM's platform for the CPU; other processes work beside this one."""
    from openmm import Platform

    platform = Platform.getPlatformByName("CPU")
    platform.setPropertyDefaultValue("Threads", "1")
    return platform


def _restraint(topology: Topology, position: NDArray[np.float64], strength: float) -> Any:
    import openmm

    force = openmm.CustomExternalForce("0.5*k*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
    force.addGlobalParameter("k", strength * KCAL_PER_SQUARE_ANGSTROM)
    for name in ("x0", "y0", "z0"):
        force.addPerParticleParameter(name)
    for row in np.flatnonzero(_is_heavy(topology)):
        force.addParticle(int(row), position[row])
    return force


def _is_heavy(topology: Topology) -> Bool[np.ndarray, " atoms"]:
    return np.array([atom.element.symbol != "H" for atom in topology.atoms()])


def turned_over(structure: Structure) -> Int[np.ndarray, " found"]:
    """Return the residues (their index) whose Cα has the hand of a D-amino acid.

    Random moves can turn one over, and no minimization turns it back.
    """
    place: dict[str, Float[np.ndarray, "residues 3"]] = {}
    for name in (*BACKBONE, "CB"):
        rows = np.flatnonzero(structure.atom_name == name)
        place[name] = np.full((structure.n_residues, 3), np.nan)
        place[name][structure.residue_index[rows]] = structure.position[rows]
    n, c, beta = (place[name] - place["CA"] for name in ("N", "C", "CB"))
    return np.flatnonzero((np.cross(n, c) * beta).sum(axis=1) < 0)


def _as_model(chain: Structure, topology: Topology, moved: NDArray[np.float64]) -> Structure:
    """Return the heavy atoms, with identity and B-factors of those of the chain."""
    row_of = {
        (int(residue), name): row
        for row, (residue, name) in enumerate(
            zip(chain.residue_index.tolist(), chain.atom_name.tolist(), strict=True)
        )
    }
    _, first = np.unique(chain.residue_index, return_index=True)
    kept, source, names, elements, residues, components = [], [], [], [], [], []
    for number, atom in enumerate(topology.atoms()):
        residue = int(atom.residue.id) - 1
        row = row_of.get((residue, atom.name), -1)
        # Every end of a segment gets an OXT; where it was none, there is no end.
        if atom.element.symbol == "H" or (atom.name == "OXT" and row < 0):
            continue
        kept.append(number)
        source.append(row)
        names.append(atom.name)
        elements.append(atom.element.symbol.upper())
        residues.append(residue)
        components.append(atom.residue.name)
    own, index = np.array(source), np.array(residues)
    model = chain.take(np.where(own >= 0, own, first[index]))
    return replace(
        model,
        record=np.arange(len(own), dtype=np.int32),
        residue_index=np.unique(index, return_inverse=True)[1].astype(np.int32),
        residue_name=np.array(components),
        atom_name=np.array(names),
        altloc=np.full(len(own), ""),
        element=np.array(elements),
        position=moved[kept].astype(np.float32),
        occupancy=np.ones(len(own), np.float32),
        b_iso=np.where(own >= 0, model.b_iso, np.nan).astype(np.float32),
        is_hetero=np.zeros(len(own), bool),
        links=np.zeros((0, 2), np.int32),
        u_aniso=None,
        crystal=None,
        entry=Entry(
            id=chain.entry.id,
            title=chain.entry.title,
            b_kind=chain.entry.b_kind,
            is_predicted=True,
        ),
    )
