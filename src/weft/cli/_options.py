"""Options and arguments that several commands take."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ._completion import complete_lm, complete_module


class Optimizer(Enum):
    """DSPy's optimisers by short names."""

    BOOTSTRAP = "bootstrap"
    MIPRO = "mipro"
    GEPA = "gepa"
    SIMBA = "simba"


Module = Annotated[
    str,
    typer.Argument(
        metavar="MODULE",
        show_default=False,
        autocompletion=complete_module,
        help="pkg.mod, pkg.mod:graph, pkg.mod:StartNode, or a file: path/to/file.py, path/to/file.py:graph.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A field of the start node; a.b reaches into models."),
]
Given = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON|@FILE|-", help="The start node's fields as a JSON object."),
]
Metric = Annotated[
    str,
    typer.Option(
        metavar="MODULE:FN",
        show_default=False,
        help="Scores a run, as DSPy's metrics do: fn(example, prediction). FN alone is one in MODULE.",
    ),
]
Prompts = Annotated[
    str | None, typer.Option("--prompts", metavar="FILE", help="Tuned prompts, as weft optimize saves them.")
]
IsPartial = Annotated[
    bool, typer.Option("--partial", help="Ask prompts that the file lacks, or has for other fields, as they are.")
]
Concurrency = Annotated[int, typer.Option(metavar="N", min=1, help="Runs that may go on at once.")]
Lm = Annotated[
    str | None,
    typer.Option(
        "--lm",
        metavar="NAME",
        autocompletion=complete_lm,
        help="The LM to use in place of every other, as: --lm offline",
    ),
]
Lms = Annotated[
    list[str] | None,
    typer.Option(
        "--lm",
        metavar="NAME",
        autocompletion=complete_lm,
        help="An LM to use in place of every other; several are compared. Without one, the graph's own.",
    ),
]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", min=0.001, help="Seconds that a run may take.")]
MaxSteps = Annotated[int, typer.Option(metavar="N", min=1, help="Nodes a run may visit.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
WithTraceback = Annotated[bool, typer.Option("--traceback", help="Show the traceback of what went wrong.")]
Rows = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="A JSON object a line: the start node's fields, and whatever else the metric reads.",
    ),
]
OptimizerOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="A setting of the optimiser, as: max_bootstrapped_demos=2"),
]
MaxCalls = Annotated[int | None, typer.Option(metavar="N", min=1, help="Begin nothing that may take more LM calls.")]
MaxCost = Annotated[
    float | None,
    typer.Option(metavar="DOLLARS", min=0, help="Stop after the first scores if all may cost more, at their rate."),
]
