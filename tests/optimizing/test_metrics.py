"""Examples and metrics: what counts as right, and what never does."""

from __future__ import annotations

from enum import Enum
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticket_graph import GRAPH, ROWS, Billing, Technical, Ticket, model

from weft import Graph, Node, compile_graph, node_transition_metric, trace_to_examples
from weft.optimize import examples_of
from weft.optimize._metrics import Critic, Judge

EXPECTED = {"team": "billing", "urgent": True}


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ({"team": "billing", "urgent": True}, 1),
        ({"team": " Billing. ", "urgent": True, "more": "x"}, 1),
        ({"team": "billing", "urgent": 1}, 0.5),
        ({"team": "billing", "urgent": "true"}, 0.5),
        ({"team": "billings", "urgent": False}, 0),
        ({"team": ""}, 0),
        ({"team": None, "urgent": None}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_the_share_of_right_fields_is_the_score(answer, share):
    assert node_transition_metric(EXPECTED, answer) == share
    assert node_transition_metric(dspy.Example(**EXPECTED), answer) == share
    assert node_transition_metric(EXPECTED, answer, []) is (share == 1)


@pytest.mark.parametrize("labels", [{}, {"team": ""}, {"team": None, "tags": []}, {"text": "  "}])
def test_where_nothing_is_expected_nothing_is_right(labels):
    assert node_transition_metric(labels, labels) == 0
    assert node_transition_metric(labels, labels, []) is False


@pytest.mark.parametrize(
    ("label", "value", "is_right"),
    [
        (3, 3.0, True),
        (3, "3", False),
        ([1, "A b"], [1, "a  B"], True),
        ([1], [1, 2], False),
        ([1, 2], [2, 1], False),
        ({"a": "X"}, {"a": "x"}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (Enum("Team", {"A": "a"}).A, "a", True),
        ("", "", False),
    ],
)
def test_values_are_compared_as_json(label, value, is_right):
    assert node_transition_metric({"x": label}, {"x": value}) == is_right


def test_an_answer_of_another_class_is_wrong_altogether():
    labels = {"result": "Billing", "team": "billing"}

    assert node_transition_metric(labels, Billing(team="billing")) == 1
    assert node_transition_metric(labels, Technical(team="billing", steps=[])) == 0
    assert node_transition_metric({"result": Billing}, Billing(team="x")) == 1
    assert node_transition_metric({"result": "Billing"}, {"team": "x"}) == 0


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.one_of(st.text("aB .", max_size=3), st.integers(), st.none(), st.booleans())
    ),
    st.data(),
)
def test_an_empty_or_unrelated_answer_is_never_right(labels, data):
    empty = {name: data.draw(st.sampled_from(["", None, [], {}])) for name in labels}
    unrelated = {f"other {name}": value for name, value in labels.items()}

    for answer in (empty, unrelated, {}):
        assert node_transition_metric(labels, answer) < 1
        assert node_transition_metric(labels, answer, []) is False


# --- Metrics as optimisers call them


ROW = dspy.Example(text="x", team="billing").with_inputs("text")
GOT = dspy.Prediction(team="billing", other=1)


@pytest.mark.parametrize("value", [1, 1.0, True, dspy.Prediction(score=1.0, feedback="Good.")])
def test_whatever_a_metric_returns_is_a_score(value):
    assert Judge(lambda row, got: value)(ROW, GOT) == 1
    assert Judge(lambda row, got, trace=None: value)(ROW, GOT, []) is True
    assert Critic(lambda row, got: value)(ROW, GOT, []) == 1


def test_partial_credit_is_no_demo_unless_a_threshold_says_so():
    half = lambda row, got: 0.5

    assert Judge(half)(ROW, GOT) == 0.5
    assert Judge(half)(ROW, GOT, []) is False
    assert Judge(half, has_threshold=True)(ROW, GOT, []) == 0.5
    assert Critic(half)(ROW, GOT, []) == 0.5


def test_what_failed_is_worth_nothing():
    assert Judge(lambda row, got: 1)(ROW, None) == 0


