"""The only reader of annotations: names become types, ``Annotated`` and unions are taken apart."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin
from weakref import ref

from ._bodies import innermost

_ALIKE = 0.7
MISSING: Any = inspect.Parameter.empty
Names = Mapping[str, Any]


class UnknownNameError(Exception):
    """Raised when an annotation uses a name that is found nowhere, or cannot be read at all.

    `name` is that name, and `close` one like it that is a class; without a name `reason` says what is wrong.
    """

    def __init__(self, name: str, annotation: object, *, close: str = "", reason: str = "") -> None:
        super().__init__(name, annotation)
        self.name = name
        self.annotation = annotation
        self.close = close
        self.reason = reason


class Hint(NamedTuple):
    """An annotation taken apart: the type, and what ``Annotated`` says of it."""

    type: Any
    metadata: tuple[Any, ...] = ()


class Parameter(NamedTuple):
    """One parameter of a callable, its annotation not yet looked up."""

    name: str
    annotation: Any
    default: Any
    by_position: bool


class Surroundings(NamedTuple):
    """The names in reach where something was made; local values are held weakly where Python allows it.

    `qualname` is that of the function it was made in.
    """

    module: Names
    local: Names
    qualname: str = ""

    def names(self) -> dict[str, Any]:
        """Return every name whose value still exists."""
        return {**self.module, **self.local_names()}

    def local_names(self) -> dict[str, Any]:
        """Return the local names whose values still exist."""
        alive: dict[str, Any] = {
            name: value() if isinstance(value, ref) else value for name, value in self.local.items()
        }
        return {name: value for name, value in alive.items() if value is not None}

    def reach_of(self, thing: Any, module: Names, closer: Names) -> dict[str, Any]:
        """Return the names that *thing*'s annotations may use, those of its *module*, and *closer* ones before all.

        These surroundings come last, but that what was made in the same function sees its local names first.
        """
        is_in_here = bool(self.qualname) and module is self.module
        if is_in_here and getattr(thing, "__qualname__", "").startswith(f"{self.qualname}.<locals>."):
            return {**module, **self.local_names(), **closer}
        return {**self.module, **self.local_names(), **module, **closer}


NOWHERE = Surroundings({}, {})


class CallableHints(NamedTuple):
    """What a callable's signature says: its parameters and what it returns, and the names they may use."""

    function: Any
    parameters: tuple[Parameter, ...]
    returns: Any
    module: Names
    closure: Names

    def hint(self, annotation: Any, around: Surroundings) -> Hint:
        """Return *annotation* taken apart; raises UnknownNameError."""
        if is_spelled_out(annotation):
            return split(annotation)
        return split(evaluate(annotation, around.reach_of(self.function, self.module, self.closure)))


