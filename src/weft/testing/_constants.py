"""What code compares with: the constants in it, around it, and in what it calls."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any, TypeAlias, TypeGuard, cast

from .._bodies import innermost

Moment: TypeAlias = date | time  # a datetime is a date, too

_MAX_DEPTH = 4  # of functions that a body calls, and of values in values
_MOST = 200
_MOST_IN_ONE = 50  # of a list, a set or a table, so that a long one leaves room for others
_HUGE = 1e300
_CLOCKS = frozenset(["now", "today", "utcnow"])
_OTHERS_CODE = sys.stdlib_module_names | {"pydantic", "pydantic_core"}  # decides nothing for a graph


@dataclass(frozen=True, slots=True)
class Constants:
    """What code compares with; where it asks for the time, today is one of the moments."""

    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    moments: tuple[Moment, ...] = ()


def constants_of(*functions: Any) -> Constants:
    """Return the constants in *functions* and in what they name; what is no function is a constant itself."""
    seen: set[types.CodeType] = set()
    each_of = (_constants(each, seen, 0) if _code_of(each) else _flat(each) for each in functions)
    found = list(itertools.islice(dict.fromkeys(itertools.chain.from_iterable(each_of)), _MOST))
    texts = tuple(each for each in found if isinstance(each, str))
    numbers = tuple(each for each in found if isinstance(each, int | float) and -_HUGE < each < _HUGE)
    return Constants(texts, numbers, tuple(each for each in found if isinstance(each, date | time)))


def methods_named_in(function: Any, cls: type) -> list[Any]:
    """Return the methods, properties and constants of *cls* that *function* names."""
    code = _code_of(function)
    names = {name for each in _code_objects(code) for name in each.co_names} if code is not None else set[str]()
    found = [vars(base)[name] for base in cls.__mro__ for name in sorted(names & vars(base).keys())]
    return [getattr(each, "fget", each) for each in found]


def _constants(function: Any, seen: set[types.CodeType], depth: int) -> Iterator[Any]:
    function, code = innermost(function), _code_of(function)
    if code is None or code in seen or depth > _MAX_DEPTH or (depth and _is_of_others(function)):
        return
    inner = list(_code_objects(code))
    seen.update(inner)
    scope = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    yield from _flat([function.__defaults__ or (), function.__kwdefaults__ or {}])
    for each in inner:
        yield from _flat([const for const in each.co_consts if const != function.__doc__])
        if not _CLOCKS.isdisjoint(each.co_names):
            yield datetime.now(UTC).date()
        for known in (scope[name] for name in each.co_names + each.co_freevars if name in scope):
            yield from _flat(known) if not callable(known) else _constants(known, seen, depth + 1)
            for part in _parts(known, each.co_names):
                yield from _constants(part, seen, depth + 1) if _code_of(part) else _flat(part)


def _parts(whole: Any, names: Iterable[str]) -> Iterator[Any]:
    """Yield what a class, a module or an object holds under *names*, without running any code of it."""
    if isinstance(whole, type) and issubclass(whole, Enum):
        yield [each.value for each in whole]
    elif _code_of(whole) is None and not _is_of_others(whole):
        missing, holder = object(), cast("object", whole)
        found = (inspect.getattr_static(holder, name, missing) for name in names)
        yield from (each for each in found if each is not missing)


def _is_of_others(value: Any) -> bool:
    of = value if isinstance(value, types.ModuleType | types.FunctionType | type) else type(value)
    name = of.__name__ if isinstance(of, types.ModuleType) else of.__module__
    return str(name).partition(".")[0] in _OTHERS_CODE


def _code_of(function: Any) -> types.CodeType | None:
    code = getattr(innermost(function), "__code__", None) if callable(function) or _is_wrapped(function) else None
    return code if isinstance(code, types.CodeType) else None


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, staticmethod | classmethod)


def _code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _code_objects(each)


def _flat(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the texts, numbers and moments in *value*."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str | int | float | date | time) and not isinstance(value, bool):
        yield value
    elif depth <= _MAX_DEPTH:
        nested = (_flat(each, depth + 1) for each in _items(value))
        yield from itertools.islice(itertools.chain.from_iterable(nested), _MOST_IN_ONE)


def _items(value: Any) -> Iterable[Any]:
    """Return what is in a container, keys and values alike; a set in an order that no hash decides."""
    if _is_table(value):
        return itertools.chain.from_iterable(value.items())
    if _is_set(value):
        return sorted(value, key=lambda each: (type(each).__name__, repr(each)))
    return value if _is_sequence(value) else ()


def _is_table(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, dict | types.MappingProxyType)


def _is_set(value: object) -> TypeGuard[AbstractSet[Any]]:
    return isinstance(value, set | frozenset)


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)
