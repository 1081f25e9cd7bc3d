"""DVM for PyTorch: as a backend of torch.compile, and as a scope that fuses eager code.

compiled = torch.compile(model, backend="dvm", dynamic=True)
with dvm.torch.fuse(): ...
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
from dvm.torch.eager.scope import disable_fusion, enable_fusion, fuse
from dvm.torch.explain import Explanation, explain
from dvm.torch.options import Options

del _torch

__all__ = ["Explanation", "Options", "disable_fusion", "dvm", "enable_fusion", "explain", "fuse"]
