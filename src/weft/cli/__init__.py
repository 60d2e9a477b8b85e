"""The command line: ``weft new``, ``run``, ``batch`` and ``graph …``. It parses, calls the façade and prints."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from .. import Budget, __version__
from ..errors import sentence
from . import _batch, _eval, _explore, _export, _graph, _help_input, _optimize
from ._completion import after_colon, complete_lm
from ._document import document_of, only_the_document, write_document
from ._errors import CommandLineError, wrong_command_line
from ._new import new_project
from ._options import (
    AsJson,
    Concurrency,
    Given,
    IsPartial,
    Lm,
    Lms,
    MaxCalls,
    MaxCost,
    MaxSteps,
    Metric,
    Module,
    Optimizer,
    OptimizerOptions,
    Prompts,
    Rows,
    Sets,
    Timeout,
    WithTraceback,
)
from ._outcome import DONE, FAILED, WRONG_USAGE, Outcome, outcome_of
from ._print import complain, complain_of
from ._run import Order
from ._run import run as carry_out
from ._trace import Recorder

__all__ = ["app", "main"]

app = typer.Typer(name="weft", pretty_exceptions_enable=False)
graph_app = typer.Typer(help="Look at a graph without running it.", add_completion=False)
app.add_typer(graph_app, name="graph")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 the run failed, 2 wrong usage or a faulty graph."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    graphs = after_colon(os.environ)
    if graphs is not None:
        typer.echo("\n".join(graphs))
        return DONE
    try:
        code = app(given or ["--help"], prog_name="weft", standalone_mode=False)
        sys.stdout.flush()
    except CommandLineError as error:
        return _complain_of_usage(error, as_json="--json" in given)
    except KeyboardInterrupt as error:
        return _complain_of(outcome_of(error))
    except OSError as error:
        return _complain_of_output(error)
    return code if given else WRONG_USAGE


def _prepare_streams() -> None:
    """Let standard output escape what its encoding cannot hold, and let closed streams swallow what they get."""
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain_of_usage(error: Exception, *, as_json: bool) -> int:
    outcome = outcome_of(wrong_command_line(error))
    if as_json:
        with only_the_document() as stream:
            write_document(stream, document_of(outcome, Recorder()))
    return _complain_of(outcome)


def _complain_of(outcome: Outcome) -> int:
    complain_of(outcome, with_traceback=False)
    return outcome.code


def _complain_of_output(error: OSError) -> int:
    """Say that standard output cannot be written, unless its reader has had enough."""
    if not isinstance(error, BrokenPipeError):
        complain([sentence("", f"the output cannot be written: {error.strerror}")])
    # Python would complain of what is left when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"weft {__version__}")
        raise typer.Exit


@app.callback()
def weft(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run typed agent graphs, and look at them.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or a faulty graph.
    """


@app.command()
def run(
    module: Module,
    *,
    sets: Sets = None,
    given: Given = None,
    lm: Lm = None,
    prompts: Prompts = None,
    is_partial: IsPartial = False,
    max_steps: MaxSteps = 25,
    help_input: Annotated[
        bool, typer.Option("--help-input", help="Show the start node's fields and how to give them; run nothing.")
    ] = False,
    as_json: AsJson = False,
    is_quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")] = False,
    is_verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print each LM call's prompt and answer too.")
    ] = False,
    with_traceback: WithTraceback = False,
) -> None:
    """Run a graph and print its result, and what took how long.

    On a terminal it is drawn while it goes on, and missing fields are asked for.
    """
    if help_input:
        raise typer.Exit(_help_input.show(module, with_traceback=with_traceback))
    order = Order(
        module=module,
        sets=sets or [],
        given=given,
        lm=lm,
        prompts=prompts,
        is_partial=is_partial,
        max_steps=max_steps,
        as_json=as_json,
        is_quiet=is_quiet,
        is_verbose=is_verbose,
        with_traceback=with_traceback,
    )
    raise typer.Exit(carry_out(order))


@app.command(name="eval")
def evaluate(
    module: Module,
    *,
    data: Rows,
    metric: Metric,
    lms: Lms = None,
    prompts: Prompts = None,
    is_partial: IsPartial = False,
    details: Annotated[str | None, typer.Option(metavar="FILE", help="Write a line of JSON for each run.")] = None,
    concurrency: Concurrency = 4,
    max_steps: MaxSteps = 25,
    timeout: Timeout = None,
    as_json: AsJson = False,
    with_traceback: WithTraceback = False,
) -> None:
    """Run a graph over labelled data, and print scores, failures, cost and latency, for each LM.

    A run that fails scores 0. What runs print is not shown. The exit code is 1 if with one of the LMs every run failed.
    """
    order = _eval.Order(
        module=module,
        data=data,
        metric=metric,
        lms=lms or [],
        prompts=prompts,
        is_partial=is_partial,
        details=details,
        concurrency=concurrency,
        max_steps=max_steps,
        timeout=timeout,
        as_json=as_json,
        with_traceback=with_traceback,
    )
    raise typer.Exit(_eval.run(order))


