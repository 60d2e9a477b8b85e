"""DSPyBackend: a graph's prompts as DSPy signatures, asked by DSPy's predictors."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import LMNotConfiguredError, MissingExtraError, sentence, shorten, what_is
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial

if TYPE_CHECKING:
    import dspy

    from ..nodes import Node
    from ._dspy.programs import Program, Programs


def is_dspy_installed() -> bool:
    """Return whether DSPy can be imported."""
    return importlib.util.find_spec("dspy") is not None


def require_dspy(needed_for: str) -> None:
    """Raise MissingExtraError if DSPy, which is *needed_for* something, is not installed."""
    if not is_dspy_installed():
        raise MissingExtraError("dspy", "dspy", needed_for)


def node_to_signature(
    node_cls: type[Node],
    is_start: bool = False,  # noqa: FBT001, FBT002  a word of the field's own
    *,
    source: type[Node] | None = None,
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
        lm: dspy.BaseLM | str | None = None,
        *,
        adapter: dspy.Adapter | None = None,
        retries: int = 2,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if settings and not isinstance(lm, str):
            msg = "settings= go with the name of a model; a dspy.LM has its own."
            raise ValueError(sentence("DSPyBackend", msg))
        self.retries = retries
        self.routing = "two-call"  # choosing and each filling are programs of their own
        self._given = lm
        self._settings = dict(settings or {})
        self.adapter = adapter
        self._programs: Programs | None = None
        self._made: dspy.BaseLM | None = None

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return what the predictor of this request's program answers."""
        await _import_dspy(repr(self))
        from ._dspy.calls import ADAPTER, predicted

        program = self._program(request)
        lm, adapter = self._lm(program), self.adapter or ADAPTER
        return await predicted(self._predictor(program), program, request, lm=lm, adapter=adapter, backend=repr(self))

    def _program(self, request: LMRequest) -> Program:
        """Return the program that answers *request*."""
        from ._dspy.programs import Programs

        programs = self._programs = self._programs or Programs()
        return programs.of(request)

    def _predictor(self, program: Program) -> dspy.Predict:
        """Return the predictor of *program*."""
        return program.predictor

    def _lm(self, program: Program) -> dspy.BaseLM:
        """Return the model that *program* is asked of; raises LMNotConfiguredError."""
        return self.model()

    def model(self) -> dspy.BaseLM:
        """Return the ``dspy.LM`` that is asked; raises LMNotConfiguredError."""
        import dspy

        if self._made is None and isinstance(self._given, str):
            self._made = self._made_from(self._given)
        lm: Any = self._made or self._given or dspy.settings.lm
        if isinstance(lm, dspy.BaseLM):
            return lm
        if lm is None:
            hint = "Name a model, DSPyBackend('openai/gpt-5'), or set one: with dspy.context(lm=dspy.LM(...))."
            raise LMNotConfiguredError("no model is named", hint, backend=repr(self))
        raise LMNotConfiguredError(f"{what_is(lm)} is no dspy.LM", "Pass dspy.LM(...).", backend=repr(self))

    def _made_from(self, name: str) -> dspy.BaseLM:
        import dspy

        settings: dict[str, Any] = {"cache": False, **self._settings}
        try:
            return dspy.LM(name, **settings)
        except (ValueError, TypeError, dspy.DSPyError) as error:
            raise LMNotConfiguredError(shorten(error), "See dspy.LM for what it takes.", backend=repr(self)) from error

    def __repr__(self) -> str:
        given: Any = getattr(self._given, "model", self._given)
        return f"{type(self).__name__}({'' if given is None else repr(given)})"


_is_imported = threading.Event()


async def _import_dspy(needed_for: str) -> None:
    """Import DSPy in a thread: it takes most of a second, in which the event loop is not to stand still."""
    if not _is_imported.is_set():
        require_dspy(needed_for)
        await asyncio.to_thread(importlib.import_module, "._dspy.calls", __package__)
        _is_imported.set()
