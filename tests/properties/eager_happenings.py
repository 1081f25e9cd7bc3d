"""The statements of random_eager.py that are about more than tensors: looking at values, branching on them, failing,
differentiating, drawing random numbers, NumPy, copies, threads.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import torch
from eager_statements import (
    arithmetic,
    change,
    has_axes,
    has_elements,
    is_float,
    part,
    unary,
    writable,
)
from random_eager import Nothing, RandomEager

GROWN = "# grown\n"  # what the lines of a block have done already


def is_single(x: torch.Tensor) -> bool:
    return x.numel() == 1


def needs_gradient(x: torch.Tensor) -> bool:
    return x.requires_grad


def numpy_knows(x: torch.Tensor) -> bool:
    return x.dtype != torch.bfloat16 and not x.requires_grad


def is_plain(x: torch.Tensor) -> bool:
    return not x.requires_grad


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def look(p: RandomEager) -> str:
    """At a value, or at what a tensor is."""
    c, x = p.choose, p.tensor()
    if c.chance(25):
        x = p.tensor(is_single)
        way = c.pick((f"{x}.item()", f"float({x})", f"bool({x})", f"format({x}, '')", f"int({x})"))
        return f"log({way})"
    y = p.tensor()
    return "log(" + c.pick(
        (
            f"{x}", f"{x}.tolist()", f"repr({x})", f"{x}._version", f"{x}.is_contiguous()",
            f"{x}.data_ptr() == {y}.data_ptr()", f"{x}.shape", f"str({x}.dtype)",
            f"torch.equal({x}, {y})", f"torch.allclose({x}, {y})", f"{x}.storage_offset()", f"len({x})",
            f"[float(row.sum()) for row in {x}]", f"{x} is {y}", f"{x}.is_set_to({y})", f"{x}.numel()",
            f"{x}.sum().item()", f"({x}._version, {y}._version)", f"{x}.requires_grad", f"{x}.any().item()",
            f"str({x}.untyped_storage().nbytes() >= {x}.nbytes)", f"torch.result_type({x}, {y}) == {x}.dtype",
        )
    ) + ")"  # fmt: skip


def branch(p: RandomEager) -> str:
    """Two ways to go on, by a value; only the one that eager goes is grown."""
    c, x = p.choose, p.tensor(has_elements, is_plain)
    condition = c.pick((f"{x}.sum() > 0", f"({x} > 0).all()", f"{x}.flatten()[0] < 0.5", f"{x}.abs().max().item() > 1",
                        f"bool(({x} == 0).any())"))  # fmt: skip
    taken = p.holds(condition)
    block = p.block()
    other = f"{p.tensor()} = {p.tensor()} - 1"
    first, second = (block, other) if taken else (other, block)
    return f"{GROWN}if {condition}:\n{indented(first)}\nelse:\n{indented(second)}"


def repetition(p: RandomEager) -> str:
    """The same statements again: a loop's second round meets what the first left."""
    c = p.choose
    block = p.block(most=4)
    try:
        p.execute(block)
        p.execute(block)
    except Exception:
        loop = f"for _ in range(3):\n{indented(block)}"
        return f"{GROWN}try:\n{indented(loop)}\nexcept Exception as error: failed(error)"
    x = p.tensor()
    watched = f"\n    log({x}.sum())" if c.chance(30) else ""
    return f"{GROWN}for _ in range(3):\n{indented(block)}{watched}"


def until(p: RandomEager) -> str:
    """A loop that a value ends."""
    x = p.tensor(is_float, is_plain, has_elements)
    count, y = p.fresh().replace("v", "count"), p.fresh()
    way = p.choose.pick((f"{y} = {y} * 0.5", f"{y}.mul_(0.5)", f"{y} = ({y} + {y}.mean()) / 4"))
    return (
        f"{y}, {count} = {x}.clone(), 0\n"
        f"while {y}.abs().sum() > 1 and {count} < 6:\n    {way}\n    {count} += 1"
    )


