"""Many models on the same data: trained with several seeds, evaluated, put side by side in a report."""

from debye.benchmark.comparison.compare import Comparison
from debye.benchmark.comparison.config import CompareConfig
from debye.benchmark.comparison.contenders import Contender, read_contenders

__all__ = ["Comparison", "CompareConfig", "Contender", "read_contenders"]
