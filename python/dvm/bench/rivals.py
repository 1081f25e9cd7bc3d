"""Other libraries beside ours: OpenBLAS and ONNX Runtime on a matrix product, ONNX Runtime and OpenVINO on a model.

They are not torch backends: a model is exported to ONNX first (zoo entries say which axes are dynamic). What is not
installed or not able is missing, with the reason, and the rest is measured without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from dvm.bench.zoo import Entry
from dvm.bench.zoo.entry import Inputs

Product = Callable[[], torch.Tensor]
Call = Callable[..., Any]

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112  # as cblas.h numbers them
_OPSET = 18


class Missing(Exception):  # noqa: N818 (a rival that is missing is no error)
    """Why a rival cannot take part."""


def _load(module: str) -> ModuleType:
    if importlib.util.find_spec(module) is None:
        raise Missing(f"{module} is not installed: pip install 'dvm[rivals]'")
    return importlib.import_module(module)


# Products: x[m, k] times the transpose of w[n, k]. Each writes into one result, again and again.


def openblas(x: torch.Tensor, w: torch.Tensor, threads: int) -> Product:
    """cblas_sgemm of the wheel scipy-openblas64."""
    wheel = _load("scipy_openblas64")
    library = ctypes.CDLL(str(Path(wheel.get_lib_dir()) / f"lib{wheel.get_library()}.so"))
    library.scipy_openblas_set_num_threads64_(ctypes.c_int64(threads))
    (m, k), n = x.shape, w.shape[0]
    y = torch.empty(m, n)
    size, scale = ctypes.c_int64, ctypes.c_float
    call = partial(
        library.scipy_cblas_sgemm64_,
        *(_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED, size(m), size(n), size(k), scale(1)),
        *(ctypes.c_void_p(x.data_ptr()), size(k), ctypes.c_void_p(w.data_ptr()), size(k)),
        *(scale(0), ctypes.c_void_p(y.data_ptr()), size(n)),
    )

    def product() -> torch.Tensor:
        call()
        return y

    product.operands = x, w  # type: ignore[attr-defined]  # the library has their addresses only
    return product


def onnxruntime_product(x: torch.Tensor, w: torch.Tensor, threads: int) -> Product:
    """A MatMul whose second operand is a constant of the model, as that of a linear layer, so that it may be packed
    once."""
    onnx = _load("onnx")
    (m, k), n = x.shape, w.shape[0]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", kind, ["m", k])],
        [onnx.helper.make_tensor_value_info("y", kind, ["m", n])],
        [onnx.numpy_helper.from_array(w.t().contiguous().numpy(), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", _OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = _session(model.SerializeToString(), threads)
    y = torch.empty(m, n)
    binding = session.io_binding()
    for bind, name, tensor in ((binding.bind_input, "x", x), (binding.bind_output, "y", y)):
        bind(name, "cpu", 0, "float32", tuple(tensor.shape), tensor.data_ptr())

    def product() -> torch.Tensor:
        session.run_with_iobinding(binding)
        return y

    return product


PRODUCTS: dict[str, Callable[[torch.Tensor, torch.Tensor, int], Product]] = {
    "openblas": openblas,
    "onnxruntime": onnxruntime_product,
}


# Models.


def export(entry: Entry, model: torch.nn.Module, folder: Path) -> Path:
    """The file in `folder` that `model` becomes, dynamic in the axes that `entry` names. Tracing is tried first, as
    it takes a tenth of the time; torch.export next. Raises Missing with what the latter says."""
    _load("onnx")
    path = folder / f"{entry.name}.onnx"
    example = entry.inputs(entry.first(), torch.Generator().manual_seed(0))
    names = [f"input{number}" for number in range(len(example))]
    ways: list[dict[str, Any]] = [
        {"dynamo": False, "dynamic_axes": dict(zip(names, entry.axes, strict=True))},
        {"dynamo": True, "dynamic_shapes": entry.dynamic_shapes(model)},
    ]
    reason = ""
    for way in ways:
        try:
            with _silence(), torch.no_grad():
                torch.onnx.export(
                    model, example, str(path), input_names=names, verbose=False, **way
                )
        except Exception as error:  # exporters raise whatever comes to their mind
            reason = str(error).strip().splitlines()[0]
        else:
            return path
    raise Missing(f"the model cannot be exported: {reason}")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing is written to the terminal, not by C++ either: exporters print whole graphs that they cannot trace."""
    kept = [os.dup(number) for number in (1, 2)]
    with Path(os.devnull).open("wb") as nothing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for number in (1, 2):
                os.dup2(nothing.fileno(), number)
            yield
        finally:
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _session(model: bytes | str, threads: int) -> Any:
    runtime = _load("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxruntime_model(path: Path, threads: int) -> Call:
    """The exported model on torch tensors, whose memory is shared."""
    session = _session(str(path), threads)
    wanted = {given.name for given in session.get_inputs()}

    def call(*inputs: torch.Tensor) -> Inputs:
        given = {name: tensor.numpy() for name, tensor in _named(inputs) if name in wanted}
        return tuple(torch.from_numpy(array) for array in session.run(None, given))

    return call


def openvino_model(path: Path, threads: int) -> Call:
    """As above. In f32: by default it computes in bf16 where the processor can."""
    core = _load("openvino").Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    request = compiled.create_infer_request()
    wanted = {name for port in compiled.inputs for name in port.names}

    def call(*inputs: torch.Tensor) -> Inputs:
        given = {name: tensor.numpy() for name, tensor in _named(inputs) if name in wanted}
        found = request.infer(given, share_inputs=True, share_outputs=True)
        return tuple(torch.from_numpy(found[port]) for port in compiled.outputs)

    return call


def _named(inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    return [(f"input{number}", tensor) for number, tensor in enumerate(inputs)]


MODELS: dict[str, Callable[[Path, int], Call]] = {
    "onnxruntime": onnxruntime_model,
    "openvino": openvino_model,
}


def models(
    entry: Entry, model: torch.nn.Module, threads: int, folder: Path
) -> tuple[dict[str, Call], dict[str, str]]:
    """Those that can run `model`, and why the others cannot. `folder` has to stay while they are called."""
    calls: dict[str, Call] = {}
    missing: dict[str, str] = {}
    try:
        path = export(entry, model, folder)
    except Missing as reason:
        return {}, dict.fromkeys(MODELS, str(reason))
    for name, load in MODELS.items():
        try:
            calls[name] = load(path, threads)
        except Exception as error:  # Missing, or whatever a runtime says of a model it cannot read
            missing[name] = str(error).strip().splitlines()[0]
    return calls, missing


def products(
    x: torch.Tensor, w: torch.Tensor, threads: int
) -> tuple[dict[str, Product], dict[str, str]]:
    """Those that can multiply, each seen to do it right, and why the others cannot."""
    calls: dict[str, Product] = {}
    missing: dict[str, str] = {}
    wanted = x @ w.t()
    for name, make in PRODUCTS.items():
        try:
            call = make(x, w, threads)
        except Missing as reason:
            missing[name] = str(reason)
        else:
            torch.testing.assert_close(call(), wanted, rtol=1e-3, atol=1e-3)
            calls[name] = call
    return calls, missing