def failure(p: RandomEager) -> str:
    """What eager refuses, mostly."""
    c, x = p.choose, p.tensor()
    y = p.tensor()
    long = p.fresh()
    rank = p.value(x).dim()
    return f"{long} = " + c.pick(
        (
            f"{x} + torch.ones(7, 9)", f"{x} @ torch.ones(11, 2)", f"{x}.view(-1, 7919)",
            f"{x}[{p.value(x).shape[0] if rank else 0}]", f"~({x} + 0.5)", f"{x}.sum(axis='a')",
            f"{x}.sum({rank + 1})", f"torch.cat([{x}, torch.zeros(3, 8, 9)])",
            f"{x}.index_select(0, torch.tensor([99]))", f"{x}[torch.tensor([77])]", "-torch.tensor(True)",
            f"{x} + 'text'", f"{x}.softmax({rank})", f"torch.ones(2, dtype=torch.int64).mean() + {x}",
            f"{x}.transpose(0, {rank + 2})", f"{x}.item() + 1", f"bool({x})", f"{x}.add_(torch.ones(3, 1, 7, 2))",
            f"torch.zeros(3, dtype=torch.int32).add_({x} + 0.5)", f"{x}.expand(2, 99, 3)", f"{x}.reshape(5, 5, 5)",
            f"torch.stack([{x}, torch.zeros(4, 9)])", f"{x} & 1.5", f"{x}.gather(0, torch.tensor([50]))",
            f"{x}.no_such_method()", f"torch.where({x}, {x}, {y})", f"F.linear({x}, torch.ones(3, 101))",
            "torch.tensor([1, 2]) // torch.tensor([1, 0])", f"{x}.expand(3, *{x}.shape).add_(1)",
            f"{x}.squeeze().chunk(0)", f"torch.addmm({x}, {y}, {y})", f"{x}.to('no_device')",
            f"{x}.masked_fill(torch.ones(3, 5, 8), 1)", f"{x}.narrow(0, 5, 90)", f"torch.add({x}, {y}, wrong=1)",
            f"torch.add({x}, 1, out=torch.empty(0, dtype=torch.bool))", f"{x}.backward()", f"torch.bincount({x})",
        )
    )  # fmt: skip


def leaf(p: RandomEager) -> str:
    """A tensor to differentiate by."""
    x = p.tensor(is_float)
    return f"{p.fresh()} = " + p.choose.pick(
        (f"{x}.detach().clone().requires_grad_()", f"torch.nn.Parameter({x}.detach() * 1)",
         f"torch.randn({p.choose.pick(p.sizes)}, requires_grad=True)"),
    )  # fmt: skip


def differentiation(p: RandomEager) -> str:
    c = p.choose
    x = p.tensor(needs_gradient) if c.chance(75) else p.tensor(is_float)
    loss = c.pick((f"{x}.sum()", f"({x} * {x}).mean()", f"{x}.square().sum()", f"torch.tanh({x}).sum()",
                   f"{x}.softmax(-1).square().sum()", f"({x} * 2 - 1).relu().mean()"))  # fmt: skip
    leaves = [n for n in p.names if p.value(n).is_leaf and p.value(n).requires_grad]
    if not leaves:
        return leaf(p)
    w = c.pick(leaves)
    g = p.fresh()
    return str(
        c.pick(
            (
                f"{loss}.backward()", f"{loss}.backward(retain_graph=True)", f"{loss}.backward()\n{w}.grad = None",
                f"{g}, = torch.autograd.grad({loss}, {w}, retain_graph=True, allow_unused=True)",
                f"{g} = {x} * 2\n{g}.sum().backward(retain_graph=True)\nlog({w}.grad)",
                f"with torch.no_grad():\n    {w}.sub_(0.1 * {w}.detach().tanh())",
                f"{g}, = torch.autograd.grad({loss}, {w}, create_graph=True)\n{g}.sum().backward()",
                f"{g} = {x} * 1\n{g}.register_hook(lambda g: log(g) or g * 2)\n{g}.sum().backward()",
                f"{x}.retain_grad()\n{loss}.backward()\nlog({x}.grad)",
                f"{loss}.backward()\ntorch.nn.utils.clip_grad_norm_([{w}], 0.5)",
                f"{g} = {x}.exp()\n{g}.add_(1)\n{g}.sum().backward()",  # what it saved is gone
            )
        )
    )  # fmt: skip


