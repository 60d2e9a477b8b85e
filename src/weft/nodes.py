"""What users declare: a Node's fields, where their values come from, and where the graph goes next."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast, dataclass_transform, overload

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from . import _hints
from ._bodies import is_empty
from ._injection import UNRESOLVED, let_fields_be_missing
from ._markers import DepMarker, Per, RecallMarker, marker_in
from ._routes import Route, body_of, read_route, unknown_name
from .errors import GraphError, UnresolvedFieldError, sentence, shorten, what_is
from .lm import check_routing

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass

    from .lm import LM, Routing
else:
    ModelMetaclass = type(BaseModel)

T = TypeVar("T")


def _marked(marker: DepMarker | RecallMarker) -> Any:
    field: FieldInfo = Field()
    field.metadata.append(marker)
    return field


@overload
def Dep(
    fn: Callable[..., Awaitable[T]],
    /,
    *,
    per: Per = "run",
    thread: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    prefetch: bool = True,
) -> T: ...
@overload
def Dep(
    fn: Callable[..., AsyncGenerator[T, Any]] | Callable[..., AsyncIterator[T]],
    /,
    *,
    per: Per = "run",
    thread: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    prefetch: bool = True,
) -> T: ...
@overload
def Dep(
    fn: Callable[..., Generator[T, Any, Any]] | Callable[..., Iterator[T]],
    /,
    *,
    per: Per = "run",
    thread: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    prefetch: bool = True,
) -> T: ...
@overload
def Dep(
    fn: Callable[..., T],
    /,
    *,
    per: Per = "run",
    thread: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    prefetch: bool = True,
) -> T: ...
@overload
def Dep(*, per: Per = "run", timeout: float | None = None, retries: int = 0, prefetch: bool = True) -> Any: ...
def Dep(
    fn: Any = None,
    /,
    *,
    per: Per = "run",
    thread: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    prefetch: bool = True,
) -> Any:
    """Say that a field or parameter is made by *fn*, or, without *fn*, by the LM filling a Node.

    Write it as the default, ``weather: Weather = Dep(get_weather)``, or inside ``Annotated``. *fn* is any callable;
    its own parameters may be dependencies too. A generator function is a resource: set up once, torn down when
    the run ends.

    Args:
        fn: What makes the value.
        per: ``"run"`` runs *fn* once and shares the value; ``"visit"`` runs it again at each visit of a node.
        thread: Run a blocking function in a worker thread. Without it a sync function runs on the event loop.
        timeout: Seconds one try may take.
        retries: Further tries after an exception, at once.
        prefetch: Whether it may begin before its node is visited, see `Graph`. Say False where *fn* has side effects,
            or runs a graph.

    Raises:
        TypeError: if *fn* is not callable.
        ValueError: if an option makes no sense.

    Example:
        >>> from weft import Dep, Node
        >>> def get_name() -> str:
        ...     return "Ada"
        >>> class Greeting(Node):
        ...     name: str = Dep(get_name)
        >>> Greeting()
        Greeting(name=<unresolved>)
    """
    if inspect.iscoroutine(fn):
        name = fn.__name__
        fn.close()
        raise TypeError(sentence("Dep", f"{name} was called", f"Pass the function itself: Dep({name})."))
    if fn is not None and not callable(fn):
        hint = "Pass the function itself, not what it returns: Dep(get_weather)."
        if hasattr(fn, "arun"):
            hint = "Pass a function that runs it: async def get_answer(): return (await graph.arun(...)).result."
        raise TypeError(sentence("Dep", f"{shorten(repr(fn))} is not callable", hint))
    if per not in ("run", "visit"):
        msg = f"Dep: per={per!r} is neither 'run' nor 'visit'."
        raise ValueError(msg)
    _check_limits("Dep", timeout, retries)
    return _marked(DepMarker(fn, per, thread, timeout, retries, prefetch))


def _check_limits(where: str, timeout: float | None, retries: int | None) -> None:
    if timeout is not None and timeout <= 0:
        raise ValueError(sentence(where, f"timeout={timeout} leaves no time", "Give seconds, more than 0."))
    if retries is not None and retries < 0:
        raise ValueError(sentence(where, f"retries={retries} is less than none", "Give 0 or more."))


def Recall(first: type[Node] | str | None = None, field: str | None = None, /) -> Any:
    """Say that a field or parameter is the newest value of its type among the nodes visited so far.

    ``Recall()`` goes by the annotation: a node of that type, or a plain field of that type. ``Recall("field")``,
    ``Recall(SomeNode)`` and ``Recall(SomeNode, "field")`` say more precisely what is meant.

    Raises:
        TypeError: if the arguments are neither a Node class nor a field's name.

    Example:
        >>> from typing import Annotated
        >>> from weft import Node, Recall
        >>> class Question(Node):
        ...     text: str
        >>> class Answer(Node):
        ...     question: Annotated[Question, Recall()]
        ...     asked: Annotated[str, Recall(Question, "text")]
        ...     words: str
    """
    if isinstance(first, str) and field is None:
        return _marked(RecallMarker(field=first))
    if first is None or is_node(first):
        return _marked(RecallMarker(cast("type[Node] | None", first), field))
    msg = f"Recall: {first!r} is neither a Node class nor a field's name. Write Recall(SomeNode) or Recall('field')."
    raise TypeError(msg)


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """How a node class differs from the graph's ways; what is left out is inherited.

    Args:
        lm: The LM that fills this node and routes from it.
        instruction: What the model is told to write, in place of the class's name.
        timeout: Seconds that one fill or choice may take, retries included.
        retries: How often a rejected answer goes back to the model with the reasons.
        routes: Who chooses the next node, where a ``__call__`` without a code object leaves it open.
        routing: How many calls route from this node where the LM chooses: ``"two-call"``, one to choose and one to
            fill, or ``"one-call"``, one for both where the LM can and nothing is to be made before.
        tools: What the LM may call while it fills this node: typed functions, and whatever else its back-end takes.
    """

    lm: LM | str | None = None
    instruction: str | None = None
    timeout: float | None = None
    retries: int | None = None
    routes: Literal["lm", "code"] | None = None
    routing: Routing | None = None
    tools: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        """Check the options; raises ValueError."""
        _check_limits("NodeConfig", self.timeout, self.retries)
        if self.routes not in (None, "lm", "code"):
            raise ValueError(sentence("NodeConfig", f"routes={self.routes!r} is neither 'lm' nor 'code'"))
        check_routing("NodeConfig", self.routing)

    def over(self, base: NodeConfig) -> NodeConfig:
        """Return *base* with everything that this says put over it."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(base, **{name: value for name, value in said.items() if value is not None})


