"""Each LM in each scenario: functions from where its providers are to an LM, or None where it has nothing of the kind.

To add an LM, write one function and give it a line in ADAPTERS.
"""

from __future__ import annotations

from functools import partial

from provider import STATUSES, ReferenceLM, answer_to, wrong_answer_to

from weft import ClaudeCLIBackend, DSPyBackend, LMRefusalError, LMResponseError, OfflineLM, PydanticAIBackend
from weft._spec import spec_of
from weft.backends._failures import failure_of
from weft.testing import ScriptedLM, _targets
from weft.testing._checks import CANARY

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


def offline(urls, scenario):
    return OfflineLM() if scenario == "ok" else None


def scripted(urls, scenario):
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


def reference(urls, scenario):
    return ReferenceLM(f"{urls.reference}/{scenario}")


def pydantic_ai(api, urls, scenario):
    """Return PydanticAIBackend, asking the stub that speaks as a provider's *api* does."""
    options = {"settings": {"max_retries": 0}, "timeout": 5 if scenario == "stalled" else 60, "max_concurrency": 64}
    return PydanticAIBackend(APIS[api].format(urls.stub.url(scenario)), **options)


APIS = {"anthropic": "anthropic:claude-sonnet-5-5@{}", "chat": "openai-chat:gpt-5@{}/v1"}


def dspy(urls, scenario):
    """Return DSPyBackend, asking the stub by DSPy's own client."""
    settings = {"api_base": f"{urls.stub.url(scenario)}/v1", "api_key": CANARY, "num_retries": 0}
    return DSPyBackend("openai/gpt-5", settings={**settings, "timeout": 5 if scenario == "stalled" else 60})


def claude_cli(urls, scenario):
    """Return ClaudeCLIBackend with the stand-in for its program, which mends a dropped connection itself."""
    if scenario == "dropped":
        return None
    env = {"FAKE_CLAUDE": "corrected" if scenario == "repair" else scenario, "FAKE_ANSWERS": urls.answers}
    env |= {"FAKE_VERSION": "2.1.330", "ANTHROPIC_API_KEY": CANARY}
    return ClaudeCLIBackend(executable=str(urls.claude), env=env, timeout=5 if scenario == "stalled" else 60)


def answer_for(target):
    """Return a value that fits the node class called *target*."""
    return next(answer_to(spec_of(node).schema) for node in WRITTEN if node.__name__ == target)


ADAPTERS = {
    "offline": offline,
    "scripted": scripted,
    "reference": reference,
    "anthropic": partial(pydantic_ai, "anthropic"),
    "chat": partial(pydantic_ai, "chat"),
    "dspy": dspy,
    "claude-cli": claude_cli,
}


def maker(name, urls):
    """Return what makes the LM called *name* for a scenario."""
    return partial(ADAPTERS[name], urls)
