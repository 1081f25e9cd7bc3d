"""`dvm bench models`: whole models over lengths or image sizes, one at a time."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvm.cli.bench_files import note_load, write
from dvm.cli.bench_options import Inductor, JsonFile, Quick, Rivals
from dvm.cli.model_tables import print_models
from dvm.cli.output import CliError, need
from dvm.cli.progress import stages

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Row:
    """One size of a model, as models.run takes it."""

    size: tuple[int, ...]
    inputs: tuple[torch.Tensor, ...]


def models(
    model: Annotated[
        str, typer.Option(help="Which model, with real weights only for the first: all, or one of "
        "minilm, bert-base, gpt2, gpt2-step, llama, llama-step, qwen3, qwen3-step, t5-small-encoder, "
        "whisper-tiny, vit-base, resnet50, text-detector.")
    ] = "minilm",
    batch: Annotated[int, typer.Option(min=1, help="Texts or pictures per call.")] = 1,
    json: JsonFile = None,
    quick: Quick = False,
    inductor: Inductor = True,
    rivals: Rivals = False,
    attention: Annotated[
        str, typer.Option(help="transformers' attn_implementation: sdpa or eager.")
    ] = "sdpa",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: torch's.")] = None,
) -> None:  # fmt: skip
    """Models at their real sizes over lengths: all-MiniLM-L6-v2, BERT, GPT-2, Llama, Qwen3, T5, Whisper, ViT,
    ResNet and a detector of text."""
    torch = need("torch", "transformers")
    from dvm.bench import models as benchmark
    from dvm.bench import rivals as other
    from dvm.bench import timer
    from dvm.bench.sized import catalogue

    known = catalogue(attention)
    if model not in (*known, "all"):
        raise CliError(f"--model {model}: there is no such model; there are {', '.join(known)}")
    chosen = list(known.values()) if model == "all" else [known[model]]
    need("torch", *dict.fromkeys(package for each in chosen for package in each.entry.packages))
    if threads is not None:
        torch.set_num_threads(threads)
    names = ["eager", *["inductor"] * inductor]
    note_load()
    runs = {}
    for each in chosen:
        torch._dynamo.reset()  # what was compiled for the model before
        with stages() as progress, tempfile.TemporaryDirectory() as folder:
            progress.begin(f"preparing {each.entry.name}")
            module = each.entry.build()
            calls = benchmark.engines(names, module)
            missing: dict[str, str] = {}
            if rivals:
                count = torch.get_num_threads()
                found, missing = other.models(each.entry, module, count, Path(folder))
                calls |= found
            calls |= benchmark.engines(["dvm"], module)
            progress.advance(f"preparing {each.entry.name}", 1)
            run = benchmark.run(
                calls,
                [_Row(at, each.inputs(at, batch)) for at in (each.quick if quick else each.points)],
                unit=each.unit,
                seconds=0.5 if quick else 2.0,
                measure=timer.blocks,
                on_step=progress.advance,
            )
            run.missing = missing
            run.take_out_wrong()
        runs[each.entry.name] = run
        if str(json) != "-":
            print_models(run, f"{each.entry.name} ({attention} attention), batch {batch}")
    if json is not None:
        write("models", {name: benchmark.as_json(run) for name, run in runs.items()}, json)
