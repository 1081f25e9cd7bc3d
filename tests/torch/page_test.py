"""What explain records of a model for its page: the tensors between kernels and torch, and their bytes."""

import json

import pytest

torch = pytest.importorskip("torch")

import dvm  # noqa: E402
from dvm.flow.traffic import at_sizes  # noqa: E402


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(16)

    def forward(self, x):
        for _ in range(3):
            x = self.norm(x + torch.nn.functional.gelu(torch.logcumsumexp(x, 1)))
        return x


@pytest.fixture(scope="module")
def block():
    rows = torch.export.Dim("rows", min=2, max=1000)
    return dvm.compile(Block().eval(), (torch.randn(5, 16),), dynamic_shapes=({0: rows},))


def test_tensors_flow_from_the_argument_to_the_result(block):
    wiring = block.explain()["graphs"][0]["wiring"]
    kinds = [node["kind"] for node in wiring["nodes"]]
    assert kinds == ["input", *["torch", "kernel"] * 3, "output"]
    ends = [(edge["from"], edge["to"]) for edge in wiring["edges"]]
    assert sorted(ends) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 3),
        (2, 4),
        (3, 4),
        (4, 5),
        (4, 6),
        (5, 6),
        (6, 7),
    ]
    assert {edge["type"] for edge in wiring["edges"]} == {"f32"}
    assert [len(node["weights"]) for node in wiring["nodes"]] == [0, *[0, 2] * 3, 0]


def test_bytes_are_arithmetic_on_sizes(block):
    graph = block.explain()["graphs"][0]
    (symbol,) = (symbol["name"] for symbol in graph["symbols"])
    assert graph["sizes"] == {symbol: 5}
    for kernel in graph["kernels"]:
        assert at_sizes(kernel["bytes"], {symbol: 10}) == (3 * 10 * 16 + 2 * 16) * 4
    # What a layer reads and makes, and what torch makes of it in between.
    assert at_sizes(graph["peak_bytes"], {symbol: 10}) == 3 * 10 * 16 * 4


class Products(torch.nn.Module):
    """A product whose tiles a kernel finishes, and one that a norm over rows reads."""

    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 64), torch.nn.Linear(64, 16)
        self.norm = torch.nn.LayerNorm(16)

    def forward(self, x):
        return self.norm(x + self.down(torch.nn.functional.gelu(self.up(x))))


@pytest.fixture(scope="module")
def products():
    rows = torch.export.Dim("rows", min=2, max=1000)
    return dvm.compile(Products().eval(), (torch.randn(5, 16),), dynamic_shapes=({0: rows},))


def test_a_product_and_the_kernel_that_finishes_it_are_one_node(products):
    graph = products.explain()["graphs"][0]
    nodes, edges = graph["wiring"]["nodes"], graph["wiring"]["edges"]
    assert [node["kind"] for node in nodes] == ["input", "matmul", "matmul", "kernel", "output"]
    up, down, norm = nodes[1:4]
    assert graph["kernels"][up["kernel"]]["ops"] == ["add", "gelu"]
    assert down["kernel"] is None
    assert "rsqrt" in graph["kernels"][norm["kernel"]]["ops"]
    assert sorted((edge["from"], edge["to"]) for edge in edges) == [
        (0, 1), (0, 3), (1, 2), (2, 3), (3, 4),
    ]  # fmt: skip
    assert [len(node["weights"]) for node in (up, down, norm)] == [2, 1, 3]
    assert [[tensor["shape"][1] for tensor in node["makes"]] for node in (up, down)] == [[64], [16]]


def test_a_product_that_is_finished_on_tiles_is_never_in_memory(products):
    graph = products.explain()["graphs"][0]
    (symbol,) = (symbol["name"] for symbol in graph["symbols"])
    up, down = graph["matmuls"]
    rows = {symbol: 10}
    assert at_sizes(up["flops"], rows) == at_sizes(down["flops"], rows) == 2 * 10 * 16 * 64
    assert at_sizes(up["bytes"], rows) == (10 * 16 + 16 * 64) * 4
    assert at_sizes(down["bytes"], rows) == (10 * 64 + 64 * 16 + 10 * 16) * 4
    # Beside the products' own operands the kernels read their weights and what is left of the argument.
    gelu, norm = (graph["kernels"][number] for number in (up["epilogue"], 1 - up["epilogue"]))
    assert at_sizes(gelu["bytes"], rows) == (64 + 10 * 64) * 4
    assert at_sizes(norm["bytes"], rows) == (3 * 10 * 16 + 3 * 16) * 4
    # The rows of 64, and what the second product makes of them.
    assert at_sizes(graph["peak_bytes"], rows) == 10 * (64 + 16) * 4


