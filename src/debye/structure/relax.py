"""A chain of a crystal as a program that predicts structures would give it: complete, and at rest in a force field.

Coordinates of a crystal know how well each atom was seen: side chains without density are cut short, and what refinement
restrains little is a little off. Predicted models have none of this. Needs the extra ``relax`` (OpenMM and PDBFixer).
"""

from __future__ import annotations

import io
import os
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from debye.errors import ConfigError, StructureError
from debye.structure.export import pdb_text
from debye.structure.structure import Structure

if TYPE_CHECKING:
    from openmm.app import Topology

FORCE_FIELD = "amber99sbildn.xml"
CUTOFF = 1.0
"""nm, of the forces between atoms that are not bonded."""
TOLERANCE = 10.0
"""kJ/mol/nm; below this root mean square of the forces minimization stops."""
BACKBONE = ("N", "CA", "C")
LONGEST_PEPTIDE_BOND = 2.0
"""Å. Residues farther apart are not bonded: residues between them are missing."""
SEGMENT_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits
KCAL_PER_SQUARE_ANGSTROM = 418.4
"""kJ/mol/nm²."""


class RelaxConfig(BaseModel, frozen=True, extra="forbid"):
    """How far from its crystal a chain is taken."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the entries, drawn one by one."""
    held: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the chains that are held near their coordinates; the others are disturbed first, and free."""
    restraint: NonNegativeFloat = 10.0
    """kcal/mol/Å², of the heavy atoms of a held chain: as AlphaFold relaxes its models.

    Reference: Jumper et al. (2021), doi:10.1038/s41586-021-03819-2, supplement 1.8.6."""
    least_noise: NonNegativeFloat = 0.1
    noise: NonNegativeFloat = 0.4
    """Å. Standard deviation of the random moves of the atoms of a free chain: at least and at most, drawn for each."""
    iterations: PositiveInt = 200
    """Of the minimization, at most."""
    max_atoms: PositiveInt = 2_500
    """Larger chains are left out."""
    seed: NonNegativeInt = 1


def check_relax_extra(command: str) -> None:
    """Refuse to start without the packages that only relaxation needs.

    Raises:
        ConfigError: OpenMM or PDBFixer is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in ("openmm", "pdbfixer") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            command,
            problem=f"needs the extra relax: {' and '.join(missing)} cannot be imported",
            remedy="Install it with: pip install 'debye[relax]'",
        )


def relax_chain(
    structure: Structure, *, noise: float, restraint: float, iterations: int, seed: int
) -> Structure:
    """Complete the residues of a protein chain and minimize its energy, alone and in vacuo.

    Residues without a complete backbone are left out, nonstandard ones that PDBFixer knows are replaced by the usual
    ones, side chains are completed; missing residues stay missing, and the ends that they leave are no bonds.

    Args:
        structure: Heavy atoms of one protein chain, one conformer.
        noise: Standard deviation of random moves before the minimization, Å.
        restraint: Of heavy atoms to where they were before these moves, kcal/mol/Å²; 0: none.
        iterations: Of the minimization, at most.
        seed: Of the random moves and of the side chains.

    Returns:
        A predicted model of the chain: heavy atoms, without crystal and header, atoms that were added with a B of NaN.

    Raises:
        StructureError: nothing is left, or the force field does not know what is left.
    """
    chain = _complete_backbones(structure)
    topology, position = _completed(chain, seed)
    moved = _minimized(chain.source, topology, position, noise, restraint, iterations, seed)
    return _as_model(chain, topology, moved)


def _complete_backbones(structure: Structure) -> Structure:
    """Keep residues of which N, CA and C are there; of two atoms of one name the first."""
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


def _segments(structure: Structure) -> NDArray[np.str_]:
    """Name the runs of bonded residues, one name an atom."""
    place: dict[str, Float[np.ndarray, "residues 3"]] = {}
    for name in ("N", "C"):
        rows = np.flatnonzero(structure.atom_name == name)
        _, first = np.unique(structure.residue_index[rows], return_index=True)
        place[name] = structure.position[rows[first]]
    gap = np.linalg.norm(place["C"][:-1] - place["N"][1:], axis=1) > LONGEST_PEPTIDE_BOND
    number = np.concatenate([[0], np.cumsum(gap)])
    if number[-1] >= len(SEGMENT_NAMES):
        raise StructureError(
            structure.source,
            problem=f"{number[-1]} gaps in one chain",
            remedy="Leave the chain out",
        )
    return np.array(list(SEGMENT_NAMES))[number][structure.residue_index]


def _completed(chain: Structure, seed: int) -> tuple[Topology, NDArray[np.float64]]:
    """Return the topology with all atoms, hydrogens included, and where they are, nm."""
    # PDBFixer asks for all cores; those that work beside this process need theirs.
    os.environ.setdefault("OPENMM_CPU_THREADS", "1")
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
    fixer = PDBFixer(pdbfile=io.StringIO(pdb_text(plain)))
    fixer.missingResidues = {}
    fixer.findNonstandardResidues()
    fixer.replaceNonstandardResidues()
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=seed)
    with _python_random(seed):  # hydrogens start at random, and OpenMM asks for no seed
        fixer.addMissingHydrogens(7.0)
    return fixer.topology, np.array(fixer.positions.value_in_unit(unit.nanometer))


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
    """Return the positions at rest, Å."""
    import openmm
    from openmm import app, unit

    try:
        system = app.ForceField(FORCE_FIELD).createSystem(
            topology,
            nonbondedMethod=app.CutoffNonPeriodic,
            nonbondedCutoff=CUTOFF * unit.nanometer,
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
        openmm.Platform.getPlatformByName("CPU"),
        {"Threads": "1", "DeterministicForces": "true"},
    )
    moves = np.random.default_rng(seed).normal(0.0, noise / 10.0, position.shape)
    simulation.context.setPositions(position + moves)
    simulation.minimizeEnergy(tolerance=TOLERANCE, maxIterations=iterations)
    state = simulation.context.getState(getPositions=True)
    moved = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    if not np.isfinite(moved).all():
        raise StructureError(
            source, problem="the minimization diverged", remedy="Leave the chain out"
        )
    return moved


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
        entry=replace(
            chain.entry,
            method="",
            resolution=None,
            r_free=None,
            program="",
            has_tls=False,
            is_predicted=True,
        ),
    )
