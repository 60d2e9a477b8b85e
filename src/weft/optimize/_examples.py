"""Examples for DSPy: rows of labelled data, and the transitions of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import dspy
from pydantic import ValidationError

from .._event import jsonable
from .._markers import DepMarker
from .._requests import choice_request, fill_request, option_of
from .._spec import NodeSpec, spec_of
from ..backends._dspy.programs import Program
from ..errors import reasons_of, sentence, what_is
from ..graph import Graph, GraphResult
from ..nodes import Node, is_node, route_of
from ._keys import key_of

EXPECTED = "expected"
RESULT = "result"


def example_of(inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> dspy.Example:
    """Return an example with these *inputs* and *labels*, whatever they are called."""
    example = dspy.Example()
    for name, value in {**inputs, **labels}.items():
        example[name] = value
    return example.with_inputs(*inputs)


def inputs_of(example: dspy.Example) -> dict[str, Any] | None:
    """Return the inputs of *example*, or None if it does not say which they are."""
    try:
        return dict(example.inputs().items())
    except ValueError:
        return None


# --- Rows --------------------------------------------------------------------------------------------------------


def examples_of(graph: Graph[Any, Any], rows: Iterable[Any]) -> list[dspy.Example]:
    """Return *rows* as examples for *graph*, each of which has been seen to make a start node.

    A row is a dict, the start node's fields being inputs and all others labels; a pair of a start node and what is
    expected, a node or a dict; or a ``dspy.Example``, as it is. What is expected of a field that the start node has
    too stands in a dict called ``expected``. The label ``result`` is the name of the last node's class.

    Raises:
        ValueError: if a row is none of these, or there is none.
    """
    examples = [_example(graph.start, row, f"row {number}") for number, row in enumerate(rows, 1)]
    if not examples:
        raise ValueError(sentence("examples", "there is not one", "Give some rows."))
    return examples


def _example(start: type[Node], row: Any, where: str) -> dspy.Example:
    example = _read(start, row, where)
    try:
        start.model_validate(inputs_of(example) or {}, by_alias=True, by_name=True)
    except ValidationError as error:
        reasons = "; ".join(reasons_of(error))
        raise ValueError(sentence(where, f"it makes no {start.__name__}: {reasons}")) from error
    return example


def _read(start: type[Node], row: Any, where: str) -> dspy.Example:
    if isinstance(row, dspy.Example) and inputs_of(row) is not None:
        return row
    if isinstance(row, Mapping | dspy.Example):
        values = dict(cast("Mapping[str, Any]", row).items())
        inputs = {name: value for name, value in values.items() if name in _input_names(start)}
        return example_of(inputs, {name: value for name, value in values.items() if name not in inputs})
    match row:
        case [node, expected]:
            return _example_of_pair(start, node, expected, where)
        case _:
            pass
    hint = "Write a dict, a pair of a start node and what is expected, or a dspy.Example."
    raise ValueError(sentence(where, f"{what_is(row)} is no example", hint))


def _example_of_pair(start: type[Node], node: Any, expected: Any, where: str) -> dspy.Example:
    if type(node) is not start or not isinstance(expected, Node | Mapping):
        what = f"a pair of {what_is(node)} and {what_is(expected)} is no example"
        raise ValueError(sentence(where, what, f"Write ({start.__name__}(...), {{...}})."))
    inputs = {name: vars(node)[name] for name in spec_of(start).plain}
    labels: Mapping[str, Any] = cast("Mapping[str, Any]", expected)
    if isinstance(expected, Node):
        labels = {RESULT: type(expected).__name__, **_plain(expected)}
    is_flat = labels.keys().isdisjoint(inputs)
    return example_of(inputs, labels if is_flat else {EXPECTED: dict(labels)})


def _plain(node: Node) -> dict[str, Any]:
    return {name: vars(node)[name] for name in spec_of(type(node)).plain if name in vars(node)}


def _input_names(start: type[Node]) -> set[str]:
    aliases = {info.alias for info in start.model_fields.values() if info.alias}
    return {*start.model_fields, *aliases}


# --- Transitions -------------------------------------------------------------------------------------------------


def trace_to_examples(run: GraphResult[Any] | Sequence[Node]) -> dict[str, list[dspy.Example]]:
    """Return the transitions of a run as examples, by the name of the program that they are examples of."""
    trace = run.trace if isinstance(run, GraphResult) else list(run)
    examples: dict[str, list[dspy.Example]] = {}
    for key, example in _transitions(trace, is_whole=isinstance(run, GraphResult)):
        examples.setdefault(key, []).append(example)
    return examples


def _transitions(trace: Sequence[Node], *, is_whole: bool) -> Iterator[tuple[str, dspy.Example]]:
    for number, node in enumerate(trace):
        source = trace[number - 1] if number else node
        yield from _of_dependencies(source, node)
        if number and spec_of(type(node)).plain:
            yield _of_fill(source, node)
        following = trace[number + 1] if number + 1 < len(trace) else None
        if following is not None or is_whole:
            yield from _of_choice(node, following)


def _of_dependencies(source: Node, node: Node) -> Iterator[tuple[str, dspy.Example]]:
    """Yield the fills of the nodes that are dependencies of *node*, and of theirs."""
    for need in spec_of(type(node)).needs:
        value = vars(node).get(need.name)
        is_filled = isinstance(need.source, DepMarker) and (
            need.source.function is None or is_node(need.source.function)
        )
        if is_filled and isinstance(value, Node):
            yield from _of_dependencies(source, value)
            if spec_of(type(value)).plain:
                yield _of_fill(source, value)


def _of_fill(source: Node, node: Node) -> tuple[str, dspy.Example]:
    spec = spec_of(type(node))
    program = Program.of_fill(type(node), type(source))
    resolved = {need.name: vars(node)[need.name] for need in spec.needs if need.name in vars(node)}
    inputs = program.inputs_of(fill_request(spec, resolved, spec.instruction, source))
    return key_of(program.key), example_of(inputs, outputs_of(program, spec, node))


def outputs_of(program: Program, spec: NodeSpec, node: Node) -> dict[str, Any]:
    """Return what a model wrote of *node*, by the names that DSPy has for the fields."""
    written = node.model_dump(mode="json", by_alias=True, include=set(spec.plain), fallback=jsonable, warnings=False)
    known: dict[str, Any] = {}
    for name in spec.plain:
        info = type(node).model_fields[name]
        value = written.get(info.serialization_alias or info.alias or name)
        known |= {key: value for key in (name, info.alias, info.validation_alias) if isinstance(key, str)}
    return {name: known[each.name] for name, each in program.form.outputs.items() if each.name in known}


def _of_choice(node: Node, following: Node | None) -> Iterator[tuple[str, dspy.Example]]:
    route = route_of(type(node))
    chosen = None if following is None else type(following)
    if route.by != "lm" or route.offered == (chosen,) or chosen not in route.offered:
        return
    options = tuple(map(option_of, route.offered))
    program = Program.of_choice(type(node), options)
    name = next(option.name for option in options if option.type is chosen)
    inputs = program.inputs_of(choice_request(node, options))
    yield key_of(program.key), example_of(inputs, {next(iter(program.form.outputs)): name})
