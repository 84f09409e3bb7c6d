"""The rows of this package fulfil the contracts of debye."""

from debye.models import build_model
from debye.targets.catalog import find_target
from debye.testing import check_model, check_target


def test_contracts():
    check_target(find_target("neighbors"))
    check_model(build_model("neighbor_sum", targets=[find_target("neighbors")]))
