"""A structure becomes an :class:`AtomGraph`: neighbors, features, edges."""

from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph, join

__all__ = ["AtomGraph", "GraphConfig", "build_graph", "join"]
