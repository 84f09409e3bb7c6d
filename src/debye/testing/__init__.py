"""Executable contracts of models, features, targets and archives, for this package and for plugins.

Each ``check_*`` function raises AssertionError with the worst deviation.
"""

from debye.testing.models import check_model
from debye.testing.peptide import build_peptide, peptide_in_crystal
from debye.testing.rows import check_archive, check_feature, check_target

__all__ = ["check_model", "check_feature", "check_target", "check_archive"]
__all__ += ["build_peptide", "peptide_in_crystal"]
