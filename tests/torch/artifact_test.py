"""The file of a compiled model: what it holds, what it needs to be read, and every way in which it is refused."""

from __future__ import annotations

import json
import random
import re
import struct
import subprocess
import sys
import zlib
from collections import namedtuple
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import numpy as np  # noqa: E402
from torch.export import Dim  # noqa: E402
from torch.nn import functional  # noqa: E402

import dvm  # noqa: E402
from dvm.cli import main  # noqa: E402
from dvm.compiled.checksum import checksum  # noqa: E402
from dvm.compiled.container import _HEAD, _HEAD_BYTES, ArtifactError  # noqa: E402
from dvm.compiled.refusal import InputError  # noqa: E402

SEQ = Dim("seq", min=1, max=512)
Pair = namedtuple("Pair", "first second")


class Head(torch.nn.Module):
    """Only what there are kernels for."""

    def __init__(self):
        super().__init__()
        self.norm, self.mix = torch.nn.LayerNorm(8), torch.nn.Linear(8, 8)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls.add_(1)
        y = functional.softmax(self.mix(self.norm(x)), -1)
        return {
            "all": y,
            "turned": y.transpose(0, 1),
            "parts": Pair(y.sum(), [y[0]]),
            "calls": self.calls * 1,
        }


class Tied(torch.nn.Module):
    """A scan, which torch runs, an embedding, a product, and weights that are used twice."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(30, 16)
        self.out = torch.nn.Linear(16, 30, bias=False)
        self.out.weight = self.table.weight
        self.register_buffer("front", self.table.weight.detach()[:, :8])

    def forward(self, ids):
        x = self.table(ids)
        return self.out(torch.logcumsumexp(torch.tanh(x), 1)) + self.front.sum()


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return dvm.compile(Head(), (torch.randn(3, 8),), dynamic_shapes=({0: SEQ},))


@pytest.fixture(scope="module")
def tied():
    torch.manual_seed(0)
    ids = torch.ones(1, 5, dtype=torch.long)
    return dvm.compile(Tied(), (ids,), dynamic_shapes={"ids": {1: SEQ}})


@pytest.fixture(scope="module")
def file(tied, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tied.dvm"
    tied.save(path)
    return path


def test_a_loaded_model_gives_the_same_results(tied, file):
    loaded = dvm.load(file)
    assert loaded.framework == "torch"
    for length in (1, 5, 17, 512):
        ids = torch.randint(30, (1, length))
        assert torch.equal(loaded(ids), tied(ids))
    assert repr(loaded) == repr(tied)
    assert str(dvm.explain(loaded)) == str(dvm.explain(tied))
    with pytest.raises(InputError, match=r"dimension 1 is 513, wanted 1\.\.512 \(seq\)"):
        loaded(torch.ones(1, 513, dtype=torch.long))


def test_shared_weights_are_stored_once(file):
    bytes_of_table = 30 * 16 * 4
    size = file.stat().st_size
    assert bytes_of_table < size < 2 * bytes_of_table + header(file)[1]
    assert len(header(file)[0]["sections"]) == 1


def test_saving_what_was_loaded_gives_the_same_file(file, tmp_path):
    again = tmp_path / "again.dvm"
    dvm.load(file).save(again)
    assert again.read_bytes() == file.read_bytes()


def test_numpy_runs_it_when_torch_is_not_there(head, tmp_path):
    path, x = tmp_path / "head.dvm", torch.randn(5, 8)
    head.save(path)
    np.save(tmp_path / "x.npy", x.numpy())
    script = f"""
import sys
sys.modules["torch"] = None
import numpy as np, dvm
model = dvm.load({str(path)!r})
assert model.framework == "numpy", model.framework
result = model(np.load({str(tmp_path / "x.npy")!r}))
assert result["calls"] == 1 and model(np.ones((2, 8), np.float32))["calls"] == 2
assert "numpy.ndarray" in str(type(result["all"])) and result["parts"].second[0].shape == (8,)
print(model, dvm.explain(model))
try:
    model(np.ones((2, 8)))
except ValueError as error:
    assert "input x: elements of type float64 came, wanted float32" in str(error), error
