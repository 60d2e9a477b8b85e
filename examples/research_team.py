"""A graph inside a graph: two specialists, each a run of a smaller graph, work at the same time for one report.

    python examples/research_team.py           # no key, no network: the words are made up from the types
    WEFT_LM=anthropic:claude-sonnet-5-5 python examples/research_team.py

A dependency may run another graph. That run uses the LM of the run around it and shares its dependencies, so the
library is opened once for everybody, and closed when all is done.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from weft import Dep, Graph, GraphResult, Node, Recall

LIBRARY = Path(__file__).parent / "data" / "library.json"


class Document(BaseModel):
    title: str
    year: int
    subjects: list[str]
    text: str


def open_library() -> Iterator[list[Document]]:
    """A generator is a resource: what follows its yield happens when the whole run has ended."""
    print("The library opens.")
    try:
        yield TypeAdapter(list[Document]).validate_json(LIBRARY.read_bytes())
    finally:
        print("The library closes.\n")


# The inner graph: one specialist reads what is there on one subject.


class Inquiry(Node):
    question: str
    subject: Literal["money", "building"]

    async def __call__(self) -> "Finding": ...


def find_documents(
    inquiry: Annotated[Inquiry, Recall()], library: Annotated[list[Document], Dep(open_library)]
) -> list[Document]:
    return [document for document in library if inquiry.subject in document.subjects]


class Finding(Node):
    documents: Annotated[list[Document], Dep(find_documents)]
    answer: str = Field(description="What the documents say about the question, and nothing else")
    certainty: Literal["low", "fair", "high"]


specialist = Graph(start=Inquiry, end=Finding)


# The outer graph: its dependencies run the inner one.


class Question(Node):
    text: str

    async def __call__(self) -> "Report": ...


async def ask_economist(question: Annotated[Question, Recall()]) -> Finding:
    found = await specialist.arun(Inquiry(question=question.text, subject="money"))
    return found.result


async def ask_engineer(question: Annotated[Question, Recall()]) -> Finding:
    found = await specialist.arun(Inquiry(question=question.text, subject="building"))
    return found.result


def list_titles(library: Annotated[list[Document], Dep(open_library)]) -> list[str]:
    return [document.title for document in library]


class Report(Node):
    economist: Annotated[Finding, Dep(ask_economist)]
    engineer: Annotated[Finding, Dep(ask_engineer)]
    catalogue: Annotated[list[str], Dep(list_titles)]
    recommendation: str = Field(description="Yes or no, and why; name what the specialists did not read")


graph = Graph(start=Question, end=Report)


def show(result: GraphResult[Report]) -> None:
    report = result.result
    for name, finding in {"economist": report.economist, "engineer": report.engineer}.items():
        print(f"{name:10} read   " + "; ".join(f"{each.title} ({each.year})" for each in finding.documents))
        print(f"{'':10} finds  {finding.answer} (certainty: {finding.certainty})")
    print(f"editor     has    {len(report.catalogue)} titles in the catalogue")
    print(f"{'':10} says   {report.recommendation}\n")
    print(f"{result.usage.requests} LM calls, inner runs included.")


if __name__ == "__main__":
    question = Question(text="Should bus line 7 become a tram?")
    print(f"{question.text}\n")
    show(graph.run(question, lm=os.environ.get("WEFT_LM") or "offline"))
