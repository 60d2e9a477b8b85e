"""DSPyBackend: a graph's prompts as DSPy signatures, asked by DSPy's predictors."""

from __future__ import annotations

import importlib.util
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import LMNotConfiguredError, MissingExtraError, sentence, what_is
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial

if TYPE_CHECKING:
    import dspy

    from ..nodes import Node
    from ._dspy.programs import Program


def require_dspy(needed_for: str) -> None:
    """Raise MissingExtraError if DSPy, which is *needed_for* something, is not installed."""
    if importlib.util.find_spec("dspy") is None:
        raise MissingExtraError("dspy", "dspy", needed_for)


def node_to_signature(
    node_cls: type[Node], is_start: bool = False, *, source: type[Node] | None = None
) -> type[dspy.Signature]:
    """Return the DSPy signature of *node_cls*: Dep and Recall fields are inputs, plain fields outputs.

    The instruction is the class's name, or `NodeConfig(instruction=)`. A field whose name DSPy keeps for itself ends in
    ``_``. Outputs that are not text, numbers or a choice are JSON.

    Args:
        node_cls: The node that is filled.
        is_start: Whether it is a graph's start node, whose plain fields come from the caller: inputs too.
        source: The node that it is filled from, whose fields are inputs as well; where both have a field of one name,
            the source's stands behind the name of its class.

    Example:
        >>> from weft import Dep, Node, node_to_signature
        >>> def get_orders() -> list[str]:
        ...     return ["umbrella"]
        >>> class Reply(Node):
        ...     orders: list[str] = Dep(get_orders)
        ...     text: str
        >>> signature = node_to_signature(Reply)
        >>> list(signature.input_fields), list(signature.output_fields), signature.instructions
        (['orders'], ['text'], 'Reply')
    """
    require_dspy("node_to_signature")
    from ._dspy.signatures import Form

    return Form.of_fill(node_cls, source, is_start=is_start).signature()


class DSPyBackend(BaseLM):
    """An LM that asks a model through DSPy, which the extra ``weft[dspy]`` installs.

    Each node is a signature (see `node_to_signature`), and each choice is one; DSPy's predictors write and read the
    prompts, and the node's class validates the answers. `compile_graph` tunes those predictors.

    Args:
        lm: A ``dspy.LM``, or the name of a model as DSPy writes it, ``"openai/gpt-5"``; a model that is named here is
            asked without DSPy's cache. Without one, that of ``dspy.context(lm=)`` or ``dspy.configure(lm=)`` is asked.
        adapter: DSPy's adapter; ``dspy.ChatAdapter`` without its second try in JSON.
        retries: How often a rejected answer goes back to the model with the reasons.
        settings: What ``dspy.LM`` takes besides the name, as ``{"temperature": 0, "max_tokens": 4096}``.

    Example:
        >>> from weft import DSPyBackend
        >>> DSPyBackend("openai/gpt-5", settings={"max_tokens": 4096})
        DSPyBackend('openai/gpt-5')
    """

    def __init__(
        self,
        lm: dspy.LM | str | None = None,
        *,
        adapter: dspy.Adapter | None = None,
        retries: int = 2,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if settings and not isinstance(lm, str):
            msg = "settings= go with the name of a model; a dspy.LM has its own."
            raise ValueError(sentence("DSPyBackend", msg))
        self.retries = retries
        self._given = lm
        self._settings = dict(settings or {})
        self.adapter = adapter
        self._made: dspy.LM | None = None
        self._programs: dict[Hashable, Program] = {}
        self._predictors: dict[Program, dspy.Predict] = {}

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return what the predictor of this request's program answers."""
        require_dspy(repr(self))
        from ._dspy.calls import ADAPTER, predicted
        from ._dspy.programs import Program

        asked = (request.kind, request.node_type, request.source_type, tuple(each.type for each in request.options))
        program = self._programs.get(asked)
        if program is None:
            program = self._programs[asked] = Program.of_request(request)
        return await predicted(
            self._predictor(program), program, request, self._lm(program), self.adapter or ADAPTER, repr(self)
        )

    def _predictor(self, program: Program) -> dspy.Predict:
        """Return the predictor of *program*."""
        import dspy

        known = self._predictors.get(program)
        if known is None:
            known = self._predictors[program] = dspy.Predict(program.signature)
        return known

    def _lm(self, program: Program) -> dspy.LM:
        """Return the model that *program* is asked of; raises LMNotConfiguredError."""
        return self.model()

    def model(self) -> dspy.LM:
        """Return the ``dspy.LM`` that is asked; raises LMNotConfiguredError.

        Example:
            >>> DSPyBackend("openai/gpt-5").model().model
            'openai/gpt-5'
        """
        import dspy

        if self._made is None and isinstance(self._given, str):
            self._made = dspy.LM(self._given, **{"cache": False, **self._settings})
        lm = self._made or self._given or dspy.settings.lm
        if isinstance(lm, dspy.LM):
            return lm
        if lm is None:
            hint = "Name a model, DSPyBackend('openai/gpt-5'), or set one: with dspy.context(lm=dspy.LM(...))."
            raise LMNotConfiguredError("no model is named", hint, backend=repr(self))
        raise LMNotConfiguredError(f"{what_is(lm)} is no dspy.LM", "Pass dspy.LM(...).", backend=repr(self))

    def __repr__(self) -> str:
        given: Any = getattr(self._given, "model", self._given)
        return f"{type(self).__name__}({'' if given is None else repr(given)})"
