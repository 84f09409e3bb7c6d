"""The digest of graph code follows the features of a configuration and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from debye.graph import features
from debye.graph.code_digest import code_digest
from debye.graph.config import GraphConfig
from debye.graph.features import NODE_FEATURES
from debye.plugins import Catalog

CONFIG = GraphConfig(node_scalars=("degree_5", "wcn"))
SCALE = 2.0


def helper(context):
    return np.full(len(context.structure), SCALE, np.float32)


def other_helper(context):
    return np.full(len(context.structure), SCALE + 1.0, np.float32)


@pytest.fixture
def digest(monkeypatch):
    """Digest a configuration with one feature computed in another way."""

    def of(config, name=None, compute=None):
        rows = [
            replace(row, compute=compute) if row.name == name else row
            for row in NODE_FEATURES.builtin.values()
        ]
        changed = Catalog("atom feature", "debye.features", features.NodeFeature, rows)
        monkeypatch.setattr(features, "NODE_FEATURES", changed)
        code_digest.cache_clear()
        found = code_digest(config)
        monkeypatch.undo()
        code_digest.cache_clear()
        return found

    return of


def test_only_features_of_the_configuration_count(digest):
    assert digest(CONFIG) == digest(CONFIG, "depth", helper)
    assert digest(CONFIG) != digest(CONFIG, "wcn", helper)
    assert digest(CONFIG) != digest(GraphConfig(node_scalars=("degree_5",)))


def test_functions_and_constants_that_a_feature_uses_count(digest, monkeypatch):
    before = digest(CONFIG, "wcn", lambda context: helper(context))
    assert before != digest(CONFIG, "wcn", lambda context: other_helper(context))
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    code_digest.cache_clear()
    assert before != digest(CONFIG, "wcn", lambda context: helper(context))


def test_parameters_of_a_row_count(digest):
    def scaled(factor):
        return lambda context: helper(context) * factor

    assert digest(CONFIG, "wcn", scaled(1.0)) == digest(CONFIG, "wcn", scaled(1.0))
    assert digest(CONFIG, "wcn", scaled(1.0)) != digest(CONFIG, "wcn", scaled(2.0))


@pytest.mark.slow
def test_every_process_finds_the_same_digest():
    code = "from debye.graph import GraphConfig; from debye.graph.code_digest import code_digest; "
    code += "print(code_digest(GraphConfig()))"
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        for _ in range(2)
    }
    assert len(found) == 1
