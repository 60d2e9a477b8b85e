"""Every error carries data and one line of text: where: what. Hint."""

import copy
import inspect
import pickle

import pytest

from weft import GraphError, Node, UnresolvedFieldError, WeftError, errors
from weft.errors import Fault, arrows, name_of, printable, sentence, shorten


class Place(Node):
    field: int = 0


HOW = {
    "node_type": Place,
    "field_name": "field",
    "path": ("Place.field", "get"),
    "trace": [Place()],
}
RUN_ERRORS = [
    errors.RunError("went wrong", "Do this.", **HOW),
    errors.DepError("went wrong", "Do this.", **HOW),
    errors.RecallError("went wrong", "Do this.", wanted=int, **HOW),
    errors.ChoiceError("went wrong", "Do this.", offered=["A"], answered="B", attempts=[1], **HOW),
    errors.FillError("went wrong", "Do this.", attempts=[1, 2], **HOW),
    errors.RouteError("went wrong", "Do this.", returned=3, **HOW),
    errors.StepLimitError("went wrong", "Do this.", limit=25, **HOW),
    errors.BudgetExceededError("went wrong", "Do this.", **HOW),
    errors.RunTimeoutError("went wrong", "Do this.", timeout=1.5, **HOW),
]
LM_ERRORS = [
    cls("went wrong", "Do this.", backend="claude-cli", node_type=Place, key="0:Place/fill", trace=[Place()])
    for cls in (
        errors.LMError,
        errors.LMAuthenticationError,
        errors.LMRateLimitError,
        errors.LMTimeoutError,
        errors.LMConnectionError,
        errors.LMRequestError,
        errors.LMRefusalError,
        errors.LMResponseError,
        errors.LMNotConfiguredError,
        errors.StaleProgramError,
    )
]
OTHERS = [
    GraphError([Fault(Place, "field", "is wrong", "Do this.")]),
    UnresolvedFieldError(Place, "field"),
    errors.CassetteError("cassette.json", "is damaged", "Do this."),
    errors.ProgramFileError("prompts.json", "is damaged", "Do this."),
    errors.MissingExtraError("dspy", "dspy", "DSPyBackend"),
]
ALL = [*RUN_ERRORS, *LM_ERRORS, *OTHERS]
NAMES = [type(error).__name__ for error in ALL]


def test_the_list_above_holds_every_error():
    every = {cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, WeftError)}

    assert {type(error) for error in ALL} == every - {WeftError}


@pytest.mark.parametrize("error", ALL, ids=NAMES)
def test_an_errors_text_is_one_line_that_ends_like_a_sentence(error):
    text = str(error)

    assert "\n" not in text
    assert ": " in text
    assert text[-1] in ".'"


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
@pytest.mark.parametrize("error", ALL, ids=NAMES)
def test_an_error_survives_copying_and_pickling(error, again):
    twin = again(error)

    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin).keys() == vars(error).keys()
    assert getattr(twin, "trace", None) == getattr(error, "trace", None)


@pytest.mark.parametrize("error", RUN_ERRORS, ids=lambda error: type(error).__name__)
def test_a_run_error_says_where_what_and_what_to_do(error):
    assert str(error) == "Place.field → get: went wrong. Do this."
    assert (error.node_type, error.field_name, error.path) == (Place, "field", ("Place.field", "get"))
    assert error.trace == [Place()]


def test_without_a_path_the_node_and_field_are_the_place():
    assert str(errors.RunError("went wrong", node_type=Place, field_name="field")) == "Place.field: went wrong."
    assert str(errors.RunError("went wrong", node_type=Place)) == "Place: went wrong."
    assert str(errors.RunError("went wrong")) == "went wrong."


def test_the_trace_of_an_error_is_its_own():
    trace = [Place()]

    error = errors.RunError("went wrong", trace=trace)
    trace.append(Place())

    assert len(error.trace) == 1


@pytest.mark.parametrize("error", LM_ERRORS, ids=lambda error: type(error).__name__)
def test_an_lm_error_names_the_place_and_keeps_the_back_end(error):
    assert str(error) == "0:Place/fill: went wrong. Do this."
    assert (error.backend, error.node_type) == ("claude-cli", Place)


def test_what_can_be_retried_is_said_by_the_class():
    retryable = {cls.__name__ for cls in map(type, LM_ERRORS) if cls.is_retryable}

    assert retryable == {"LMRateLimitError", "LMTimeoutError", "LMConnectionError"}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.UnresolvedFieldError, AttributeError),
        (errors.RunTimeoutError, TimeoutError),
        (errors.MissingExtraError, ImportError),
        (errors.LMNotConfiguredError, ValueError),
    ],
)
def test_errors_are_caught_by_the_built_in_that_people_expect(error, builtin):
    assert issubclass(error, builtin)


def test_a_graph_error_with_one_fault_is_one_line_and_with_more_a_list():
    one = Fault(Place, "field", "is wrong", "Put it right.")
    two = Fault(None, "get(x)", "is odd.")

    assert str(GraphError([one])) == "Place.field: is wrong. Put it right."
    assert str(GraphError([one, two])) == (
        "2 faults in this graph:\n  Place.field: is wrong. Put it right.\n  get(x): is odd."
    )
    assert GraphError([one, two]).faults == (one, two)


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Fault(Place, "field", "m"), "Place.field"),
        (Fault(Place, None, "m"), "Place"),
        (Fault(None, "get(x)", "m"), "get(x)"),
        (Fault(None, None, "m"), ""),
    ],
)
def test_a_fault_says_where_as_far_as_it_is_known(fault, where):
    assert fault.where == where
    assert str(fault) == (f"{where}: m." if where else "m.")


@pytest.mark.parametrize("what", ["m", "m.", "m?", "m!"])
def test_a_sentence_gets_one_full_stop(what):
    assert sentence("w", what, "H.") == f"w: {what if what != 'm' else 'm.'} H."


def test_line_breaks_and_terminal_escapes_are_written_out():
    assert printable("a\nb\x1b[31m") == r"a\nb\x1b[31m"
    assert printable("Grüße → 東京") == "Grüße → 東京"
    assert "\n" not in str(errors.RunError("a\nb\x1b[31m", "c\rd"))
    assert "\x1b" not in str(errors.RunError("a\nb\x1b[31m", "c\rd"))


def test_long_values_are_cut():
    assert shorten("a" * 300) == "a" * 199 + "…"
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def test_the_middle_of_a_long_path_is_left_out():
    assert arrows([]) == ""
    assert arrows(["a", "b"]) == "a → b"
    assert arrows([str(n) for n in range(12)]) == " → ".join(str(n) for n in range(12))
    assert arrows([str(n) for n in range(2_012)]) == (
        "0 → 1 → 2 → 3 → 4 → 5 → … 2,000 more … → 2006 → 2007 → 2008 → 2009 → 2010 → 2011"
    )


def test_things_are_called_what_people_call_them():
    import functools

    class Odd:
        def __call__(self): ...

    assert name_of(Place) == "Place"
    assert name_of(len) == "len"
    assert name_of(functools.partial(functools.partial(len))) == "len"
    assert name_of(Odd()) == "Odd(…)"
    assert name_of(Odd().__call__) == "__call__"
    assert name_of(None) == "NoneType(…)" or name_of(None) == "None"