@app.command()
def optimize(
    module: Module,
    *,
    train: Rows,
    metric: Metric,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Where to save the tuned prompts.")
    ],
    optimizer: Annotated[Optimizer, typer.Option(help="Which of DSPy's optimisers does it.")] = Optimizer.BOOTSTRAP,
    lm: Annotated[
        str | None,
        typer.Option(
            "--lm",
            metavar="NAME",
            autocompletion=complete_lm,
            help="The model that the graph asks, as: --lm dspy:openai/gpt-5. Without it, the graph's own.",
        ),
    ] = None,
    held_out: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Rows kept to score on, before and after.")
    ] = 0.3,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows to score on, in place of a share of those to learn from.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the split, and of the optimiser's chance.")] = 0,
    options: OptimizerOptions = None,
    max_calls: MaxCalls = None,
    max_cost: MaxCost = None,
    concurrency: Concurrency = 4,
    as_json: AsJson = False,
    with_traceback: WithTraceback = False,
) -> None:
    """Tune a graph's prompts to labelled data with DSPy, and save them.

    It says first how many LM calls that takes at most, and last how the prompts score on rows that they were not tuned
    to. An answer that is rejected is asked again: such calls, and those of code that calls an LM by itself, come on
    top. Needs the extra dspy.
    """
    order = _optimize.Order(
        module=module,
        train=train,
        metric=metric,
        output=output,
        optimizer=optimizer.value,
        lm=lm,
        data=data,
        held_out=held_out,
        seed=seed,
        options=options or [],
        max_calls=max_calls,
        max_cost=max_cost,
        concurrency=concurrency,
        as_json=as_json,
        with_traceback=with_traceback,
    )
    raise typer.Exit(_optimize.run(order))


@app.command()
def batch(
    module: Module,
    given: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="A file with the start node's fields in JSON, a line for each run; - is standard input.",
        ),
    ],
    results: Annotated[
        str,
        typer.Argument(
            metavar="RESULTS",
            show_default=False,
            help="The file that gets a line of JSON for each run, as it ends; - is standard output.",
        ),
    ],
    *,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Runs in flight at once.")] = 100,
    lm: Lm = None,
    timeout: Timeout = None,
    max_steps: MaxSteps = 25,
    max_requests: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="LM requests that all runs may make.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", min=1, help="Tokens that all runs may use.")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="DOLLARS", min=0, help="What all runs may cost.")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop results of lines that are no longer in the input.")
    ] = False,
    is_quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Draw no progress, and print no summary.")] = False,
    with_traceback: WithTraceback = False,
) -> None:
    """Run a graph for each line of a file, many at a time.

    Given the same files again, it goes on with the lines that are not done: new ones, changed ones, failed ones. The
    exit code is 1 if a line failed.
    """
    budget = Budget(requests=max_requests, tokens=max_tokens, cost=max_cost)
    order = _batch.Order(
        module=module,
        given=given,
        results=results,
        lm=lm,
        concurrency=concurrency,
        timeout=timeout,
        max_steps=max_steps,
        budget=None if budget == Budget() else budget,
        prune=prune,
        is_quiet=is_quiet,
        with_traceback=with_traceback,
    )
    raise typer.Exit(_batch.run(order))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The project, as: my-agent")],
) -> None:
    """Write a small working project into a folder of its own: a graph, its test, a README."""
    raise typer.Exit(new_project(name))


@graph_app.command()
def show(module: Module, *, with_traceback: WithTraceback = False) -> None:
    """Show each node's fields, where their values come from, and where it leads."""
    raise typer.Exit(_graph.look(module, _graph.print_picture, with_traceback=with_traceback))


@graph_app.command()
def export(
    module: Module,
    *,
    file: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Where to write it: its ending, .svg, .mmd, .mermaid or .txt, says as what; - is standard output.",
        ),
    ],
    chosen: Annotated[
        _export.Format | None, typer.Option("--format", show_default=False, help="In place of what the ending says.")
    ] = None,
    with_traceback: WithTraceback = False,
) -> None:
    """Write a picture of the graph: SVG, Mermaid or text."""
    raise typer.Exit(_export.export(module, file, chosen, with_traceback=with_traceback))


@graph_app.command()
def mermaid(module: Module, *, with_traceback: WithTraceback = False) -> None:
    """Print the graph as a Mermaid flow chart."""
    raise typer.Exit(_graph.look(module, _graph.print_mermaid, with_traceback=with_traceback))


@graph_app.command()
def check(module: Module, *, with_traceback: WithTraceback = False) -> None:
    """Print every fault of the graph, and what is suspicious; exit with 2 if there are faults."""
    raise typer.Exit(_graph.check(module, with_traceback=with_traceback))


@graph_app.command()
def explore(
    module: Module,
    *,
    sets: Sets = None,
    given: Given = None,
    max_paths: Annotated[int, typer.Option(metavar="N", min=1, help="Runs that may be made.")] = 200,
    max_steps: MaxSteps = 25,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds that a run may take.")] = 10,
    max_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds after which no further run is begun.")
    ] = 60,
    as_json: AsJson = False,
    with_traceback: WithTraceback = False,
) -> None:
    """Walk every way through the graph without a model: choices, loops, failures, rejected answers.

    Dependencies are called for real; what they print is not shown. A start node is made up if none is given. The exit
    code is 1 if a run failed without having been made to, or a node or an edge was not reached.
    """
    order = _explore.Order(
        module=module,
        sets=sets or [],
        given=given,
        max_paths=max_paths,
        max_steps=max_steps,
        timeout=timeout,
        max_seconds=max_seconds,
        as_json=as_json,
        with_traceback=with_traceback,
    )
    raise typer.Exit(_explore.run(order))