def surroundings(depth: int) -> Surroundings:
    """Return the names in reach *depth* frames above the caller."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    while frame is not None and _is_in_between(frame):
        frame = frame.f_back
    if frame is None:
        return NOWHERE
    if frame.f_locals is frame.f_globals:
        return Surroundings(frame.f_globals, {})
    local = {name: _weak(value) for name, value in frame.f_locals.items()}
    return Surroundings(frame.f_globals, local, frame.f_code.co_qualname)


def _is_in_between(frame: types.FrameType) -> bool:
    """The frames that a subscripted class and PEP 695 put between a call and its caller."""
    module: Any = vars(typing)
    return frame.f_globals is module or frame.f_code.co_name.startswith("<generic parameters of")


def _weak(value: Any) -> Any:
    try:
        return ref(value)
    except TypeError:  # a union or an alias takes no weak reference, and keeps little alive
        return value


def is_spelled_out(annotation: Any) -> bool:
    """Return whether no part of *annotation* is a string that must be looked up."""
    return not any(isinstance(each, str | ForwardRef) for each in (annotation, *inner_annotations(annotation)))


def evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    """Return *annotation* with every string in it looked up in *names*; raises UnknownNameError."""
    if annotation is MISSING or (isinstance(annotation, type) and not get_args(annotation)):
        return annotation
    if isinstance(annotation, str) and _chooses_a_side(annotation):
        raise UnknownNameError("", annotation, reason="'or' and 'and' keep only one side of it")
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except NameError as error:
        name = error.name or str(error)
        raise UnknownNameError(name, annotation, close=class_like(name, names)) from error
    except SyntaxError as error:
        raise UnknownNameError("", annotation, reason="it is not a Python expression") from error
    except AttributeError as error:
        raise UnknownNameError("", annotation, reason=str(error)) from error
    except TypeError as error:
        raise UnknownNameError("", annotation, reason="it is not a type") from error


def class_like(name: str, names: Names) -> str:
    """Return the name of a class among *names* that is almost *name*, or nothing."""
    classes = [known for known, value in names.items() if isinstance(value, type)]
    return next(iter(difflib.get_close_matches(name, classes, n=1, cutoff=_ALIKE)), "")


def _chooses_a_side(annotation: str) -> bool:
    """Return whether *annotation* joins types by ``or`` or ``and``: Python then takes one and forgets the other."""
    if " or " not in annotation and " and " not in annotation:
        return False
    try:
        spelt = ast.parse(annotation.strip(), mode="eval").body
    except SyntaxError:
        return False
    if isinstance(spelt, ast.Constant) and isinstance(spelt.value, str):  # quoted where all annotations are strings
        return _chooses_a_side(spelt.value)
    return isinstance(spelt, ast.BoolOp)


def shown(annotation: Any) -> str:
    """Return *annotation* as people write it, without modules."""
    if annotation in (None, type(None), ...):
        return "..." if annotation is ... else "None"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, list):
        return f"[{', '.join(map(shown, cast('Sequence[Any]', annotation)))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(map(shown, arguments))
    if not arguments or origin in (Literal, Annotated):
        is_class = isinstance(annotation, type)
        return annotation.__name__ if is_class else str(annotation).replace("typing.", "")
    return f"{getattr(origin, '__name__', origin)}[{', '.join(map(shown, arguments))}]"


def split(annotation: Any) -> Hint:
    """Return *annotation* without its ``Annotated``, and the metadata beside it."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return Hint(inner, tuple(metadata))
    return Hint(annotation)


def plain_type(annotation: Any) -> Any:
    """Return *annotation* with aliases, ``NewType``s and outer ``Annotated``s opened."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, ``None`` included as ``type(None)``; a single type as itself."""
    annotation = plain_type(annotation)
    if annotation is None:
        return (type(None),)
    if get_origin(annotation) in (Union, types.UnionType):
        flat = [inner for member in get_args(annotation) for inner in members(member)]
        return tuple(dict.fromkeys(flat))
    return (annotation,)


def inner_annotations(annotation: Any) -> Iterator[Any]:
    """Return everything *annotation* is built of, ``Annotated`` metadata included, itself not."""
    todo = list(get_args(annotation))
    while todo:
        inner = todo.pop()
        yield inner
        todo.extend(get_args(inner))


def substitute(annotation: Any, values: Mapping[Any, Any]) -> Any:
    """Return *annotation* with type variables replaced by what *values* says of them."""
    if isinstance(annotation, TypeVar):
        return values.get(annotation, annotation)
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    open_variables = generic["parameters"] if generic else getattr(annotation, "__parameters__", ())
    if not any(variable in values for variable in open_variables):
        return annotation
    return annotation[tuple(values.get(variable, variable) for variable in open_variables)]


def type_arguments(cls: type) -> dict[Any, Any]:
    """Return what *cls* and its bases put in for type variables, Pydantic generics included."""
    found: dict[Any, Any] = {}
    for base in cls.__mro__:
        generic: dict[str, Any] = vars(base).get("__pydantic_generic_metadata__") or {}
        origin: Any = generic.get("origin")
        if origin is not None:
            # A base's arguments may be the variables of the class below it, which are known by now.
            arguments = [substitute(each, found) for each in generic["args"]]
            found.update(zip(origin.__pydantic_generic_metadata__["parameters"], arguments, strict=False))
    return found


