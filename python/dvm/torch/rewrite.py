"""Nodes that passes over an ATen graph add to it, with what torch knows of their results."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import torch
from torch import fx


def call(graph: fx.Graph, target: Any, *arguments: Any, **named: Any) -> fx.Node:
    """A call of `target`, whose first argument is a tensor, where the graph is being written."""
    with warnings.catch_warnings():
        # Sizes stay arithmetic on symbols, which emit.py writes down.
        warnings.filterwarnings("ignore", message="Raw SymInt value")
        node = graph.call_function(target, arguments, named)
    node.meta["val"] = described(target, arguments, named)
    return node


def described(target: Any, arguments: Any, named: Any) -> Any:
    """What a call would give, as far as it is known before there are elements."""
    known = fx.map_arg(arguments, lambda node: node.meta["val"])
    fake_mode = known[0].fake_mode
    environment = fake_mode.shape_env
    # Tracing has seen these sizes before; nothing new is asked of them.
    quiet = environment.suppress_guards() if environment else contextlib.nullcontext()
    with fake_mode, quiet, torch.no_grad():
        return target(*known, **fx.map_arg(named, lambda node: node.meta["val"]))