np.save({str(tmp_path / "y.npy")!r}, result["turned"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "y.npy")), head(x)["turned"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_of_linear_layers_needs_no_torch(dtype, tmp_path):
    module = torch.nn.Sequential(
        torch.nn.Linear(16, 64), torch.nn.GELU(), torch.nn.Linear(64, 16, bias=False)
    ).to(dtype)
    rows = {0: Dim("rows", min=1, max=512)}
    model = dvm.compile(module, (torch.randn(3, 16, dtype=dtype),), dynamic_shapes=(rows,))
    assert dvm.explain(model).fallbacks == []
    assert len(dvm.explain(model).matmuls) == 2
    model.save(tmp_path / "model.dvm")
    loaded = dvm.load(tmp_path / "model.dvm")
    assert loaded.framework == "numpy"
    for count in (1, 7, 300):
        x = torch.randn(count, 16, dtype=dtype)
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(loaded(x.numpy())), module(x))


def test_the_framework_may_be_chosen(head, tmp_path, file):
    path, x = tmp_path / "head.dvm", torch.randn(5, 8)
    head.save(path)
    torch.testing.assert_close(dvm.load(path, framework="torch")(x)["all"], head(x)["all"])
    with pytest.raises(InputError, match="load it with framework='torch'"):
        dvm.load(path)(x)
    with pytest.raises(ArtifactError, match=r"NumPy has no aten::.*: framework='torch' has"):
        dvm.load(file, framework="numpy")
    with pytest.raises(ValueError, match="framework 'jax' came, wanted 'torch' or 'numpy'"):
        dvm.load(path, framework="jax")


def test_buffers_that_change_are_the_processes_own(head, tmp_path):
    path = tmp_path / "head.dvm"
    head.save(path)
    before = path.read_bytes()
    first, second = dvm.load(path, framework="torch"), dvm.load(path, framework="torch")
    x = torch.randn(2, 8)
    calls = first(x)["calls"].item()
    assert first(x)["calls"].item() == calls + 1
    assert second(x)["calls"].item() == calls
    assert path.read_bytes() == before


