"""``python -m debye`` is ``debye``."""

from debye.cli.main import main

if __name__ == "__main__":
    main()
