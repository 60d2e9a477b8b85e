"""OptimizedLM: a graph's tuned prompts, as an LM like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..backends import lm_named
from ..backends.dspy import DSPyBackend
from ..errors import StaleProgramError
from ..lm import LM
from ._keys import key_of

if TYPE_CHECKING:
    import dspy

    from ..backends._dspy.programs import Program
    from ._compiled import CompiledGraph
    from ._programs import ProgramPredictor


class OptimizedLM(DSPyBackend):
    """An LM that fills and routes with the tuned predictors of a compiled graph.

    A node with a DSPyBackend of its own is asked of that one's model, with the tuned prompt; one with an LM of another
    kind keeps it. `create_optimized_lm` makes one from a file.

    Args:
        compiled: Whose predictors.
        lm: The model, as `DSPyBackend` takes it, or a `DSPyBackend`; by default the compiled graph's.
        partial: Let a prompt that is none of the compiled graph's be asked as it was never tuned; otherwise it raises
            `StaleProgramError`.
    """

    def __init__(
        self, compiled: CompiledGraph, lm: dspy.LM | DSPyBackend | str | None = None, *, partial: bool = False
    ):
        self._asked = compiled.backend if lm is None else backend_of(lm)
        super().__init__(adapter=self._asked.adapter, retries=self._asked.retries)
        self._compiled = compiled
        self._is_partial = partial
        self._programs = compiled.asked

    @property
    def problems(self) -> Mapping[str, str]:
        """Why programs are asked as they were never tuned, by their keys."""
        return self._compiled.problems

    def adopt(self, lm: LM) -> LM:
        """Return who is asked for a node whose own LM is *lm*: its model, with the tuned prompts, if it is DSPy's."""
        if not isinstance(lm, DSPyBackend) or isinstance(lm, OptimizedLM):
            return lm
        return type(self)(self._compiled, lm, partial=self._is_partial)

    def _predictor(self, program: Program) -> dspy.Predict:
        tuned = self._tuned(program)
        if tuned is not None:
            return tuned
        if not (self._is_partial or program.node_type.__name__ in self._compiled.untuned):
            what = f"{program.key} was never tuned: the graph itself does not ask for it"
            hint = "Say partial=True to ask it as it is."
            raise StaleProgramError(what, hint, problems={program.key: "not among the graph's programs"})
        return super()._predictor(program)

    def _tuned(self, program: Program) -> ProgramPredictor | None:
        """Return the predictor of *program*, which may be another one of that name."""
        found = self._compiled.nodes.get(key_of(program.key))
        return found if found is not None and found.program.contract == program.contract else None

    def model(self) -> dspy.LM:
        """Return the ``dspy.LM`` that is asked of what no node's own is."""
        return self._asked.model()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._compiled.graph!r}, {self._asked!r})"


def backend_of(lm: dspy.LM | DSPyBackend | str | None) -> DSPyBackend:
    """Return the DSPyBackend that *lm* means; raises TypeError if it is an LM of another kind."""
    if isinstance(lm, DSPyBackend):
        return lm
    if isinstance(lm, str) and not lm.startswith("dspy:") and "/" in lm:
        return DSPyBackend(lm)
    made = lm_named(lm) if isinstance(lm, str) else lm
    if isinstance(made, DSPyBackend):
        return made
    if isinstance(lm, str) or hasattr(made, "choose_type"):
        msg = f"lm=: {lm!r} is none of DSPy's models. Write 'dspy:openai/gpt-5', or pass a dspy.LM or a DSPyBackend."
        raise TypeError(msg)
    return DSPyBackend(made)
