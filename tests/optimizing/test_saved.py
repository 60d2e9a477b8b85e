"""Tuned prompts in a file: what is written, what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import dspy
import pytest
from ticket_graph import GRAPH, ROWS, Billing, Mood, Technical, Ticket, get_orders, model, score

from weft import (
    CompiledGraph,
    Dep,
    DSPyBackend,
    Graph,
    Node,
    ProgramFileError,
    StaleProgramError,
    compile_graph,
    create_optimized_lm,
    load_optimized,
    optimize_node,
    save_optimized,
    trace_to_examples,
)

FIRST = Path(__file__).parents[1] / "data" / "programs-1.json"


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "prompts.json"
    compile_graph(GRAPH, model().lm()).optimize(ROWS).save(path)
    return path


def changed(path: Path, change: Any) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


# --- Written


def test_what_is_saved_is_loaded_and_keeps_its_score(saved):
    loaded = CompiledGraph.load(GRAPH, saved, model().lm())

    assert score(loaded) == 1
    assert (loaded.problems, loaded.unused) == ({}, ())


def test_the_file_holds_what_was_tuned_by_name_and_nothing_else(saved):
    content = json.loads(saved.read_text())

    assert list(content) == ["format", "version", "dspy", "adapter", "graph", "programs"]
    assert [content[name] for name in ("format", "version", "dspy", "adapter", "graph")] == [
        "weft programs",
        1,
        dspy.__version__,
        "ChatAdapter",
        "Ticket",
    ]
    billing = content["programs"]["Ticket/Billing"]
    assert {name: billing[name] for name in ("instructions", "fields")} == {"instructions": None, "fields": {}}
    assert billing["demos"][0] == {
        "text": "easy money 1",
        "orders": ["umbrella"],
        "mood": {"tone": "calm"},
        "team": "billing",
    }


def test_no_key_or_header_of_the_model_is_written(tmp_path):
    settings = {
        "api_key": "sk-secret",
        "extra_headers": {"Authorization": "Bearer secret"},
        "api_base": "http://secret",
    }
    compiled = compile_graph(GRAPH, DSPyBackend("openai/small", settings=settings))
    compiled.set_lm(compiled.backend.model())

    compiled.save(tmp_path / "prompts.json")

    assert "secret" not in (tmp_path / "prompts.json").read_text()


def test_saving_again_changes_nothing(saved):
    before = saved.read_bytes()

    CompiledGraph.load(GRAPH, saved, model().lm()).save(saved)

    assert saved.read_bytes() == before
    assert [each.name for each in saved.parent.iterdir()] == ["prompts.json"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(saved):
    compiled = compile_graph(GRAPH)
    target = saved.parent / "folder"
    target.mkdir()
    (target / "inside").touch()

    with pytest.raises(OSError):
        compiled.save(target)

    assert sorted(each.name for each in saved.parent.iterdir()) == ["folder", "prompts.json"]


def test_a_description_that_was_tuned_is_kept(tmp_path):
    compiled = compile_graph(GRAPH)
    predictor = compiled.nodes["Ticket/Billing"]
    predictor.signature = predictor.signature.with_updated_fields("team", desc="who is to answer")

    compiled.save(tmp_path / "prompts.json")
    loaded = CompiledGraph.load(GRAPH, tmp_path / "prompts.json")

    fields = loaded.nodes["Ticket/Billing"].signature.output_fields
    assert fields["team"].json_schema_extra["desc"] == "who is to answer"


def test_any_text_comes_back_as_it_was(tmp_path):
    text = "\ud800 \x00 ☂ [[ ## team ## ]] \n"
    compiled = compile_graph(GRAPH)
    compiled.nodes["Ticket/Billing"].demos = [dspy.Example(text=text, team=text)]

    compiled.save(tmp_path / "prompts.json")
    loaded = CompiledGraph.load(GRAPH, tmp_path / "prompts.json")

    assert loaded.nodes["Ticket/Billing"].demos[0].text in (text, ascii(text))


# --- Read


def test_the_first_version_is_read():
    loaded = CompiledGraph.load(GRAPH, FIRST, model().lm())

    assert score(loaded) == 1
    assert loaded.nodes["Ticket/Billing"].signature.instructions == "Answer CAREFULLY."
    assert loaded.nodes["Ticket/Billing"].demos


def graph_with(**fields: Any) -> Graph[Any, Any]:
    """Return the graph with another class Technical."""
    made = type("Technical", (Node,), {"__module__": __name__, "__annotations__": fields})

    class Ticket(Node):
        text: str

        async def __call__(self) -> Billing | made | None: ...  # type: ignore[valid-type]

    return Graph(start=Ticket)


def test_another_order_of_fields_is_no_matter(saved):
    loaded = CompiledGraph.load(graph_with(steps=list[str], team=str), saved, model().lm())

    assert loaded.problems == {}
    assert loaded(text="machine").team == "technical"


@pytest.mark.parametrize("fields", [{"team": str}, {"team": str, "steps": list[int]}, {"team": str, "step": list[str]}])
def test_a_program_whose_fields_have_changed_is_named(saved, fields):
    graph = graph_with(**fields)
    why = {"Ticket/Technical": "its fields have changed since it was tuned"}

    with pytest.raises(StaleProgramError) as caught:
        CompiledGraph.load(graph, saved, model().lm())
    partly = CompiledGraph.load(graph, saved, model().lm(), partial=True)

    assert caught.value.problems == why == partly.problems
    assert "Ticket/Technical: its fields have changed" in str(caught.value)
    assert partly.nodes["Ticket/Billing"].demos
    assert not partly.nodes["Ticket/Technical"].demos


def test_programs_that_are_missing_or_of_no_use_are_named(saved):
    def rename(content: Any) -> None:
        content["programs"]["Ticket/Refund"] = content["programs"].pop("Ticket/Billing")

    changed(saved, rename)
    partly = CompiledGraph.load(GRAPH, saved, partial=True)

    assert partly.problems == {"Ticket/Billing": "it is not in the file"}
    assert partly.unused == ("Ticket/Refund",)


def set_at(*path: Any, value: Any) -> Any:
    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        content[path[-1]] = value

    return change


ROUTE = ("programs", "Ticket/route")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_at("format", value="cassette"), "this is no file of tuned programs"),
        (set_at("version", value=2), "it is of version 2, and this Weft reads version 1"),
        (set_at("version", value=True), "it is of version True"),
        (set_at("version", value="1"), "it is of version '1'"),
        (set_at("lm", value={"api_key": "x"}), "lm: Extra inputs are not permitted"),
        (set_at("path", value="x"), "path: Extra inputs"),
        (set_at("programs", value=[]), "programs: Input should be a valid dictionary"),
        (set_at(*ROUTE, "contract", value=3), "programs.Ticket/route.contract: Input should be a valid string"),
        (set_at(*ROUTE, "demos", value=["x"]), "programs.Ticket/route.demos.0: Input should be a valid dictionary"),
        (
            set_at(*ROUTE, "demos", 0, "signature", value="x"),
            "programs.Ticket/route.demos.0.signature: the program has no such field",
        ),
        (set_at(*ROUTE, "fields", "x", value="x"), "programs.Ticket/route.fields.x: the program has no such field"),
        (set_at(*ROUTE, "traces", value=[]), "programs.Ticket/route.traces: Extra inputs"),
        (
            set_at("adapter", value="JSON\x1b[31mAdapter"),
            r"it was tuned with JSON\x1b[31mAdapter, and this LM writes prompts with ChatAdapter",
        ),
    ],
)
def test_a_file_that_is_not_right_is_refused_with_the_place(saved, change, told):
    with pytest.raises(ProgramFileError) as caught:
        CompiledGraph.load(GRAPH, changed(saved, change), partial=True)

    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{saved}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04K\x01.", b"[" * 5000, b"[]", b"null", b'{"format": "weft programs"}']
)
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "prompts.json"
    path.write_bytes(content)

    with pytest.raises(ProgramFileError):
        CompiledGraph.load(GRAPH, path)


def test_a_file_that_is_not_there_or_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ProgramFileError, match="there is no such file"):
        CompiledGraph.load(GRAPH, tmp_path / "none.json")
    with pytest.raises(ProgramFileError, match="it cannot be read: IsADirectoryError"):
        CompiledGraph.load(GRAPH, tmp_path)


def test_another_adapter_goes_with_the_one_it_was_tuned_with(tmp_path):
    backend = DSPyBackend(model().lm(), adapter=dspy.JSONAdapter())
    compile_graph(GRAPH, backend).save(tmp_path / "prompts.json")

    with pytest.raises(ProgramFileError, match="tuned with JSONAdapter, and this LM writes prompts with ChatAdapter"):
        CompiledGraph.load(GRAPH, tmp_path / "prompts.json")

    assert CompiledGraph.load(GRAPH, tmp_path / "prompts.json", backend).problems == {}


# --- One node


def test_one_node_is_tuned_by_the_transitions_of_runs_and_used_in_the_graph(tmp_path):
    used = model()
    compiled = compile_graph(GRAPH, used.lm())
    results = [compiled.run(Ticket(text=row["text"])) for row in ROWS[:4]]
    rows = [row for result in results for row in trace_to_examples(result).get("Ticket/Billing", [])]

    predictor = optimize_node(Billing, rows, source=Ticket, lm=used.lm())
    save_optimized({Billing: predictor}, tmp_path / "billing.json")
    lm = create_optimized_lm(GRAPH, tmp_path / "billing.json", lm=used.lm(), partial=True)

    assert GRAPH.run(Ticket(text="money"), lm=lm).result.team == "billing"
    assert lm.problems == dict.fromkeys(("Ticket/route", "Ticket/Mood", "Ticket/Technical"), "it is not in the file")


def test_predictors_are_loaded_for_a_graph_or_for_nodes(tmp_path, saved):
    of_graph = load_optimized(GRAPH, saved)
    of_nodes = load_optimized([Ticket, Billing, Technical, Mood], saved)

    assert sorted(of_graph) == sorted(of_nodes) == sorted(compile_graph(GRAPH).nodes)
    assert of_nodes["Ticket/Billing"].demos
    save_optimized(of_nodes, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["programs"] == json.loads(saved.read_text())["programs"]
    with pytest.raises(StaleProgramError, match="Ticket/Mood: none of the nodes given has it"):
        load_optimized([Ticket, Billing, Technical], saved)
    assert "Ticket/Mood" not in load_optimized([Ticket, Billing, Technical], saved, partial=True)


def test_a_predictor_must_stand_under_its_own_name(tmp_path):
    nodes = compile_graph(GRAPH).nodes

    with pytest.raises(ValueError, match="what stands under Ticket/route is that of Ticket/Mood"):
        save_optimized({"Ticket/route": nodes["Ticket/Mood"]}, tmp_path / "x")
    with pytest.raises(ValueError, match="what stands under Technical is that of Ticket/Mood"):
        save_optimized({Technical: nodes["Ticket/Mood"]}, tmp_path / "x")
    with pytest.raises(TypeError, match="a Predict is no predictor of a program"):
        save_optimized({"Ticket/route": dspy.Predict("a -> b")}, tmp_path / "x")
    with pytest.raises(ValueError, match="there is none"):
        save_optimized({}, tmp_path / "x")


def test_a_node_that_leaves_nothing_to_a_model_has_no_prompt():
    class Found(Node):
        orders: Annotated[list[str], Dep(get_orders)]

    with pytest.raises(ValueError, match="Found: it leaves nothing to a model"):
        optimize_node(Found, [{"orders": []}])


def test_files_are_readable_by_others(saved):
    assert saved.stat().st_mode & 0o777 == 0o644