def test_loading_imports_no_compiler(file):
    script = f"""
import sys, dvm
model = dvm.load({str(file)!r})
import torch
model(torch.ones(1, 4, dtype=torch.long))
compilers = ("torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd", "sympy")
print(*[name for name in compilers if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_models_own_container_comes_back_as_a_dict(tmp_path):
    outputs = pytest.importorskip("transformers").modeling_outputs

    def model(x):
        return outputs.BaseModelOutput(last_hidden_state=x * 2)

    dvm.compile(model, (torch.ones(3),)).save(tmp_path / "model.dvm")
    result = dvm.load(tmp_path / "model.dvm")(np.ones(3, np.float32))
    assert type(result) is dict
    assert result["last_hidden_state"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.bool])
def test_constants_of_all_types_and_layouts(dtype, tmp_path):
    weights = [
        torch.randn(4, 6).to(dtype), torch.randn(6, 4).to(dtype).t(), torch.ones(()).to(dtype),
        torch.ones(4, 0).to(dtype), torch.ones(1, 6).to(dtype).expand(4, 6),
    ]  # fmt: skip
    module = torch.nn.Module()
    for number, weight in enumerate(weights):
        module.register_buffer(f"weight{number}", weight)
    module.forward = lambda x: tuple(torch.where(x, w, w) for w in module.buffers())
    model, x = (
        dvm.compile(module, (torch.ones(1, 1, dtype=torch.bool),)),
        torch.ones(1, 1, dtype=torch.bool),
    )
    model.save(tmp_path / "model.dvm")
    for actual, expected in zip(
        dvm.load(tmp_path / "model.dvm", framework="torch")(x), model(x), strict=True
    ):
        assert torch.equal(actual, expected)


def test_the_page_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    page = (Path(__file__).parents[2] / "docs" / "compile.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/compile.md", "exec"), names)
    assert names["rows"].shape == (100, 8)


def test_the_command_explains_a_saved_model(tmp_path, capsys, monkeypatch):
    dvm.compile(lambda x: x * 2 + 1, (torch.ones(3),)).save(tmp_path / "model.dvm")
    for path, code, stream, text in [
        (tmp_path / "model.dvm", 0, "out", "1 graph, 1 kernel, 0 operations in torch"),
        (tmp_path / "missing.dvm", 2, "err", "No such file"),
    ]:
        monkeypatch.setattr(sys, "argv", ["dvm", "explain", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert int(ended.value.code or 0) == code
        assert text in getattr(capsys.readouterr(), stream)


# What cannot be saved.


def test_what_no_file_can_hold(tmp_path):
    class Own:
        def __init__(self, x):
            self.x = x

    torch.utils._pytree.register_pytree_node(
        Own, lambda own: ([own.x], None), lambda parts, _: Own(parts[0])
    )
    model = dvm.compile(lambda x: Own(x * 2), (torch.ones(3),))
    assert model(torch.ones(3)).x.sum() == 6
    with pytest.raises(
        ValueError, match=r"\[save\] the model holds a Own, which is no builtin container"
    ):
        model.save(tmp_path / "model.dvm")
    model = dvm.compile(
        lambda x: torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,)), (torch.ones(3),)
    )
    assert model(-torch.ones(3)).sum() == -6
    with pytest.raises(ValueError, match=r"\[save\] the model holds a CondOp"):
        model.save(tmp_path / "model.dvm")
    assert list(tmp_path.iterdir()) == []


# What is refused.


def header(path):
    """The header of a file and where it ends."""
    data = path.read_bytes()
    length = _HEAD.unpack(data[: _HEAD.size])[3]
    return json.loads(data[_HEAD_BYTES : _HEAD_BYTES + length]), _HEAD_BYTES + length


def sealed(path, out, change=lambda header: None, **fields):
    """A copy with another header, or other fields of the head, all checksums as they should be."""
    data, (changed, end) = path.read_bytes(), header(path)
    change(changed)
    text = json.dumps(changed).encode()
    text += b" " * (-(_HEAD_BYTES + len(text)) % 64)
    values = dict(
        zip(
            ["magic", "version", "crc", "length", "total", "fingerprint", "rest"],
            _HEAD.unpack(data[: _HEAD.size]),
            strict=True,
        )
    )
    values |= {
        "crc": zlib.crc32(text),
        "length": len(text),
        "total": len(data) - end + _HEAD_BYTES + len(text),
    }
    values |= fields
    head = _HEAD.pack(*values.values())
    out.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + text + data[end:])
    return out


def refused(path):
    with pytest.raises(ArtifactError) as caught:
        dvm.load(path)
    return str(caught.value)


def test_other_versions_and_instruction_sets(file, tmp_path):
    out = tmp_path / "other.dvm"
    assert "is of version 99, this dvm reads" in refused(sealed(file, out, version=99))
    message = refused(sealed(file, out, fingerprint=b"0123".ljust(64, b"\0")))
    assert f"for the instruction set 0123, this dvm has {dvm.fingerprint()}" in message
    assert "is no compiled model: it begins with b'PK" in refused(
        sealed(file, out, magic=b"PK\3\4    ")
    )
    assert dvm.load(sealed(file, out)) is not None


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "model.dvm"
    with pytest.raises(FileNotFoundError):
        dvm.load(path)
    path.write_bytes(b"")
    assert "has 0 bytes, which is no compiled model" in refused(path)
    path.write_text("hello " * 100)
    assert "is no compiled model: it begins with b'hello he'" in refused(path)


def test_truncated_and_prolonged_files(file, tmp_path):
    data, path = file.read_bytes(), tmp_path / "model.dvm"
    _, end = header(file)
    for length in [1, 7, 8, 127, 128, 129, end - 1, end, end + 1, len(data) - 64, len(data) - 1]:
        path.write_bytes(data[:length])
        assert refused(path)
    path.write_bytes(data + b"\0" * 64)
    assert refused(path)


def test_a_flipped_byte_anywhere_is_noticed(file, tmp_path):
    data, path, rng = bytearray(file.read_bytes()), tmp_path / "model.dvm", random.Random(7)
    _, end = header(file)
    places = [*range(0, _HEAD_BYTES, 3), _HEAD_BYTES, end - 1, end, len(data) - 1]
    places += [rng.randrange(len(data)) for _ in range(300)]
    for place in places:
        flipped = rng.randrange(1, 256)
        data[place] ^= flipped
        path.write_bytes(data)
        assert refused(path)
        data[place] ^= flipped
    path.write_bytes(data)
    assert dvm.load(path) is not None


def test_the_checksum_of_weights_notices_what_happens_to_files():
    data = bytearray(random.Random(1).randbytes(3 * 4096 + 100))
    known = checksum(data)
    assert checksum(data + bytes(4096 - 100)) == known
    for damaged in [
        data[4096:8192] + data[:4096] + data[8192:],  # blocks in another order
        data[8:] + data[:8],
        data[:512] + data[1024:1536] + data[512:1024] + data[1536:],
        data[:4096] + bytes(4096) + data[8192:],
        data[: 2 * 4096] + data[:4096] + data[3 * 4096 :],
        data[:-1] + bytes([data[-1] ^ 128]),
    ]:
        assert checksum(damaged) != known
    assert checksum(b"") == 0


def test_headers_with_other_values_are_refused_or_run(file, tmp_path):
    """Whatever stands in a header with the right checksums, loading ends in a model or in an ArtifactError."""
    rng, out = random.Random(3), tmp_path / "model.dvm"
    strange = [
        None,
        -1,
        0,
        3,
        10**30,
        1.5,
        "",
        "x",
        "__import__('os')",
        "a" * 300,
        [],
        {},
        [[]],
        True,
        {"name": "x"},
    ]

    def disturb(value):
        while isinstance(value, dict | list) and value:
            keys = list(value) if isinstance(value, dict) else range(len(value))
            key = rng.choice(list(keys))
            if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.1:
                value[key] = rng.choice(strange)
                return
            value = value[key]

    outcomes = set()
    for _ in range(300):
        try:
            dvm.load(sealed(file, out, disturb))
            outcomes.add("loaded")
        except ArtifactError:
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: call(h).update(operation="os::system.default"), "is no operation that a file may name"),
        (lambda h: call(h).update(operation="aten::from_file.default"), "is no operation that a file may name"),
        (lambda h: call(h).update(operation="aten::save.default"), "has no operation"),
        (lambda h: call(h).update(operation="aten::no_such_thing.default"), "has no operation"),
        (lambda h: call(h).update(result="x; import os"), "is no name of a variable"),
        (lambda h: call(h).update(result="lambda"), "is no name of a variable"),
        (lambda h: call(h)["arguments"].append({"name": "nobody"}), "'nobody' is read before anything set it"),
        (lambda h: call(h)["arguments"].append({"expression": "().__class__"}), "is no arithmetic on sizes"),
        (lambda h: call(h)["arguments"].append({"expression": "open('x')"}), "is no arithmetic on sizes"),
        (lambda h: call(h)["arguments"].append({"expression": "9 ** 9 ** 9"}), "is no arithmetic on sizes"),
        (lambda h: call(h)["arguments"].append({"dtype": "os"}), "torch has no dtype 'os'"),
        (lambda h: h["signature"]["conditions"].append("exit()"), "is no arithmetic on sizes"),
        (lambda h: h["signature"]["conditions"].append("s99 > 3"), "no argument tells the size s99"),
        (lambda h: h["tensors"][0].update(offset=1 << 40), "lies outside of its section"),
        (lambda h: h["tensors"][0].update(shape=[1 << 40, 2]), "lies outside of its section"),
        (lambda h: h["tensors"][0].update(strides=[-1, 1]), "are no sizes"),
        (lambda h: h["tensors"].clear(), "there is no tensor"),
        (lambda h: h["flow"]["graphs"].__setitem__(0, "graph x { nonsense"), "graph"),
    ],
)  # fmt: skip
def test_headers_that_ask_for_what_they_may_not(file, tmp_path, change, message):
    assert message in refused(sealed(file, tmp_path / "model.dvm", change))


def call(header):
    """The first call of an operation of torch's in a header."""
    return next(step for step in header["flow"]["steps"] if step["step"] == "call")


def test_weights_of_a_loaded_model_are_packed(tmp_path):
    module = torch.nn.Linear(256, 256)
    rows = {0: Dim("rows", min=1, max=64)}
    dvm.compile(module, (torch.randn(4, 256),), dynamic_shapes={"input": rows}).save(tmp_path / "m")
    for framework in ("numpy", "torch"):
        loaded, before = dvm.load(tmp_path / "m", framework=framework), dvm.packed_stats()
        for rows in (5, 6):
            x = torch.randn(rows, 256)
            came = loaded(x if framework == "torch" else x.numpy())
            torch.testing.assert_close(torch.as_tensor(came), module(x).detach())
        assert dvm.packed_stats()["packed"] == before["packed"] + 1
        assert dvm.packed_stats()["refused"] == before["refused"]