def training(p: RandomEager) -> str:
    """A small layer, an optimizer, and two steps."""
    c, x = p.choose, p.tensor(is_float, has_axes, has_elements)
    layer = p.fresh().replace("v", "layer")
    kind = p.value(x).dtype
    rule = c.pick(("SGD(WHAT, 0.1, momentum=0.9)", "Adam(WHAT, 0.01)", "SGD(WHAT, 0.1)",
                   "AdamW(WHAT, 0.01, foreach=True)", "AdamW(WHAT, 0.01, foreach=False)"))  # fmt: skip
    return "\n".join(
        (
            f"{layer} = torch.nn.Linear({p.value(x).shape[-1]}, 3, dtype={kind})",
            f"rule = torch.optim.{rule.replace('WHAT', f'{layer}.parameters()')}",
            "for _ in range(2):",
            "    rule.zero_grad()",
            f"    loss = {layer}({x}.detach()).{c.pick(('square().mean()', 'relu().sum()', 'tanh().std()'))}",
            "    loss.backward()",
            "    rule.step()",
            "    log(loss.item())" if c.chance(50) else f"log({layer}.weight)",
            f"{p.fresh()} = {layer}.weight.detach()",
        )
    )


def modes(p: RandomEager) -> str:
    around = p.choose.pick(
        ("with torch.no_grad()", "with torch.enable_grad()", "with torch.no_grad()", "with torch.inference_mode()",
         "with torch.autocast('cpu', dtype=torch.bfloat16)", "with scope()", "with torch.set_grad_enabled(False)")
    )  # fmt: skip
    grown = "with contextlib.nullcontext()" if around == "with scope()" else around
    return f"{GROWN}{around}:\n{indented(p.block(3, grown))}"


