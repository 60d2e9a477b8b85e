"""One node's prompt, tuned by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, cast

import dspy

from .._requests import option_of
from .._spec import spec_of
from ..backends._dspy.calls import ADAPTER, predicted
from ..backends._dspy.programs import Program
from ..backends.dspy import DSPyBackend
from ..errors import FillError, sentence, what_is
from ..graph import Graph
from ..lm import LMRequest, LMResponse, OnPartial
from ..nodes import Node, route_of
from ._examples import example_of, outputs_of
from ._keys import key_of
from ._lm import backend_of
from ._loop import run_in_background
from ._optimizers import Tuning, tune
from ._programs import GraphPrograms, ProgramPredictor, Shared, adapter_name
from ._saved import SavedPrograms, stale
from ._tracing import note


class NodeModule(dspy.Module):
    """A DSPy module that fills one node; its inputs and outputs are the fields of the node's program."""

    def __init__(self, predictor: ProgramPredictor, backend: DSPyBackend) -> None:
        super().__init__()
        self.nodes = {predictor.name: predictor}
        self._backend = Shared(backend)
        self.outcomes: Shared[list[Exception | None]] = Shared([])

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Return the filled node's fields."""
        return run_in_background("NodeModule()", "await module.acall(...)", lambda: self.aforward(**inputs))

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Return the filled node's fields, and the node as `result`."""
        predictor = next(iter(self.nodes.values()))
        program = predictor.program
        spec = spec_of(program.node_type)
        try:
            node = await _NodeLM(predictor, self._backend.value, inputs).fill(spec.node, {}, spec.instruction)
        except Exception as error:
            self.outcomes.value.append(error)
            if not isinstance(error, FillError):
                raise
            written = str(error.attempts[-1].answer) if error.attempts else ""
            raise dspy.AdapterParseError("ChatAdapter", predictor.signature, written, str(error)) from error
        self.outcomes.value.append(None)
        prediction = dspy.Prediction()
        for name, value in {**outputs_of(program, spec, node), "result": node}.items():
            prediction[name] = value
        return prediction


class _NodeLM(DSPyBackend):
    """The LM of one fill, which shows the model these inputs."""

    def __init__(self, predictor: ProgramPredictor, backend: DSPyBackend, inputs: Mapping[str, Any]) -> None:
        super().__init__(adapter=backend.adapter, retries=backend.retries)
        self._own = predictor
        self._shown = inputs

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return what the predictor answers to the inputs, in the place of the source's and node's values."""
        program = self._own.program
        source = {each.name: self._shown[name] for name, each in program.form.sources.items() if name in self._shown}
        inputs = {each.name: self._shown[name] for name, each in program.form.inputs.items() if name in self._shown}
        request = replace(request, source=source, inputs=inputs)
        lm, adapter = self._own.lm or self.model(), self.adapter or ADAPTER
        return await predicted(self._own, program, request, lm=lm, adapter=adapter, backend=repr(self))

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Tell DSPy's optimisers."""
        note(response)


def tune_node(program: Program, tuning: Tuning, backend: DSPyBackend) -> ProgramPredictor:
    """Return the predictor of *program*, which fills a node, tuned; the trainset's rows are dicts or examples."""
    rows = [_example(program, row, f"row {number}") for number, row in enumerate(tuning.trainset, 1)]
    valset = tuning.valset and [_example(program, row, f"row {n} of valset") for n, row in enumerate(tuning.valset, 1)]
    if not rows:
        raise ValueError(sentence("optimize_node", "there are no examples", "Give some rows."))
    predictor = ProgramPredictor(program, adapter_name(backend))
    student = NodeModule(predictor, DSPyBackend(adapter=backend.adapter, retries=backend.retries))
    nodes = tune(student, replace(tuning, trainset=rows, valset=valset), backend.model(), student.outcomes.value)
    return nodes[predictor.name].fresh()


def _example(program: Program, row: Any, where: str) -> dspy.Example:
    """Return *row* as an example: what the program shows is inputs, what it asks for is labels."""
    if not isinstance(row, Mapping | dspy.Example):
        raise TypeError(sentence(where, f"{what_is(row)} is no example", "Write a dict or a dspy.Example."))
    values = dict(cast("Mapping[str, Any]", row).items())
    shown = {name: value for name, value in values.items() if name in {**program.form.sources, **program.form.inputs}}
    return example_of(shown, {name: value for name, value in values.items() if name not in shown})


def optimize_node(node_cls: type[Node], source: type[Node] | None, tuning: Tuning, lm: Any) -> ProgramPredictor:
    """Return the predictor of *node_cls* that comes from *source*, tuned; see the façade."""
    program = Program.of_fill(node_cls, source)
    if not program.form.outputs:
        raise ValueError(sentence(node_cls.__name__, "it leaves nothing to a model", "Give it a plain field."))
    return tune_node(program, tuning, backend_of(lm))


# --- Keeping -----------------------------------------------------------------------------------------------------


def save_optimized(predictors: Mapping[str | type[Node], dspy.Predict], path: str | PathLike[str]) -> None:
    """Write *predictors*, each under its name; see the façade."""
    nodes = dict(_named(key, predictor) for key, predictor in predictors.items())
    SavedPrograms.of(nodes).write(path)


def _named(key: str | type[Node], predictor: Any) -> tuple[str, ProgramPredictor]:
    if not isinstance(predictor, ProgramPredictor):
        hint = "optimize_node and CompiledGraph.nodes give one."
        raise TypeError(sentence("save_optimized", f"{what_is(predictor)} is no predictor of a program", hint))
    is_its_own = predictor.name == key if isinstance(key, str) else predictor.program.node_type is key
    if not is_its_own:
        name = key if isinstance(key, str) else key.__name__
        raise ValueError(sentence("save_optimized", f"what stands under {name} is that of {predictor.name}"))
    return predictor.name, predictor


def load_optimized(
    nodes: Graph[Any, Any] | Iterable[type[Node]], path: str | PathLike[str], *, partial: bool
) -> dict[str, ProgramPredictor]:
    """Return the predictors in the file at *path*; see the façade."""
    saved = SavedPrograms.read(path)
    if isinstance(nodes, Graph):
        programs = dict(GraphPrograms.of(nodes.topology).programs)
        problems: dict[str, str] = {}
    else:
        programs = _programs_between(list(nodes), saved.programs)
        problems = dict.fromkeys(saved.programs.keys() - programs.keys(), "none of the nodes given has it")
    predictors = {key: ProgramPredictor(program, saved.adapter) for key, program in programs.items()}
    problems |= saved.apply(predictors)
    if problems and not partial:
        raise stale(saved.path, problems)
    return {key: each for key, each in predictors.items() if key not in problems}


def _programs_between(nodes: Sequence[type[Node]], keys: Iterable[str]) -> dict[str, Program]:
    """Return the programs of these *keys* that fill or route from *nodes*."""
    sources: dict[str, type[Node] | None] = {key_of(each.__name__): each for each in nodes}
    found: dict[str, Program] = {}
    for key in keys:
        before, _, name = key.rpartition("/")
        source, target = sources.get(before), sources.get(name)
        if target is not None and (source is not None or not before):
            found[key] = Program.of_fill(target, source)
        elif source is not None and name == "route":
            found[key] = Program.of_choice(source, tuple(map(option_of, route_of(source).offered)))
    return found
