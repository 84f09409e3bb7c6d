"""A chain of a crystal → a model like a predicted one: complete, and relaxed in a force field.

Crystal coordinates carry traces of the electron density: side chains without density are cut short, and weakly restrained
atoms deviate from ideal geometry. Predicted models have neither. Needs the extra ``relax`` (OpenMM and PDBFixer).

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
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.chemistry import MAIN_CHAIN
from debye.structure.structure import Entry, Structure
from debye.structure.write import pdb_text

if TYPE_CHECKING:
    from openmm.app import Topology

FORCE_FIELD = "amber99sbildn.xml"
CUTOFF = 1.0
"""nm, of the forces between atoms that are not bonded; beyond it OpenMM uses the reaction field of water."""
TOLERANCE = 10.0
"""kJ/mol/nm; the minimization stops at this root mean square force. Free chains mostly stop at the limit of iterations."""
LONGEST_PEPTIDE_BOND = 2.0
"""Å, from C to N; with a longer distance, residues in between are missing."""
SEGMENT_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits
KCAL_PER_SQUARE_ANGSTROM = 418.4
"""kJ/mol/nm²."""


def relax_chain(
    structure: Structure, *, noise: float, restraint: float, iterations: int, seed: int
) -> Structure:
    """Complete the residues of one protein chain and minimize its energy in vacuum.

    Residues without a complete backbone or without a bonded neighbor are left out, nonstandard ones that PDBFixer knows
    become standard ones, side chains are completed. Missing residues stay missing; the chain is not bonded across them.

    Args:
        structure: Heavy atoms of one protein chain, one conformer.
        noise: Standard deviation of a random move along each axis before the minimization, Å.
        restraint: Force constant that holds heavy atoms where they were before these moves, kcal/mol/Å²; 0: none.
        iterations: Of the minimization, at most.
        seed: Of the random moves and of the side chains.

    Returns:
        A predicted model of the chain: heavy atoms, without crystal and header; added atoms have a B of NaN.

    Raises:
        StructureError: No residue is left, the force field lacks one of them, or the minimization fails.
    """
    chain = _bonded_residues(_complete_backbones(structure))
    topology, position = _completed(chain, seed)
    system = _system(chain.source, topology)
    if restraint:
        system.addForce(_restraint(topology, position, restraint))
    moves = np.random.default_rng(seed).normal(0.0, noise / 10.0, position.shape)
    moved = _minimized(chain.source, topology, system, position + moves, iterations)
    return _as_model(chain, topology, moved)


def _complete_backbones(structure: Structure) -> Structure:
    """Keep residues with N, CA and C; of two atoms, or two residues, in one place the first."""
    index = structure.residue_index
    _, start = np.unique(index, return_index=True)
    structure = structure.take(structure.residue_name == structure.residue_name[start][index])
    atoms = np.char.add(np.char.add(structure.residue_index.astype(str), " "), structure.atom_name)
    structure = structure.take(np.sort(np.unique(atoms, return_index=True)[1]))
    found = [structure.residue_index[structure.atom_name == name] for name in MAIN_CHAIN]
    whole = reduce(np.intersect1d, found)
    return _not_empty(structure, np.isin(structure.residue_index, whole), "has N, CA and C")


def _bonded_residues(structure: Structure) -> Structure:
    """Keep residues that have a neighbor: force fields have none that is both ends of a chain."""
    number = _segment_numbers(structure)
    has_neighbor = np.bincount(number)[number] > 1
    return _not_empty(structure, has_neighbor[structure.residue_index], "is bonded to another one")


def _not_empty(structure: Structure, kept: NDArray[np.bool_], criterion: str) -> Structure:
    if not kept.any():
        problem, remedy = f"no residue {criterion}", "Give a protein chain with its backbone"
        raise StructureError(structure.source, problem, remedy)
    return structure.take(kept)


def _segment_numbers(structure: Structure) -> Int[np.ndarray, " residues"]:
    """Number the runs of bonded residues."""
    n, c = (_places(structure, name) for name in ("N", "C"))
    gap = np.linalg.norm(c[:-1] - n[1:], axis=1) > LONGEST_PEPTIDE_BOND
    return np.concatenate([[0], np.cumsum(gap)])


def _places(structure: Structure, name: str) -> Float[np.ndarray, "residues 3"]:
    """Return where the atom of a name is in each residue, Å; NaN if there is none."""
    rows = np.flatnonzero(structure.atom_name == name)
    place = np.full((structure.n_residues, 3), np.nan)
    place[structure.residue_index[rows]] = structure.position[rows]
    return place


def _completed(chain: Structure, seed: int) -> tuple[Topology, NDArray[np.float64]]:
    """Return the topology with all atoms, hydrogens included, and their positions, nm."""
    from openmm import unit
    from pdbfixer import PDBFixer

    number = _segment_numbers(chain)
    if number[-1] >= len(SEGMENT_NAMES):
        raise _left_out(chain.source, f"{number[-1]} gaps in one chain")
    plain = replace(
        chain,
        chain=np.array(list(SEGMENT_NAMES))[number][chain.residue_index],
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
        names = ", ".join(sorted(unknown))
        raise _left_out(chain.source, f"the force field {FORCE_FIELD} does not know {names}")
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=seed)
    # Hydrogens start at random positions, for which OpenMM takes no seed.
    with _python_random(seed):
        fixer.addMissingHydrogens(7.0)
    return fixer.topology, np.array(fixer.positions.value_in_unit(unit.nanometer))  # type: ignore[attr-defined]


def _left_out(source: str, problem: str) -> StructureError:
    return StructureError(source, problem, "Leave the chain out")


@contextmanager
def _python_random(seed: int) -> Iterator[None]:
    """Seed the random numbers of the standard library, and leave them as they were."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _system(source: str, topology: Topology) -> Any:
    """Return OpenMM's system: the forces between the atoms."""
    from openmm import app

    try:
        return app.ForceField(FORCE_FIELD).createSystem(
            topology,
            nonbondedMethod=app.CutoffNonPeriodic,  # type: ignore[arg-type]
            nonbondedCutoff=CUTOFF,
        )
    except ValueError as error:
        problem = f"the force field {FORCE_FIELD} does not know it ({error})"
        raise _left_out(source, problem) from error


