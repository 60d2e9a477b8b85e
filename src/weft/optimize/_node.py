"""One node's prompt, tuned by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dspy

from .._spec import spec_of
from ..backends._dspy.calls import ADAPTER, predicted
from ..backends._dspy.programs import Program
from ..backends.dspy import DSPyBackend
from ..errors import FillError, sentence, what_is
from ..lm import LMRequest, LMResponse, OnPartial
from ._examples import example_of, outputs_of
from ._loop import run_in_background
from ._optimizers import Tuning, tune
from ._programs import ProgramPredictor, Shared
from ._tracing import note


class NodeModule(dspy.Module):  # type: ignore[misc]  # DSPy is not typed
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
        adapter = self.adapter or ADAPTER
        return await predicted(self._own, program, request, self._own.lm or self._lm(program), adapter, repr(self))

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Tell DSPy's optimisers."""
        note(response)


def tune_node(program: Program, tuning: Tuning, backend: DSPyBackend) -> ProgramPredictor:
    """Return the predictor of *program*, which fills a node, tuned; the trainset's rows are dicts or examples."""
    rows = [_example(program, row, f"row {number}") for number, row in enumerate(tuning.trainset, 1)]
    valset = tuning.valset and [_example(program, row, f"row {n} of valset") for n, row in enumerate(tuning.valset, 1)]
    if not rows:
        raise ValueError(sentence("optimize_node", "there are no examples", "Give some rows."))
    predictor = ProgramPredictor(program)
    student = NodeModule(predictor, DSPyBackend(adapter=backend.adapter, retries=backend.retries))
    nodes = tune(student, replace(tuning, trainset=rows, valset=valset), backend.model(), student.outcomes.value)
    return nodes[predictor.name].fresh()


def _example(program: Program, row: Any, where: str) -> dspy.Example:
    """Return *row* as an example: what the program shows is inputs, what it asks for is labels."""
    if not isinstance(row, Mapping | dspy.Example):
        raise ValueError(sentence(where, f"{what_is(row)} is no example", "Write a dict or a dspy.Example."))
    values: dict[str, Any] = dict(row.items())
    shown = {name: value for name, value in values.items() if name in {**program.form.sources, **program.form.inputs}}
    return example_of(shown, {name: value for name, value in values.items() if name not in shown})