class Gated(torch.nn.Module):
    """Two products that meet: one is in memory, and what becomes of both lies where it did."""

    def __init__(self):
        super().__init__()
        self.norm, self.down = torch.nn.LayerNorm(16), torch.nn.Linear(64, 16)
        self.gate, self.up = torch.nn.Linear(16, 64), torch.nn.Linear(16, 64)

    def forward(self, x):
        x = self.norm(x)
        return self.down(torch.nn.functional.silu(self.gate(x)) * self.up(x))


def test_what_lies_over_an_operand_needs_no_room_of_its_own():
    rows = torch.export.Dim("rows", min=2, max=1000)
    gated = dvm.compile(Gated().eval(), (torch.randn(5, 16),), dynamic_shapes=({0: rows},))
    graph = gated.explain()["graphs"][0]
    (symbol,) = (symbol["name"] for symbol in graph["symbols"])
    # The norm and the gate, then the gated rows and the result.
    assert at_sizes(graph["peak_bytes"], {symbol: 10}) == 10 * (16 + 64) * 4


def test_a_profile_tells_the_bytes_that_explain_tells(products):
    graph = products.explain()["graphs"][0]
    (symbol,) = (symbol["name"] for symbol in graph["symbols"])
    parts = [*graph["kernels"], *graph["matmuls"]]
    told = sum(at_sizes(part["bytes"], {symbol: 10}) for part in parts)
    with dvm.profile() as profile:
        products(torch.randn(10, 16))
    assert sum(event.bytes for event in profile.work) == told


def test_page_and_text_tell_of_products(products):
    account = products.explain()
    text, html = str(account), account.html()
    assert "2 matrix products" in text
    up, down, norm = (text.index(line) for line in ("[16, 64] ->", "[64, 16] ->", "rsqrt"))
    assert up < text.index("whose tiles are finished by add gelu") < down < norm
    assert "2048*rows flops" in text
    assert "Matrix products" in html
    assert html.count('class="node matmul') == 2
    assert "2048·rows flops" in html
    group = html.split('class="node matmul')[1].split("</g>")[0]
    assert "matmul [rows, 16] x [16, 64]" in group
    assert ">gelu</text>" in group


def test_bytes_are_told_for_the_sizes_of_examples(block):
    (size,) = dvm.explain(block, torch.empty(70, 16))["graphs"][0]["sizes"].values()
    assert size == 70
    with pytest.raises(ValueError, match=r"\[explain\] shapes .* wanted x of rank 2"):
        dvm.explain(block, torch.empty(70))


def test_page_tells_of_every_kernel_and_fallback(block):
    account = block.explain()
    html = account.html()
    for number, kernel in enumerate(account.kernels):
        assert f'id="g0k{number}"' in html
        assert " ".join(kernel["ops"]) in html
    for fallback in account.fallbacks:
        assert fallback["name"] in html
        assert fallback["reason"] in html
    assert "rows" in html
    assert "2..1000" in html
    hues = {
        part.split('"')[0]
        for part in html.split("--hue:")[1:]
        if part[0].isdigit() and '"' in part[:4]
    }
    assert len(hues) == 1  # the three layers are equal


class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v) + 1


def test_attention_is_told_of_as_products_are():
    old = torch.export.Dim("old", min=2, max=1000)
    args = torch.randn(1, 4, 3, 8), torch.randn(1, 4, 5, 8), torch.randn(1, 4, 5, 8)
    made = dvm.compile(Attention().eval(), args, dynamic_shapes=({}, {2: old}, {2: old}))
    account = made.explain()
    graph = account["graphs"][0]
    (attention,) = account.attentions
    (symbol,) = (symbol["name"] for symbol in graph["symbols"])
    assert at_sizes(attention["flops"], {symbol: 10}) == 4 * (4 * 3 * 10 * 8)
    assert at_sizes(attention["bytes"], {symbol: 10}) == 4 * (2 * 4 * 3 * 8 + 2 * 4 * 10 * 8)
    kinds = [node["kind"] for node in graph["wiring"]["nodes"]]
    assert kinds == ["input"] * 3 + ["attention", "kernel", "output"]
    assert len(graph["wiring"]["edges"]) == 3 + 1 + 1
    assert "attention of " in str(account)
    assert "384*old flops" in str(account)
    assert 'class="node attention' in account.html()
    with dvm.profile() as profile:
        made(args[0], torch.randn(1, 4, 10, 8), torch.randn(1, 4, 10, 8))
    (event,) = (event for event in profile.events if event.kind == "attention")
    assert event.flops == 4 * (4 * 3 * 10 * 8)
    assert event.bytes == at_sizes(attention["bytes"], {symbol: 10})