def test_gepa_is_told_what_was_expected_or_what_the_metric_says():
    plain = Critic(node_transition_metric)(ROW, dspy.Prediction(team="x"), [], "nodes['a']", [])
    own = Critic(lambda *five: dspy.Prediction(score=0.5, feedback=f"See {five[3]}."))(ROW, GOT, [], "n", [])

    assert (plain.score, plain.feedback) == (0, "The run's score is 0. team: expected billing, was x.")
    assert (own.score, own.feedback) == (0.5, "See n.")


def test_a_metric_that_gives_no_number_is_told():
    with pytest.raises(TypeError, match="it returned a str"):
        Judge(lambda row, got: "good")(ROW, GOT)


def test_without_labels_there_must_be_a_metric():
    with pytest.raises(ValueError, match="row 2: it does not say what is expected"):
        compile_graph(GRAPH, model().lm()).optimize([ROWS[0], {"text": "money"}])


# --- Rows


def test_rows_are_dicts_pairs_or_examples():
    rows = [
        {"text": "a", "team": "billing"},
        (Ticket(text="a"), {"team": "billing"}),
        dspy.Example(text="a", team="billing").with_inputs("text"),
        dspy.Example(text="a", team="billing"),
    ]

    found = examples_of(GRAPH, rows)

    assert [dict(each.inputs().items()) for each in found] == [{"text": "a"}] * 4
    assert [dict(each.labels().items()) for each in found] == [{"team": "billing"}] * 4


def test_a_pair_with_a_node_expects_its_class_and_fields():
    (found,) = examples_of(GRAPH, [(Ticket(text="a"), Technical(team="technical", steps=["b"]))])

    assert dict(found.labels().items()) == {"result": "Technical", "team": "technical", "steps": ["b"]}


def test_labels_called_like_the_start_nodes_fields_stand_apart():
    class Ask(Node):
        text: str

        async def __call__(self) -> Reply: ...

    class Reply(Node):
        text: str

    graph = Graph(start=Ask)
    pair, row = examples_of(graph, [(Ask(text="a"), Reply(text="b")), {"text": "a", "expected": {"text": "b"}}])

    assert node_transition_metric(pair, Reply(text="B")) == node_transition_metric(row, Reply(text="B")) == 1
    assert node_transition_metric(row, Reply(text="a")) == 0


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"words": "x"}, "row 1: it makes no Ticket: text: Field required"),
        ("text", "row 1: a str is no example"),
        ((Billing(team="x"), {}), "row 1: a pair of a Billing and a dict is no example"),
    ],
)
def test_a_row_that_is_no_example_is_told_with_its_number(row, told):
    with pytest.raises(ValueError) as caught:
        examples_of(GRAPH, [row])

    assert told in str(caught.value)


def test_there_must_be_rows():
    with pytest.raises(ValueError, match="there is not one"):
        examples_of(GRAPH, [])


# --- Transitions


def test_each_transition_of_a_run_is_an_example_of_its_program():
    compiled = compile_graph(GRAPH, model().lm())
    result = compiled.run(Ticket(text="easy money"))

    found = trace_to_examples(result)

    shown: dict[str, Any] = {key: [dict(each.items()) for each in those] for key, those in found.items()}
    assert shown == {
        "Ticket/route": [{"text": "easy money", "choice": "Billing"}],
        "Ticket/Mood": [{"text": "easy money", "tone": "calm"}],
        "Ticket/Billing": [{"text": "easy money", "orders": ["umbrella"], "mood": {"tone": "calm"}, "team": "billing"}],
    }
    for key, examples in found.items():
        assert set(examples[0].inputs().keys()) == set(compiled.nodes[key].signature.input_fields)
        assert set(examples[0].labels().keys()) == set(compiled.nodes[key].signature.output_fields)


def test_a_run_that_stopped_is_an_example_of_stopping_and_a_bare_trace_is_not():
    compiled = compile_graph(GRAPH, model().lm())
    result = compiled.run(Ticket(text="easy money"))
    stopped = type(result)([Ticket(text="x")], Ticket(text="x"), result.usage, "1")

    assert [dict(each.items()) for each in trace_to_examples(stopped)["Ticket/route"]] == [
        {"text": "x", "choice": "None"}
    ]
    assert trace_to_examples(stopped.trace) == {}
    assert trace_to_examples([]) == {}
