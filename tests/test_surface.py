"""What others see: the façade, the tree of errors, and the examples in docstrings."""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from functools import partial
from types import ModuleType

import pytest

import weft
from weft import errors
from weft.lm import Rejection

# --- The façade


def sort_key(name: str) -> tuple[int, str]:
    """Return where a name stands: constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def is_our_own(thing: object) -> bool:
    return not isinstance(thing, ModuleType) and str(getattr(thing, "__module__", "")).split(".")[0] == "weft"


def test_all_is_sorted():
    assert weft.__all__ == sorted(weft.__all__, key=sort_key)
    assert len(set(weft.__all__)) == len(weft.__all__)


def test_all_is_what_dir_shows():
    public = {name for name in dir(weft) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(weft, name), ModuleType)}

    assert public - modules == set(weft.__all__)
    assert {name for name in modules if getattr(weft, name).__package__.split(".")[0] != "weft"} == set()


def test_all_is_everything_of_ours_that_the_facade_holds():
    held = {name for name, thing in vars(weft).items() if is_our_own(thing) and not name.startswith("_")}

    assert held <= set(weft.__all__)


def test_the_facade_has_the_names_of_the_design():
    expected = """
        Node NodeConfig Dep Recall Graph GraphResult LM BaseLM OfflineLM resolve_fields resolve_dep classify_fields
        WeftError GraphError UnresolvedFieldError RunError DepError RecallError ChoiceError FillError StepLimitError
        BudgetExceededError LMError MissingExtraError
    """

    assert set(expected.split()) <= set(weft.__all__)


@pytest.mark.parametrize("name", weft.__all__)
def test_a_public_name_is_there_and_documented(name):
    thing = getattr(weft, name)

    assert is_our_own(thing)
    assert thing.__name__ == name
    assert thing.__doc__
    # What a dataclass writes of itself tells nobody what it is for.
    assert not thing.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", weft.__all__)
def test_public_methods_are_documented(name):
    methods = vars(getattr(weft, name)) if inspect.isclass(getattr(weft, name)) else {}
    undocumented = [
        method
        for method, thing in methods.items()
        if not method.startswith("_")
        and isinstance(thing, property | classmethod | staticmethod | type(is_our_own))
        and not inspect.getdoc(thing)
    ]

    assert undocumented == []


def test_a_name_that_loads_later_is_not_loaded_before_it_is_used():
    script = """