def random_numbers(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(is_float)
    y = p.fresh()
    return str(
        c.pick(
            (
                f"{y} = torch.rand_like({x})", f"{y} = torch.randn_like({x}) + {x}", f"{y} = torch.rand({x}.shape)",
                f"{y} = F.dropout({x}, 0.5)", f"{y} = torch.bernoulli({x}.sigmoid())", f"{y} = torch.randperm(4)",
                f"{x}.data.normal_()", f"{x}.data.uniform_(-1, 1)", f"torch.manual_seed({c.integer(0, 9)})",
                f"{y} = torch.multinomial(torch.ones(5), 2)", f"{y} = {x} + 0.1 * torch.randn(1)",
                f"{y} = torch.rand(3, generator=torch.Generator().manual_seed(1))", "log(torch.rand(1).item())",
                f"{y} = torch.normal(0.0, 1.0, (2, 2))",
                f"state = torch.get_rng_state(); {y} = torch.rand(2); torch.set_rng_state(state)",
            )
        )
    )  # fmt: skip


def numpy(p: RandomEager) -> str:
    """NumPy looks at the same memory."""
    c, x = p.choose, p.tensor(numpy_knows)
    arrays = [
        n
        for n, v in p.run.items()
        if n[0] == "a" and n[1:].isdigit() and v.size and v.flags.writeable
    ]
    a, y = p.fresh().replace("v", "a"), p.fresh()
    options = [f"{a} = {x}.numpy()", f"{a} = {x}.numpy()", f"{y} = torch.from_numpy({x}.numpy())",
               f"{a} = np.ones((2, 3), np.float32)\n{y} = torch.from_numpy({a})", f"log(np.asarray({x}))",
               f"{a} = {x}.numpy().copy()", f"{y} = torch.as_tensor({x}.numpy())", f"log(np.sum({x}.numpy()))",
               f"{y} = torch.from_dlpack({x})"]  # fmt: skip
    if arrays:
        old = c.pick(arrays)
        options += [f"{old}[...] = 1", f"{old}.flat[0] = 2", f"{old}[...] = {old} * 2", f"log({old})",
                    f"{y} = torch.from_numpy({old})"] * 2  # fmt: skip
    return str(c.pick(options))


def copying(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    y = p.fresh()
    return str(
        c.pick(
            (
                f"{y} = copy.deepcopy({x})", f"{y} = pickle.loads(pickle.dumps({x}))", f"{y} = copy.copy({x})",
                f"file = io.BytesIO()\ntorch.save([{x}, {p.tensor()}], file)\nfile.seek(0)\n{y} = torch.load(file)[0]",
                f"{y} = copy.deepcopy([{x}, {x}])[1]", f"{y} = torch.tensor({x}.tolist())",
                f"{y} = {x}.clone().detach()", f"{y} = torch.tensor({x}) if {x}.numel() else {x}",
                f"{y} = torch.as_tensor({x})",
            )
        )
    )  # fmt: skip


def reference(p: RandomEager) -> str:
    """A tensor that dies, with and without a view of it that lives."""
    x, y = p.fresh(), p.fresh()
    old = p.tensor()
    return str(
        p.choose.pick(
            (
                f"{x} = {old} + 1\nwatch = weakref.ref({x})\ndel {x}\nlog(watch() is None)",
                f"{x} = {old} * 2\n{y} = {x}[...]\ndel {x}\nlog({y})",
                f"{x} = {old} * 2\nwatch = weakref.ref({x})\nlog(watch() is {x})",
                f"{x} = {old} - 1\n{y} = {x}.view({x}.shape)\n{x} = {x} * 3\n{y}.add_(1)",
                f"{x} = {old} * 3\ndel {x}",
            )
        )
    )


def threads(p: RandomEager) -> str:
    """Another thread reads a value, makes one or writes one, and is waited for."""
    x, y = p.tensor(writable), p.fresh()
    does = p.choose.pick(
        (f"log({x}.sum())", f"log({x}.tolist())", f"{x}.data.add_(1)", f"got.append({x} * 2 + 1)")
    )
    return (
        f"got = []\ndef work():\n    try:\n        {does}\n    except Exception as error: failed(error)\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
        f"{y} = got[0] if got else {x} + 1\ndel thread, got"
    )  # fmt: skip


def function(p: RandomEager) -> str:
    """Of higher order, or with hooks and checkpoints of torch's own."""
    c, x = p.choose, p.tensor(is_float, has_axes, has_elements)
    y = p.fresh()
    return f"{y} = " + c.pick(
        (
            f"torch.func.vmap(lambda row: row * 2 + 1)({x}.detach())",
            f"torch.func.grad(lambda t: (t * t).sum())({x}.detach())",
            f"torch.utils.checkpoint.checkpoint(lambda t: t.sin() * 2, {x}, use_reentrant=False)",
            f"torch.nn.Sequential(torch.nn.Linear({p.value(x).shape[-1]}, 2), torch.nn.ReLU())({x}.float())",
            f"F.mse_loss({x}, {x} * 0.5)", "F.cross_entropy(torch.randn(3, 4), torch.tensor([0, 1, 3]))",
            f"torch.func.jvp(torch.sin, ({x}.detach(),), (torch.ones_like({x}.detach()),))[1]",
            "F.scaled_dot_product_attention(*[torch.randn(2, 3, 4) for _ in range(3)])", f"sum({x}.unbind(0))",
            f"torch.nn.functional.embedding(torch.tensor([0, 0]), {x}.reshape(-1, 1))", f"max({x}.flatten())",
        )
    )  # fmt: skip


def through_views(p: RandomEager) -> str:
    """A view of a view, a write through one and a look through another."""
    x, first, second = p.tensor(writable, has_axes, has_elements), p.fresh(), p.fresh()
    c = p.choose
    write = c.pick((f"{first}.mul_(2)", f"{second}.add_(1)", f"{x}.zero_()", f"{second}.copy_({second} * 0.5 + 1)",
                    f"{x}[0] = 3", f"{first}.data.fill_(2)", f"{second}[...] = {first}.sum()"))  # fmt: skip
    again = c.pick(("transpose(0, -1)", "view(-1)", "unsqueeze(0)", "detach()", "data"))
    return f"{first} = {x}[{part(p)}]\n{second} = {first}.{again}\n{write}"


def chain(p: RandomEager) -> str:
    """Several operations that may become one kernel, with a write between what reads and what is read."""
    lines = []
    for _ in range(p.choose.integer(2, 5)):
        statement = p.choose.pick((arithmetic, arithmetic, unary, change))
        try:
            text = statement(p)
            p.execute(text)
        except Exception:
            continue
        lines.append(text)
        p._look()
    if not lines:
        raise Nothing
    return GROWN + "\n".join(lines)


HAPPENINGS: tuple[tuple[int, Callable[[RandomEager], str]], ...] = (
    (8, look), (4, branch), (3, repetition), (1, until), (4, failure), (3, leaf), (5, differentiation), (1, training),
    (3, modes), (3, random_numbers), (4, numpy), (2, copying), (2, reference), (1, threads), (2, function),
    (4, through_views), (5, chain),
)  # fmt: skip
