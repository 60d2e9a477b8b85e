"""CompiledGraph: a graph as a DSPy module, all of whose prompts are tuned together."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dspy

from .._event import jsonable
from .._sync import run_in_new_loop
from ..backends import lm_named
from ..backends._dspy.programs import Program
from ..backends.dspy import DSPyBackend
from ..errors import ChoiceError, FillError, sentence
from ..graph import Graph, GraphResult
from ..lm import LMRequest, LMResponse
from ..nodes import Node
from ._examples import examples_of
from ._keys import key_of
from ._lm import OptimizedLM, backend_of
from ._loop import run_in_background
from ._optimizers import Tuning, tune
from ._programs import GraphPrograms, ProgramPredictor, Shared, adapter_name
from ._saved import SavedPrograms, stale
from ._tracing import note, varied

OnRun = Callable[[GraphResult[Any] | Exception], object]


@dataclass(frozen=True)
class _Settings:
    """What a compiled graph and its copies share; `follows` says to ask the model that DSPy's own settings name."""

    graph: Graph[Any, Any]
    backend: DSPyBackend
    found: GraphPrograms
    follows: bool = False
    on_run: OnRun | None = None


class CompiledGraph(dspy.Module):
    """A graph as a DSPy module: called with the start node's fields, it gives a ``dspy.Prediction``.

    That holds the fields of the last node, and `result`, `trace` and `usage` as a `GraphResult` has them. `nodes` are
    the predictors, one for each prompt, by names as ``"Ticket/Billing"`` (fill a Billing, coming from a Ticket) and
    ``"Ticket/route"`` (choose what follows it); DSPy's optimisers find them there. `problems` says why programs of a
    file were not taken, and `unused` which ones the graph has no use for. `compile_graph` makes one.
    """

    def __init__(self, graph: Graph[Any, Any], lm: dspy.LM | DSPyBackend | str | None = None) -> None:
        super().__init__()
        found = GraphPrograms.of(graph.topology)
        self._settings = Shared(_Settings(graph, _backend(graph) if lm is None else backend_of(lm), found))
        adapter = adapter_name(self.backend)
        self.nodes = {key: ProgramPredictor(program, adapter) for key, program in found.programs.items()}
        self.problems: dict[str, str] = {}
        self.unused: tuple[str, ...] = ()

    @property
    def graph(self) -> Graph[Any, Any]:
        """The graph that is run."""
        return self._settings.value.graph

    @property
    def backend(self) -> DSPyBackend:
        """The LM of the nodes that name none."""
        return self._settings.value.backend

    @property
    def untuned(self) -> tuple[str, ...]:
        """The names of the nodes whose own LM is none of DSPy's, whose prompts are not tuned."""
        return self._settings.value.found.untuned

    def program_of(self, request: LMRequest) -> Program | None:
        """Return the program that answers *request*, if the graph is known to make it."""
        return self._settings.value.found.of_request(request)

    @property
    def follows(self) -> bool:
        """Whether the model that DSPy's own settings name is asked."""
        return self._settings.value.follows

    # --- Running ---

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Return what `aforward` gives, from code that is not async: the run is made in a loop in the background."""
        run = functools.partial(self.aforward, **inputs)
        return run_in_background("CompiledGraph()", "await compiled.acall(...)", run)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Run the graph from the start node of these fields, traced as DSPy's optimisers want it.

        If a model's answers were rejected it raises ``dspy.AdapterParseError``, which is what optimisers know.
        """
        on_run = self._settings.value.on_run
        try:
            result = await self.graph.arun(self.start_node(inputs), lm=_TracedLM(self, partial=True))
        except Exception as error:
            if on_run is not None:
                on_run(error)
            unparsed = self._unparsed(error)
            if unparsed is None:
                raise
            raise unparsed from error
        if on_run is not None:
            on_run(result)
        return _prediction(result)

    def start_node(self, fields: Mapping[str, Any]) -> Node:
        """Return the start node of these fields, by name; raises pydantic's ValidationError."""
        start: type[Node] = self.graph.start
        return start.model_validate(dict(fields), by_alias=True, by_name=True)

    def run(self, start: Node, **options: Any) -> GraphResult[Any]:
        """Run the graph from *start* with these predictors; for code that is not async. See `arun`."""
        run = functools.partial(self.arun, start, **options)
        return run_in_new_loop("CompiledGraph.run()", "await compiled.arun(...)", run)

    async def arun(self, start: Node, **options: Any) -> GraphResult[Any]:
        """Run the graph from *start* with these predictors; *options* are those of `Graph.arun`, without the LM."""
        return await self.graph.arun(start, lm=OptimizedLM(self, partial=True), **options)

    def _unparsed(self, error: BaseException | None) -> dspy.AdapterParseError | None:
        """Return what DSPy calls a rejected answer, if *error* or what it comes from is that."""
        while error is not None and not isinstance(error, FillError | ChoiceError):
            error = error.__cause__
        if error is None or not error.attempts or error.node_type is None:
            return None
        name = error.node_type.__name__
        source = type(error.trace[-1]).__name__ if error.trace else ""
        key = key_of(f"{name}/route" if isinstance(error, ChoiceError) else f"{source}/{name}")
        if key not in self.nodes:
            return None
        answer = error.attempts[-1].answer
        written = answer if isinstance(answer, str) else str(jsonable(answer))
        # Without what was parsed and with the predictor's own signature: GEPA fails on anything else.
        signature = self.nodes[key].signature
        return dspy.AdapterParseError("ChatAdapter", signature, written, message=str(error), parsed_result=None)

    # --- Tuning ---

    def optimize(
        self,
        trainset: Iterable[Any],
        metric: Callable[..., Any] | None = None,
        optimizer: Any = "bootstrap",
        *,
        valset: Iterable[Any] | None = None,
        seed: int = 0,
        on_run: OnRun | None = None,
        **options: Any,
    ) -> CompiledGraph:
        """Return a compiled graph whose predictors are tuned to *trainset*; this one stays as it is.

        Args:
            trainset: Examples: dicts with the start node's fields and what is expected of the last node's, pairs of a
                start node and what is expected, or DSPy's own.
            metric: Called with the example and the prediction, and, if it takes them, DSPy's further arguments; it
                returns a number up to 1, a bool, or ``dspy.Prediction(score=, feedback=)``. By default the expected
                fields are compared.
            optimizer: ``"bootstrap"``, ``"mipro"``, ``"gepa"``, ``"simba"``, or an optimiser of DSPy, with a metric of
                its own.
            valset: What candidates are compared on, for the optimisers that do so (mipro and gepa).
            seed: Of the optimiser's chance, where it has any.
            on_run: Called, from another thread, with the result or error of each run.
            options: For the optimiser, or for its ``compile``, by name.

        Raises:
            MissingExtraError: if the optimiser needs a package that is not installed.
            Exception: what the runs raised, if every one of them failed.
        """
        if not self.nodes:
            raise ValueError(sentence(repr(self.graph), "there is no prompt to tune", "Its nodes ask no LM of DSPy's."))
        tuning = Tuning(optimizer, metric, examples_of(self.graph, trainset), None, seed, options)
        if valset is not None:
            tuning = replace(tuning, valset=examples_of(self.graph, valset))
        outcomes: list[Exception | None] = []

        def note(outcome: GraphResult[Any] | Exception) -> None:
            outcomes.append(outcome if isinstance(outcome, Exception) else None)
            if on_run is not None:
                on_run(outcome)

        student = self._with(self.nodes, follows=True, on_run=note)
        return self._with(tune(student, tuning, self.backend.model(), outcomes))

    async def aoptimize(self, trainset: Iterable[Any], *arguments: Any, **options: Any) -> CompiledGraph:
        """Return what `optimize` gives, from a thread of its own, so that the event loop goes on."""
        return await asyncio.to_thread(self.optimize, trainset, *arguments, **options)

    def _with(self, nodes: Mapping[str, ProgramPredictor], **settings: Any) -> CompiledGraph:
        """Return another one with these predictors, or copies of them that nothing else is known of."""
        other = CompiledGraph(self.graph, self.backend)
        other._settings = Shared(replace(self._settings.value, **settings))
        other.nodes = {key: nodes[key].fresh() for key in self.nodes}
        return other

    # --- Keeping ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the instructions and demos to *path*, as JSON without models, keys or code."""
        SavedPrograms.of(self.nodes, self.graph.start.__name__).write(path)

    @classmethod
    def load(
        cls,
        graph: Graph[Any, Any],
        path: str | os.PathLike[str],
        lm: dspy.LM | DSPyBackend | str | None = None,
        *,
        partial: bool = False,
    ) -> CompiledGraph:
        """Return *graph* compiled, with the predictors that `save` wrote to *path*.

        Args:
            graph: The graph that was tuned; its code may have changed.
            path: The file.
            lm: The model, as `compile_graph` takes it.
            partial: Leave untuned what the file does not have, or has for other fields; `problems` says why.

        Raises:
            StaleProgramError: if programs are missing, or their fields have changed, and *partial* is not said.
            ProgramFileError: if the file is not there, or is not one that this Weft reads.
        """
        compiled = cls(graph, lm)
        saved = SavedPrograms.read(path)
        saved.check_adapter(adapter_name(compiled.backend))
        compiled.problems = saved.apply(compiled.nodes)
        compiled.unused = tuple(sorted(saved.programs.keys() - compiled.nodes.keys()))
        if compiled.problems and not partial:
            raise stale(saved.path, compiled.problems)
        return compiled


