"""``python -m debye.benchmark.comparison FOLDER``: one run of a comparison, see :mod:`debye.benchmark.comparison.job`."""

import sys
from pathlib import Path

from debye.benchmark.comparison.job import main
from debye.benchmark.comparison.run_folder import WATCH_PARENT

if __name__ == "__main__":
    folder, *options = sys.argv[1:]
    sys.exit(main(Path(folder), watch_parent=options == [WATCH_PARENT]))