@pytest.mark.parametrize("model", ["block", "products"])
def test_a_file_tells_the_same(model, request, tmp_path):
    made = request.getfixturevalue(model)
    made.save(tmp_path / "model.dvm")
    loaded = dvm.load(tmp_path / "model.dvm", framework="torch")
    assert loaded.explain()["graphs"] == made.explain()["graphs"]


def test_page_of_a_training_graph():
    account = dvm.explain(Block(), torch.randn(4, 16))
    assert [graph["kind"] for graph in account["graphs"]] == ["forward", "backward"]
    assert json.loads(account.json())["graphs"][1]["wiring"]["nodes"]
    html = account.html()
    assert sum(html.count(f'id="g{n}k') for n in range(2)) == len(account.kernels)


class Decoder(torch.nn.Module):
    def forward(self, query, keys, cache):
        keys = torch.cat([cache, keys, keys * 2], 0)
        scores = torch.exp(keys).sum(1) + 1
        return scores, query * 2, keys


@pytest.fixture(scope="module")
def decoder():
    new, old = torch.export.Dim("new", min=1, max=64), torch.export.Dim("old", max=640)
    args = torch.randn(3, 8), torch.randn(3, 8), torch.randn(5, 8)
    shapes = ({0: torch.export.Dim("asked", max=640)}, {0: new}, {0: old})
    return dvm.compile(Decoder().eval(), args, dynamic_shapes=shapes)


def test_explain_tells_facts_and_from_whom(decoder):
    graph = decoder.explain()["graphs"][0]
    assert {fact["source"] for fact in graph["facts"] if fact["given"]} == {"torch"}
    assert "range(new, 0, 64), from torch" in str(decoder.explain())
    assert "range(new, 0, 64)" in decoder.explain().html()


def test_explain_tells_what_is_copied_into_a_concat(decoder):
    (concat,) = decoder.explain()["graphs"][0]["concats"]
    assert [part["copied"] for part in concat["parts"]] == [True, True, False]
    assert "Joined" in decoder.explain().html()


def test_explain_tells_the_stages_of_a_call_with_given_sizes(decoder):
    sizes = torch.empty(3, 8), torch.empty(2, 8), torch.empty(0, 8)
    few = dvm.explain(decoder, *sizes)["graphs"][0]["launches"]
    many = decoder.explain()["graphs"][0]["launches"]
    assert all(sum(run["stages"]) == len(run["kernels"]) for run in [*few, *many])
    # Nothing is copied of an empty cache.
    assert sum(len(run["kernels"]) for run in many) == sum(len(run["kernels"]) for run in few) + 1
    assert "Stages of a call" in decoder.explain().html()


def test_guards_are_told_with_the_kernels_under_them():
    def shares(x, y):
        return y / x.exp().sum(1, keepdim=True)

    rows, others = torch.export.Dim("rows"), torch.export.Dim("others")
    args = torch.randn(4, 8), torch.randn(4, 6)
    made = dvm.compile(shares, args, dynamic_shapes=({1: rows}, {1: others}))
    (guard,) = made.explain()["graphs"][0]["guards"]
    assert (guard["kernels"], guard["otherwise"]) == (1, 2)
    assert "rows == others: 1 kernel instead of 2" in str(made.explain())
    assert "Fewer kernels where" in made.explain().html()


def test_the_cost_of_the_host_says_how_it_is_known(block):
    cost = block.explain()["graphs"][0]["host_cost"]
    counts = {part["what"]: part["count"] for part in cost["parts"]}
    assert (
        counts["calls of Executables"] == counts["launches"] == counts["operations in torch"] == 3
    )
    assert cost["us"] == pytest.approx(sum(p["count"] * p["us_each"] for p in cost["parts"]))
    assert 0 < cost["us"] < 10_000
    assert "the model was not run" in cost["how"]
    assert "the model was not run" in str(block.explain())