import sys
import weft
loaded = set(sys.modules)
assert "weft.backends.offline" not in loaded
from weft import OfflineLM
assert OfflineLM is weft.OfflineLM is sys.modules["weft.backends.offline"].OfflineLM
assert "OfflineLM" in dir(weft)
"""

    subprocess.run([sys.executable, "-c", script], check=True)


def test_names_that_load_later_are_public():
    assert set(weft._HOME_OF) == set(weft.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError) as caught:
        weft.Grpah  # noqa: B018

    assert str(caught.value) == "module 'weft' has no attribute 'Grpah'"
    with pytest.raises(ImportError, match="Grpah"):
        exec("from weft import Grpah")


def test_the_version_is_that_of_the_package():
    metadata = importlib.import_module("importlib.metadata")

    assert weft.__version__ == metadata.version("weft")


# --- Errors


class Report(weft.Node):
    words: str


PLACE = {
    "node_type": Report,
    "field_name": "words",
    "path": ("Report.words", "get_words"),
    "trace": [Report(words="so far")],
}
ATTEMPTS = (Rejection({"words": 3}, ("words: not a string",)),)
FAULT = errors.Fault(Report, "words", "has two sources", "Keep one.")

# Each error with all its data, and the line it shows.
MADE = {
    errors.WeftError("Something happened."): "Something happened.",
    errors.GraphError([FAULT]): "Report.words: has two sources. Keep one.",
    errors.UnresolvedFieldError(Report, "words"): (
        "Report.words: is not resolved yet. A run resolves it; outside a run, pass it to the constructor."
    ),
    errors.RunError("went wrong", "Try again.", **PLACE): "Report.words → get_words: went wrong. Try again.",
    errors.DepError("raised OSError", "Look.", **PLACE): "Report.words → get_words: raised OSError. Look.",
    errors.RecallError("finds nothing", "Look.", wanted=list[str], **PLACE): (
        "Report.words → get_words: finds nothing. Look."
    ),
    errors.ChoiceError(
        "chose wrongly", "Look.", offered=("A", "B"), answered={"choice": "C"}, attempts=ATTEMPTS, **PLACE
    ): "Report.words → get_words: chose wrongly. Look.",
    errors.FillError("was not filled", "Look.", attempts=ATTEMPTS, **PLACE): (
        "Report.words → get_words: was not filled. Look."
    ),
    errors.RouteError("returned a str", "Look.", returned="Report", **PLACE): (
        "Report.words → get_words: returned a str. Look."
    ),
    errors.StepLimitError("visited 25 nodes", "Look.", limit=25, **PLACE): (
        "Report.words → get_words: visited 25 nodes. Look."
    ),
    errors.BudgetExceededError("spent it", "Look.", **PLACE): "Report.words → get_words: spent it. Look.",
    errors.RunTimeoutError("took 3 s", "Look.", timeout=3.0, **PLACE): ("Report.words → get_words: took 3 s. Look."),
    **{
        kind("said no", "Look.", backend="offline", node_type=Report, key="2:Report/fill", trace=PLACE["trace"]): (
            "2:Report/fill: said no. Look."
        )
        for kind in (
            errors.LMError,
            errors.LMAuthenticationError,
            errors.LMTimeoutError,
            errors.LMConnectionError,
            errors.LMRefusalError,
            errors.LMRequestError,
            errors.LMResponseError,
            errors.LMNotConfiguredError,
        )
    },
    errors.LMRateLimitError("said no", "Wait.", retry_after=2.5, backend="offline"): "offline: said no. Wait.",
    errors.CassetteError("cassette.json", "this is no cassette", "Is it the right file?"): (
        "cassette.json: this is no cassette. Is it the right file?"
    ),
    errors.StaleProgramError(
        "Ticket/route: it is not in the file",
        "Optimise again.",
        problems={"Ticket/route": "it is not in the file"},
        backend="offline",
    ): "offline: Ticket/route: it is not in the file. Optimise again.",
    errors.ProgramFileError("prompts.json", "this is no file of tuned programs", "Is it the right file?"): (
        "prompts.json: this is no file of tuned programs. Is it the right file?"
    ),
    errors.MissingExtraError("dspy", "dspy", "DSPyBackend"): (
        "DSPyBackend: needs the package dspy, which is not installed. Install it with: pip install 'weft[dspy]'"
    ),
}


def error_classes() -> list[type[weft.WeftError]]:
    things = vars(errors).values()
    return [thing for thing in things if inspect.isclass(thing) and issubclass(thing, weft.WeftError)]


def parent_of(cls: type) -> str | None:
    return next((base.__name__ for base in cls.__bases__ if issubclass(base, weft.WeftError)), None)


def drawn_parents(drawing: str) -> dict[str, str | None]:
    """Return each class of the tree in *drawing* with the one it hangs on."""
    branches: list[str] = []
    parents: dict[str, str | None] = {}
    for line in drawing.splitlines():
        before, _, text = line.rpartition("── ")
        if not (before or line.startswith("WeftError")):
            continue
        depth = (len(before) + 3) // 4 if before else 0
        name, _, meaning = text.partition(" ")
        assert meaning.strip() or not depth, f"{name} is drawn without a word on what it means"
        parents[name] = branches[depth - 1] if depth else None
        branches[depth:] = [name]
    return parents


def test_the_drawn_tree_of_errors_is_the_real_one():
    assert errors.__doc__ is not None
    assert drawn_parents(errors.__doc__) == {cls.__name__: parent_of(cls) for cls in error_classes()}


def test_every_error_is_public_and_shown_here():
    assert {cls.__name__ for cls in error_classes()} <= set(weft.__all__)
    assert {type(error) for error in MADE} == set(error_classes())


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_an_error_says_when_it_is_raised(cls):
    assert cls is weft.WeftError or cls.__doc__.startswith("Raised ")


@pytest.mark.parametrize(("error", "line"), MADE.items(), ids=lambda each: type(each).__name__)
def test_an_error_shows_one_line(error, line):
    assert str(error) == line


@pytest.mark.parametrize("made", [errors.DepError, errors.LMError, partial(errors.Fault, None, None)])
def test_an_error_stays_one_line_whatever_it_quotes(made):
    assert len(str(made("raised ValueError: one\ntwo")).splitlines()) == 1


def test_a_graph_error_lists_each_fault_on_a_line():
    error = errors.GraphError([FAULT, FAULT])

    assert str(error).splitlines() == ["2 faults in this graph:", f"  {FAULT}", f"  {FAULT}"]


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_keeps_its_data_when_pickled_or_copied(error, again):
    other = again(error)

    assert type(other) is type(error)
    assert vars(other) == vars(error)
    assert other.args == error.args
    assert str(other) == str(error)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.UnresolvedFieldError, AttributeError),
        (errors.MissingExtraError, ImportError),
        (errors.RunTimeoutError, TimeoutError),
        (errors.LMNotConfiguredError, ValueError),
        (errors.ProgramFileError, ValueError),
    ],
)
def test_an_error_is_also_what_python_calls_it(cls, builtin):
    assert issubclass(cls, builtin)


def test_only_errors_that_pass_are_retryable():
    retryable = {cls for cls in error_classes() if getattr(cls, "is_retryable", False)}

    assert retryable == {errors.LMRateLimitError, errors.LMTimeoutError, errors.LMConnectionError}


# --- Docstrings


def modules() -> list[str]:
    found = pkgutil.walk_packages(weft.__path__, prefix="weft.")
    return ["weft", *(module.name for module in found if not module.name.endswith("__main__"))]


def doctests() -> list[doctest.DocTest]:
    """Return the examples of each docstring, to be run where nothing is imported and no event loop runs."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in modules() for test in finder.find(importlib.import_module(name), globs={})]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("test", doctests(), ids=lambda test: test.name)
def test_the_examples_in_a_docstring_are_true(test):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []

    runner.run(test, out=said.append)

    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("name", ["Node", "Dep", "Recall", "Graph", "OfflineLM", "resolve_fields", "resolve_dep"])
def test_what_a_newcomer_meets_first_has_an_example(name):
    assert any(test.name.endswith(f".{name}") for test in doctests())
