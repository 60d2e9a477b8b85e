"""Without DSPy everything can be imported, and what needs it says so; with it, it is imported when it is used."""

import subprocess
import sys

import pytest

BLOCKED = """
import importlib.machinery, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] != "dspy" else raised(name)

def raised(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "dspy" else found(name, package)
sys.meta_path.insert(0, Blocked())
"""

DECLARED = """
import weft
import weft.optimize
from weft import *

class Answer(weft.Node):
    words: str

class Question(weft.Node):
    text: str
    async def __call__(self) -> Answer: ...

graph = weft.Graph(start=Question)
"""

USES = {
    "compile_graph": "weft.compile_graph(graph)",
    "CompiledGraph": "weft.CompiledGraph(graph)",
    "CompiledGraph.load": "weft.CompiledGraph.load(graph, 'x.json')",
    "create_optimized_lm": "weft.create_optimized_lm(graph, 'x.json')",
    "optimize_node": "weft.optimize_node(Answer, [])",
    "save_optimized": "weft.save_optimized({}, 'x.json')",
    "load_optimized": "weft.load_optimized(graph, 'x.json')",
    "trace_to_examples": "weft.trace_to_examples([])",
    "node_transition_metric": "weft.node_transition_metric({}, {})",
    "examples_of": "weft.optimize.examples_of(graph, [])",
    "node_to_signature": "weft.node_to_signature(Answer)",
}


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_it_every_name_says_what_to_install():
    uses = "".join(
        f"""
try:
    {use}
except weft.MissingExtraError as error:
    print(error)
"""
        for use in USES.values()
    )

    told = run(BLOCKED + DECLARED + uses).splitlines()

    hint = "needs the package dspy, which is not installed. Install it with: pip install 'weft[dspy]'"
    assert told == [f"{name}: {hint}" for name in USES]


@pytest.mark.parametrize("name", ["compile_graph", "OptimizedLM", "node_transition_metric"])
def test_with_it_a_name_does_not_import_it_before_it_is_used(name):
    script = f"import sys, weft, weft.optimize\nfrom weft import {name}, DSPyBackend\nprint('dspy' in sys.modules)"

    assert run(script) == "False\n"