def _minimized(
    source: str, topology: Topology, system: Any, start: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    """Return the relaxed positions, Å, from positions in nm."""
    import openmm
    from openmm import app, unit

    simulation = app.Simulation(
        topology,
        system,
        openmm.VerletIntegrator(0.001),
        _one_core(),
        {"DeterministicForces": "true"},
    )
    simulation.context.setPositions(start)
    try:
        simulation.minimizeEnergy(tolerance=TOLERANCE, maxIterations=iterations)
    except openmm.OpenMMException as error:
        raise _left_out(source, f"no minimum of the energy ({error})") from error
    state = simulation.context.getState(getPositions=True)
    return state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)  # type: ignore[attr-defined]


def _one_core() -> Any:
    """Return OpenMM's platform for the CPU, with one thread: other processes use the other cores."""
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
    for row, atom in enumerate(topology.atoms()):
        if atom.element.symbol != "H":
            force.addParticle(row, position[row])
    return force


def inverted_residues(structure: Structure) -> Int[np.ndarray, " found"]:
    """Return the residues (their index) whose Cα has the hand of a D-amino acid.

    Random moves can invert one, and no minimization inverts it back.
    """
    n, ca, c, cb = (_places(structure, name) for name in ("N", "CA", "C", "CB"))
    return np.flatnonzero((np.cross(n - ca, c - ca) * (cb - ca)).sum(axis=1) < 0)


def _as_model(chain: Structure, topology: Topology, moved: NDArray[np.float64]) -> Structure:
    """Return the heavy atoms, with identity and B-factors of those of the chain."""
    keys = zip(chain.residue_index.tolist(), chain.atom_name.tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(keys)}
    atoms = [
        (number, row_of.get((int(atom.residue.id) - 1, atom.name), -1), atom)
        for number, atom in enumerate(topology.atoms())
        if atom.element.symbol != "H"
    ]
    # Every end of a segment gets an OXT; if the chain has none, the segment is not its end.
    atoms = [each for each in atoms if each[2].name != "OXT" or each[1] >= 0]
    kept, own = (np.array([each[column] for each in atoms]) for column in (0, 1))
    index = np.array([int(atom.residue.id) - 1 for _, _, atom in atoms])
    _, first = np.unique(chain.residue_index, return_index=True)
    model = chain.take(np.where(own >= 0, own, first[index]))
    facts = chain.entry
    return replace(
        model,
        record=np.arange(len(own), dtype=np.int32),
        residue_index=np.unique(index, return_inverse=True)[1].astype(np.int32),
        residue_name=np.array([atom.residue.name for _, _, atom in atoms]),
        atom_name=np.array([atom.name for _, _, atom in atoms]),
        altloc=np.full(len(own), ""),
        element=np.array([atom.element.symbol.upper() for _, _, atom in atoms]),
        position=moved[kept].astype(np.float32),
        occupancy=np.ones(len(own), np.float32),
        b_iso=np.where(own >= 0, model.b_iso, np.nan).astype(np.float32),
        is_hetero=np.zeros(len(own), bool),
        links=np.zeros((0, 2), np.int32),
        u_aniso=None,
        crystal=None,
        entry=Entry(id=facts.id, title=facts.title, b_kind=facts.b_kind, is_predicted=True),
    )
