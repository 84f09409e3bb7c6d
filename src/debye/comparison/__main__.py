"""``python -m debye.comparison FOLDER``: one run of a comparison, see :mod:`debye.comparison.job`."""

import sys
from pathlib import Path

from debye.comparison.job import WATCH_PARENT, main

if __name__ == "__main__":
    folder, *options = sys.argv[1:]
    sys.exit(main(Path(folder), watch_parent=options == [WATCH_PARENT]))
