from __future__ import annotations

import numpy as np
import pytest

from debye.errors import StructureError


def test_arrays_of_other_length_are_refused(make_values):
    with pytest.raises(StructureError, match=r"s000: 60 true values, but predicted has shape"):
        make_values(predicted=np.zeros(59, np.float32))


def test_one_bound_alone_is_refused(make_values):
    with pytest.raises(StructureError, match="only one of the two bounds"):
        make_values(upper=None)


def test_length_is_the_number_of_atoms(make_values):
    assert len(make_values(atoms=42)) == 42