class _TracedLM(OptimizedLM):
    """The LM of one run for DSPy: good answers go into its trace, and its settings may vary the model."""

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Tell DSPy's optimisers."""
        note(response)

    def _lm(self, program: Program) -> dspy.BaseLM:
        predictor = self._tuned(program)
        given: dspy.BaseLM | None = None if predictor is None else predictor.lm
        ambient: dspy.BaseLM | None = given or dspy.settings.lm
        is_own = self._asked is not self._compiled.backend
        if not is_own and ambient is not None and (given is not None or self._compiled.follows):
            return ambient
        return varied(self.model(), ambient)


def _backend(graph: Graph[Any, Any]) -> DSPyBackend:
    """Return the graph's own LM, if it is DSPy's, or else that of DSPy's settings."""
    own = None if graph.lm is None else lm_named(graph.lm)
    return own if isinstance(own, DSPyBackend) else DSPyBackend()


def _prediction(result: GraphResult[Any]) -> dspy.Prediction:
    """Return *result* as DSPy knows results; a field called result, trace or usage is found in the node only."""
    prediction = dspy.Prediction()
    node: Node = result.result
    known = {name: vars(node)[name] for name in type(node).model_fields if name in vars(node)}
    for name, value in {**known, "result": node, "trace": result.trace, "usage": result.usage}.items():
        prediction[name] = value
    return prediction
