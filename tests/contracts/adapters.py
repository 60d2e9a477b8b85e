"""Each LM in each scenario: functions from a scenario's name to an LM, or None where it has nothing of the kind.

To add an LM, write one function and give it a line in ADAPTERS.
"""

from __future__ import annotations

from functools import partial

from provider import STATUSES, ReferenceLM, answer_to, wrong_answer_to

from weft import LMRefusalError, LMResponseError, OfflineLM
from weft._spec import spec_of
from weft.backends._failures import failure_of
from weft.testing import ScriptedLM, _targets

WRITTEN = (
    *(getattr(_targets, name) for name in ("Answer", "Rebuttal", "Letter", "Number", "SingleTry", "Essay", "Hurried")),
    *_targets.zoo_nodes().values(),
    *_targets.parts(),
)
ROUTES = {
    _targets.Question: _targets.Answer,
    _targets.SingleTurn: _targets.Answer,
    _targets.Crossroads: None,
}


def offline(url, scenario):
    return OfflineLM() if scenario == "ok" else None


def scripted(url, scenario):
    fits = {node: answer_to(spec_of(node).schema) for node in WRITTEN}
    if scenario == "ok":
        return ScriptedLM(fits, routes=ROUTES)
    if scenario == "repair":
        fills = {node: [wrong_answer_to(spec_of(node).schema), fits[node]] for node in fits}
        return ScriptedLM(fills, routes={node: ["Nowhere", chosen] for node, chosen in ROUTES.items()})
    if scenario == "giant":
        return ScriptedLM({_targets.Essay: {"text": "giant " * 200_000}})
    error = failure_as_scripted(scenario)
    return error and ScriptedLM(dict.fromkeys(WRITTEN, error), routes=dict.fromkeys(ROUTES, error))


def failure_as_scripted(scenario):
    if scenario in STATUSES:
        return failure_of(int(scenario), "as the script says", "scripted")
    of_models = {
        "refusal": LMRefusalError("the model declined to answer"),
        "truncated": LMResponseError("the answer was cut off"),
    }
    return of_models.get(scenario)


def reference(url, scenario):
    return ReferenceLM(f"{url}/{scenario}")


ADAPTERS = {"offline": offline, "scripted": scripted, "reference": reference}

# What the two back-ends to come need for the same: one function each.
#
# - PydanticAI: `def pydantic_ai(vendor, url, scenario)`, `url` being that of the stub, whose path names the scenario; a
#   line in ADAPTERS for each vendor, by functools.partial. It gives CANARY as the API key.
# - Claude CLI: `def claude_cli(folder, url, scenario)`, the fake executable in `folder` reading the scenario from a
#   variable of its environment, with CANARY as the API key.
#
# Their stubs answer as Calls in provider.py does: `answer_to(the schema shown)`, `wrong_answer_to` at first in
# "repair", `giant_answer_to` in "giant". Where the schema shown says less than the node's own (a format left out),
# `answer_for(the target's name)` answers by the name that stands in the prompt.


def answer_for(target):
    """Return a value that fits the node class called *target*."""
    return next(answer_to(spec_of(node).schema) for node in WRITTEN if node.__name__ == target)


def maker(name, url):
    """Return what makes the LM called *name* for a scenario."""
    return partial(ADAPTERS[name], url)
