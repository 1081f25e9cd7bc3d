"""DVM as a backend of torch.compile.

compiled = torch.compile(model, backend="dvm", dynamic=True)
"""

from __future__ import annotations

try:
    import torch as _torch
except ImportError as error:
    raise ImportError(
        "[dvm.torch] PyTorch is not installed: dvm.torch is the torch.compile backend. Install the build "
        'for your machine as https://pytorch.org says, or run `pip install "dvm[torch]"`'
    ) from error

from dvm.torch.backend import dvm
from dvm.torch.explain import Explanation, explain
from dvm.torch.options import Options

del _torch

__all__ = ["Explanation", "Options", "dvm", "explain"]