@functools.lru_cache(maxsize=4096)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _annotated_function(function: Any) -> Any:
    """Return the function whose annotations describe a call of *function*."""
    if isinstance(function, functools.partial):
        return _annotated_function(function.func)
    if isinstance(function, type):
        return innermost(getattr(function, "__init__"))  # noqa: B009  mypy holds the plain access unsound
    if not inspect.isroutine(function) and callable(function):
        return innermost(type(function).__call__)
    return innermost(function)


def _closure(function: Any) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    found: dict[str, Any] = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not assigned it yet
            continue
    return found


def read_callable(function: Any) -> CallableHints:
    """Return the signature of any callable; one that tells nothing (some built-ins) has no parameters."""
    module, closure = _names_of(function)
    try:
        signature = _signature(function)
    except (ValueError, TypeError):
        return CallableHints(function, (), function if isinstance(function, type) else MISSING, module, closure)
    parameters = tuple(
        Parameter(each.name, each.annotation, each.default, each.kind is each.POSITIONAL_ONLY)
        for each in signature.parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    )
    returns = function if isinstance(function, type) else signature.return_annotation
    return CallableHints(function, parameters, returns, module, closure)


def _names_of(function: Any) -> tuple[Names, Names]:
    """Return the names of *function*'s module, and those of its closure and type parameters."""
    inner = _annotated_function(function)
    if not hasattr(inner, "__globals__"):
        return vars(sys.modules.get(getattr(function, "__module__", None) or "", types)), {}
    variables = {each.__name__: each for each in getattr(inner, "__type_params__", ())}
    return inner.__globals__, {**variables, **_closure(inner)}


def fits(given: Any, wanted: Any) -> bool:
    """Return False only where a value of type *given* can certainly not stand where *wanted* is asked for."""
    given, wanted = plain_type(given), plain_type(wanted)
    if given is wanted or wanted in (Any, object, MISSING) or given in (Any, MISSING):
        return True
    if isinstance(given, TypeVar | ForwardRef | str) or isinstance(wanted, TypeVar | ForwardRef | str):
        return True
    if get_origin(given) is Literal:
        return all(_literal_fits(value, wanted) for value in get_args(given))
    if len(members(given)) > 1:
        return all(fits(member, wanted) for member in members(given))
    if len(members(wanted)) > 1:
        return any(fits(given, member) for member in members(wanted))
    return _fits_one(_none_type(given), _none_type(wanted))


def _none_type(annotation: Any) -> Any:
    return type(None) if annotation is None else annotation


def _literal_fits(value: Any, wanted: Any) -> bool:
    return any(
        value in get_args(member) if get_origin(member) is Literal else fits(type(value), member)
        for member in members(wanted)
    )


def _fits_one(given: Any, wanted: Any) -> bool:
    if get_origin(wanted) is Literal:
        return False
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not isinstance(given_class, type) or not isinstance(wanted_class, type):
        return True
    if not _is_subclass(given_class, wanted_class):
        return False
    return _arguments_fit(get_args(given), get_args(wanted)) if given_class is wanted_class else True


# PEP 484's numeric tower.
_PROMOTED: dict[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def _is_subclass(given: type, wanted: type) -> bool:
    if getattr(wanted, "_is_protocol", False) or typing.is_typeddict(wanted) or typing.is_typeddict(given):
        return True
    try:
        return issubclass(given, (wanted, *_PROMOTED.get(wanted, ())))
    except TypeError:
        return True


def _arguments_fit(given: Sequence[Any], wanted: Sequence[Any]) -> bool:
    if len(given) != len(wanted):
        return True
    pairs = zip(given, wanted, strict=True)
    return all(fits(one, other) for one, other in pairs if not isinstance(one, list) and one is not ...)
