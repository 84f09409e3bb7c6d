"""Executable contracts of models, features and targets, for this package and for plugins.

Each ``check_*`` function raises AssertionError with the worst deviation.
"""

from debye.testing.features import check_feature
from debye.testing.models import check_model
from debye.testing.peptide import build_peptide, peptide_in_crystal
from debye.testing.targets import check_target

__all__ = ["check_model", "check_feature", "check_target", "build_peptide", "peptide_in_crystal"]