def injected_fields(cls: type[BaseModel]) -> set[str]:
    """Return the names of *cls*'s Dep and Recall fields."""
    return {name for name, field in cls.__pydantic_fields__.items() if marker_in(field.metadata)}


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
class NodeMeta(ModelMetaclass):
    """Makes Node classes: remembers the names around them, merges `node_config`, looks at the body."""

    # Here, and not in Node, where Pydantic would look at them again for each class.
    __weft_surroundings__: _hints.Surroundings
    __weft_body_is_empty__: bool | None

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:  # noqa: N805  # pyright: ignore[reportInconsistentConstructor]
        """Remember what names the class was written among, and whether its body says anything."""
        # Not __new__: Pydantic looks for the names around a class in the frame that calls it.
        super().__init__(name, bases, namespace)
        cls.__weft_surroundings__ = _hints.surroundings(1)
        if not cls.__pydantic_fields_complete__:
            names = {**cls.__weft_surroundings__.names(), name: cls}
            cast("type[BaseModel]", cls).model_rebuild(raise_errors=False, _types_namespace=names)
        configs = [vars(base)["node_config"] for base in reversed(cls.__mro__[1:]) if "node_config" in vars(base)]
        own = namespace.get("node_config")
        if own is not None and not isinstance(own, NodeConfig):
            hint = "Write: node_config = NodeConfig(lm=…, instruction=…)."
            raise TypeError(sentence(f"{name}.node_config", f"is {what_is(own)}, not a NodeConfig", hint))
        cls.node_config = functools.reduce(lambda base, over: over.over(base), [*configs, own or NodeConfig()])
        body = body_of(cls)
        cls.__weft_body_is_empty__ = None if body is None else is_empty(body)


class Node(BaseModel, metaclass=NodeMeta):
    """A frame of context: a Pydantic model whose fields say where their values come from.

    A plain field comes from the caller on the start node and from the LM on every other; `Dep` and `Recall` name
    other sources. The return annotation of ``async def __call__`` names what may follow: with an empty body the LM
    chooses, with code the code does. Without ``__call__``, or with ``-> None``, the node ends the run.

    Example:
        >>> from weft import Node
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> [each.__name__ for each in Question.successors()]
        ['Answer']
        >>> Answer.is_terminal()
        True
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, defer_build=True)
    node_config: ClassVar[NodeConfig] = NodeConfig()

    if TYPE_CHECKING:
        # Lets a subclass give __call__ any injected parameters; at run time a Node has none.
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...  # noqa: D102

    else:

        def __getattr__(self, name: str) -> Any:
            if name in injected_fields(type(self)):
                raise UnresolvedFieldError(type(self), name)
            return super().__getattr__(name)

    @classmethod
    def successors(cls) -> set[type[Node]]:
        """Return the node classes that may follow this one; raises GraphError if a name cannot be found."""
        return {each for each in route_of(cls).candidates if is_node(each)}

    @classmethod
    def is_terminal(cls) -> bool:
        """Return whether a run may end here: no ``__call__``, or None in its annotation."""
        return route_of(cls).may_stop

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        """Build the model's schema so that Dep and Recall fields may be missing."""
        schema = handler(source)
        injected = injected_fields(cls)
        if injected:
            let_fields_be_missing(cls, handler.resolve_ref_schema(schema), injected)
        return schema

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        injected = injected_fields(type(self))
        for name, field in type(self).__pydantic_fields__.items():
            if field.repr and (name in self.__dict__ or name in injected):
                yield name, self.__dict__.get(name, UNRESOLVED)
        yield from (self.__pydantic_extra__ or {}).items()
        for name, computed in type(self).__pydantic_computed_fields__.items():
            if computed.repr:
                yield name, self._shown(name)

    def _shown(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except UnresolvedFieldError:
            return UNRESOLVED


# Node itself is never validated: building its schema would only make the import slow. Its subclasses are built.
Node.model_config["defer_build"] = False


def is_node(thing: Any) -> bool:
    """Return whether *thing* is a class made by a user from Node."""
    return isinstance(thing, type) and issubclass(thing, Node) and thing is not Node


def route_of(cls: type[Node]) -> Route:
    """Return where *cls* may lead, as the last graph made with it found; raises GraphError."""
    known = vars(cls).get("__weft_route__")
    if known is not None:
        return cast("Route", known)
    try:
        return read_route(cls)
    except _hints.UnknownNameError as error:
        raise GraphError([unknown_name(cls, "__call__", error)]) from error
