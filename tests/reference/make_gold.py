"""Write what the released models predict for the example today, to be compared with tomorrow's."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from debye.models.checkpoint import released_checkpoints
from debye.prediction.predictor import Predictor

EXAMPLE = Path(__file__).parents[2] / "examples" / "designed_protein.cif"


def main() -> None:
    """Predict the example in float32 with every released graph network."""
    with (Path(__file__).parent / "gold_predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "b_predicted"])
        for name in released_checkpoints():
            predictor = Predictor.from_checkpoint(name, precision="float32")
            if not predictor.calibrations:
                continue
            found = predictor.predict(EXAMPLE).b_predicted
            writer.writerows((name, f"{value:.2f}") for value in found[np.isfinite(found)])


if __name__ == "__main__":
    main()
