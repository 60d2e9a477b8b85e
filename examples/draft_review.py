"""A loop with an exit: draft, review, revise, until the review is good enough or the rounds are used up.

    python examples/draft_review.py            # no key, no network: the words are made up from the types
    WEFT_LM=anthropic:claude-sonnet-5-5 python examples/draft_review.py

Code decides where to go, the LM writes what is there: `Review.__call__` has a body, and returns a class.
"""

import itertools
import os
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from weft import Dep, Graph, GraphResult, Node, Recall


class Assignment(Node):
    topic: str
    max_words: int = Field(default=80, ge=10)
    good_enough: int = Field(default=9, ge=1, le=10)
    max_rounds: int = Field(default=3, ge=1, le=10)

    async def __call__(self) -> "Draft": ...


class Draft(Node):
    assignment: Annotated[Assignment, Recall()]
    text: str = Field(min_length=1)

    async def __call__(self) -> "Review": ...


def count_words(draft: Annotated[Draft, Recall()]) -> int:
    """Count the newest draft's words: a value that reads the trace is made again when the trace has moved on."""
    return len(draft.text.split())


def new_counter() -> Iterator[int]:
    return itertools.count(1)


def next_round(counter: Annotated[Iterator[int], Dep(new_counter)]) -> int:
    return next(counter)


class Review(Node):
    draft: Annotated[Draft, Recall()]  # the newest one, be it a Draft or a Revision
    words: Annotated[int, Dep(count_words)]
    round: Annotated[int, Dep(next_round, per="visit")]  # again at each visit; the counter is made once per run
    score: int = Field(ge=1, le=10, description="10 is ready to print")
    advice: str = Field(description="The one change that would help most")

    async def __call__(self, task: Annotated[Assignment, Recall()]) -> "type[Revision] | type[Publication]":  # noqa: PYI055
        if self.is_good_enough(task) or self.round >= task.max_rounds:
            return Publication
        return Revision

    def is_good_enough(self, task: Assignment) -> bool:
        return self.score >= task.good_enough and self.words <= task.max_words


class Revision(Draft):
    """A draft like the first, and back to the review; the LM is shown the review that it comes from."""


class Publication(Node):
    draft: Annotated[Draft, Recall()]
    review: Annotated[Review, Recall()]
    headline: str


graph = Graph(start=Assignment, end=Publication)


def show(result: GraphResult[Publication]) -> None:
    for node in result.trace:
        match node:
            case Draft():
                print(f"{type(node).__name__:9} {node.text}")
            case Review():
                print(f"round {node.round}   {node.score}/10, {node.words} words: {node.advice}\n")
    task, review = result.result.draft.assignment, result.result.review
    why = "it is good enough" if review.is_good_enough(task) else f"{review.round} rounds are all there are"
    print(f"Published, as {why}: {result.result.headline}")


if __name__ == "__main__":
    assignment = Assignment(topic="Why the town library should open on Sundays")
    show(graph.run(assignment, lm=os.environ.get("WEFT_LM") or "offline"))
