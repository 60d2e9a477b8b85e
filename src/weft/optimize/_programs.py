"""The programs of a graph: every prompt that a run can ask for, known before it runs, and a predictor for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dspy

from .._plan import Plan
from .._spec import InjectLM, spec_of
from ..backends._dspy.programs import Program
from ..backends.dspy import DSPyBackend
from ..backends import lm_named
from ..errors import Fault, GraphError, name_of
from ..filling import options_of
from ..nodes import Node, is_node
from ..topology import NodePlan, Topology
from ._keys import key_of

T = TypeVar("T")


class Shared(Generic[T]):
    """A value that the copies of a module share: DSPy copies modules deeply, and often."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: Any) -> Shared[T]:
        return self


class ProgramPredictor(dspy.Predict):  # type: ignore[misc]  # DSPy is not typed
    """The predictor of one program of a graph: its instructions and demos are what an optimiser tunes."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.signature)
        self._program = Shared(program)

    @property
    def name(self) -> str:
        """What it goes by among the predictors of its graph."""
        return key_of(self.program.key)

    @property
    def program(self) -> Program:
        """The program that it answers."""
        return self._program.value

    def fresh(self) -> ProgramPredictor:
        """Return another one of the same instructions and demos, and nothing else that it was given."""
        other = ProgramPredictor(self.program)
        other.signature, other.demos = self.signature, list(self.demos)
        return other


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an LM may be asked in a run, and by which node's LM: the filling of *target*, or a choice without one."""

    source: type[Node]
    target: type[Node] | None
    owner: type[Node]

    def program(self, topology: Topology) -> Program:
        """Return the program that answers it."""
        if self.target is None:
            return Program.of_choice(self.source, options_of(topology.visits[self.source].offered))
        return Program.of_fill(self.target, self.source)


@dataclass(frozen=True, slots=True)
class GraphPrograms:
    """The programs of a graph by their keys, and the names of the nodes whose own LM is none of DSPy's."""

    programs: Mapping[str, Program]
    untuned: tuple[str, ...]

    @classmethod
    def of(cls, topology: Topology) -> GraphPrograms:
        """Return those of *topology*; raises GraphError if two would go by one key."""
        prompts = list(dict.fromkeys(_prompts(topology)))
        tuned = [each for each in prompts if not _has_other_lm(each.owner)]
        untuned = {name_of(each.owner) for each in prompts if _has_other_lm(each.owner)}
        found: dict[str, tuple[Prompt, Program]] = {}
        faults: list[Fault] = []
        for prompt in tuned:
            program = prompt.program(topology)
            known = found.setdefault(key_of(program.key), (prompt, program))[0]
            if (known.source, known.target) != (prompt.source, prompt.target):
                hint = "Give one of the classes another name."
                faults.append(Fault(prompt.target, None, f"two prompts of this graph are called {program.key}", hint))
        if faults:
            raise GraphError(list(dict.fromkeys(faults)))
        return cls({key: program for key, (_, program) in found.items()}, tuple(sorted(untuned)))


def _has_other_lm(node: type[Node]) -> bool:
    own = node.node_config.lm
    return own is not None and not isinstance(lm_named(own), DSPyBackend)


def _prompts(topology: Topology) -> Iterator[Prompt]:
    """Yield whatever the runs of a graph ask an LM: routes, what they lead to, and nodes that are dependencies."""
    before: dict[type[Node], list[type[Node]]] = {topology.start: [topology.start]}
    for cls, visit in topology.visits.items():
        for each in filter(is_node, visit.route.candidates):
            before.setdefault(each, []).append(cls)
    for cls, visit in topology.visits.items():
        for source in dict.fromkeys(before.get(cls, ())):
            yield from _fills(source, _dependencies(visit.plan))
        # When a body begins, its node is the newest of the trace.
        yield from _fills(cls, _dependencies(visit.body_plan))
        yield from _prompts_of_route(cls, visit)


def _prompts_of_route(cls: type[Node], visit: NodePlan) -> Iterator[Prompt]:
    route = visit.route
    has_lm = visit.body is not None and any(isinstance(need.source, InjectLM) for need in visit.body.needs)
    if len(visit.offered) > 1 and (route.by == "lm" or has_lm):
        yield Prompt(cls, None, cls)
    if route.by == "lm" or route.returns_class or has_lm:
        yield from _fills(cls, filter(is_node, route.candidates))


def _dependencies(plan: Plan | None) -> Iterator[type[Node]]:
    for slot in plan.slots if plan is not None else ():
        if slot.node is not None:
            yield slot.node.node


def _fills(source: type[Node], targets: Iterable[type[Node]]) -> Iterator[Prompt]:
    for target in targets:
        if spec_of(target).plain:
            yield Prompt(source, target, target)
