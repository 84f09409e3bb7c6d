"""Many models on the same data: trained with several seeds, evaluated, compared."""

from debye.benchmark.comparison.compare import Comparison
from debye.benchmark.comparison.contenders import Contender, read_contenders
from debye.benchmark.comparison.plan import CompareConfig

__all__ = ["Comparison", "CompareConfig", "Contender", "read_contenders"]
