"""A graph's prompts, tuned by DSPy: compiled, optimised, kept in a file, and run again as an LM.

DSPy, which the extra ``weft[dspy]`` installs, is imported when one of these names is used, not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..backends.dspy import DSPyBackend, require_dspy
from ..graph import Graph, GraphResult
from ..nodes import Node
from ._lm import OptimizedLM, backend_of

if TYPE_CHECKING:
    import dspy

    from ._compiled import CompiledGraph

__all__ = [
    "CompiledGraph",
    "OptimizedLM",
    "compile_graph",
    "create_optimized_lm",
    "examples_of",
    "load_optimized",
    "node_transition_metric",
    "optimize_node",
    "save_optimized",
    "trace_to_examples",
]


def __getattr__(name: str) -> Any:
    # It is a class of DSPy's: the only name that cannot be there before DSPy is.
    if name != "CompiledGraph":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    require_dspy(name)
    return _own("_compiled").CompiledGraph


def __dir__() -> list[str]:
    return sorted(__all__)


def _own(module: str) -> Any:
    """Return a module of this room, which imports DSPy."""
    return importlib.import_module(f".{module}", __name__)


def compile_graph(graph: Graph[Any, Any], lm: dspy.LM | DSPyBackend | str | None = None) -> CompiledGraph:
    """Return *graph* as a DSPy module, whose prompts DSPy's optimisers tune together.

    Nodes with a DSPyBackend of their own keep its model; those with an LM of another kind keep that, and are not tuned.

    Args:
        graph: The graph.
        lm: The model of the other nodes: a name as ``"openai/gpt-5"``, a ``dspy.LM`` or a DSPyBackend. By default it is
            the graph's, if that is DSPy's, or else that of ``dspy.context(lm=)``.

    Raises:
        GraphError: if two prompts would go by one name.
        MissingExtraError: without DSPy.

    Example:
        >>> from weft import Graph, Node, compile_graph
        >>> class Ticket(Node):
        ...     text: str
        ...     async def __call__(self) -> "Billing | Technical": ...
        >>> class Billing(Node):
        ...     reply: str
        >>> class Technical(Node):
        ...     reply: str
        >>> sorted(compile_graph(Graph(start=Ticket)).nodes)
        ['Ticket/Billing', 'Ticket/Technical', 'Ticket/route']
    """
    require_dspy("compile_graph")
    compiled: CompiledGraph = _own("_compiled").CompiledGraph(graph, lm)
    return compiled


def create_optimized_lm(
    graph: Graph[Any, Any],
    path: str | PathLike[str],
    *,
    lm: dspy.LM | DSPyBackend | str | None = None,
    partial: bool = False,
) -> OptimizedLM:
    """Return the LM that runs *graph* with the tuned prompts in the file at *path*.

    Args:
        graph: The graph that was tuned.
        path: What `CompiledGraph.save` wrote.
        lm: The model, as `compile_graph` takes it.
        partial: Ask prompts that the file does not have, or has for other fields, as they were never tuned;
            `OptimizedLM.problems` says which, and why.

    Raises:
        StaleProgramError: if there are such prompts, and *partial* is not said.
        ProgramFileError: if the file is not there, or is not one that this Weft reads.
        MissingExtraError: without DSPy.
    """
    require_dspy("create_optimized_lm")
    compiled = _own("_compiled").CompiledGraph.load(graph, path, lm, partial=partial)
    return OptimizedLM(compiled, partial=partial)


def examples_of(graph: Graph[Any, Any], rows: Iterable[Any]) -> list[dspy.Example]:
    """Return *rows* as DSPy's examples for *graph*, each of which has been seen to make a start node.

    A row is a dict, the start node's fields being inputs and all others labels; a pair of a start node and what is
    expected, a node or a dict; or a ``dspy.Example``. What is expected of a field that the start node has too stands in
    a dict called ``expected``. The label ``result`` is the name of the last node's class.

    Raises:
        ValueError: if a row is none of these, or there is none.
        MissingExtraError: without DSPy.
    """
    require_dspy("examples_of")
    found: list[dspy.Example] = _own("_examples").examples_of(graph, rows)
    return found


def trace_to_examples(run: GraphResult[Any] | Sequence[Node]) -> dict[str, list[dspy.Example]]:
    """Return the transitions of a run as DSPy's examples, by the name of the program that they are examples of.

    What was shown is inputs, what was written or chosen is labels: `optimize_node` takes them. Where the trace alone is
    given, whether a run stopped of its own accord is not known, and is no example.

    Raises:
        MissingExtraError: without DSPy.

    Example:
        >>> from weft import Node, trace_to_examples
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> examples = trace_to_examples([Question(text="Why?"), Answer(words="Because.")])
        >>> {key: [dict(each.items()) for each in those] for key, those in examples.items()}
        {'Question/Answer': [{'text': 'Why?', 'words': 'Because.'}]}
    """
    require_dspy("trace_to_examples")
    found: dict[str, list[dspy.Example]] = _own("_examples").trace_to_examples(run)
    return found


def node_transition_metric(example: Any, prediction: Any, trace: Any = None) -> float | bool:
    """Return the share of the fields expected by *example* that *prediction* has right, from 0 to 1.

    Only labels are compared: text by its words, whatever their case and the full stop; other values as JSON. A field
    that is not there is wrong, and so is all of an answer of another class, or one where nothing is expected. With a
    *trace*, as when demos are gathered, it is whether everything is right.

    Args:
        example: A ``dspy.Example``, or a dict of what is expected.
        prediction: A ``dspy.Prediction``, a dict, or a node.
        trace: DSPy's.

    Raises:
        MissingExtraError: without DSPy.

    Example:
        >>> from weft import node_transition_metric
        >>> node_transition_metric({"team": "billing", "urgent": True}, {"team": "Billing", "urgent": False})
        0.5
        >>> node_transition_metric({"team": "billing"}, {"team": ""})
        0.0
    """
    require_dspy("node_transition_metric")
    share: float | bool = _own("_metrics").node_transition_metric(example, prediction, trace)
    return share


def optimize_node(
    node_cls: type[Node],
    trainset: Iterable[Any],
    metric: Callable[..., Any] | None = None,
    *,
    source: type[Node] | None = None,
    optimizer: Any = "bootstrap",
    lm: dspy.LM | DSPyBackend | str | None = None,
    valset: Iterable[Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> dspy.Predict:
    """Return a predictor for the filling of one node, tuned by itself; `save_optimized` keeps it for a graph.

    Args:
        node_cls: The node.
        trainset: Dicts, or ``dspy.Example``s as `trace_to_examples` gives them, by the names in its signature.
        metric: As of `CompiledGraph.optimize`; by default `node_transition_metric`.
        source: The node that it comes from, whose fields are shown too: in a graph there always is one.
        optimizer: As of `CompiledGraph.optimize`.
        lm: The model, as `compile_graph` takes it.
        valset: What candidates are compared on.
        seed: Of the optimiser's chance.
        options: For the optimiser, or for its ``compile``.

    Raises:
        ValueError: if the node leaves nothing to a model, or a row is no example.
        MissingExtraError: without DSPy, or what the optimiser needs.
    """
    require_dspy("optimize_node")
    tuned: dspy.Predict = _own("_node").optimize_node(
        node_cls, trainset, metric, source=source, optimizer=optimizer, lm=lm, valset=valset, seed=seed, options=options
    )
    return tuned


def save_optimized(predictors: Mapping[str | type[Node], dspy.Predict], path: str | PathLike[str]) -> None:
    """Write tuned predictors to *path*, in the form of `CompiledGraph.save`.

    Args:
        predictors: What `optimize_node` or a compiled graph's `nodes` hold, by the program's name or the node's class.
        path: The file.

    Raises:
        ValueError: if a predictor is not that of the name it stands under.
        MissingExtraError: without DSPy.
    """
    require_dspy("save_optimized")
    _own("_node").save_optimized(predictors, path)


def load_optimized(
    nodes: Graph[Any, Any] | Iterable[type[Node]], path: str | PathLike[str], *, partial: bool = False
) -> dict[str, dspy.Predict]:
    """Return the predictors in the file at *path*, by the names of their programs.

    Args:
        nodes: A graph, or the classes between which the predictors are.
        path: What `save_optimized` or `CompiledGraph.save` wrote.
        partial: Leave out those that do not fit, or are of no node named.

    Raises:
        StaleProgramError: if there are such predictors, and *partial* is not said.
        ProgramFileError: if the file is not there, or is not one that this Weft reads.
        MissingExtraError: without DSPy.
    """
    require_dspy("load_optimized")
    found: dict[str, dspy.Predict] = _own("_node").load_optimized(nodes, path, partial=partial)
    return found
