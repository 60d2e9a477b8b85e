"""Tuned prompts, as ``--prompts`` names them: the file that ``weft optimize`` wrote."""

from __future__ import annotations

import os

from .._calls import VARIABLE
from ..errors import MissingExtraError, ProgramFileError, StaleProgramError, WeftError, sentence
from ..optimize import OptimizedLM, create_optimized_lm
from ._errors import UsageError, without_objects
from ._load import AnyGraph
from ._print import complain

_OF_DSPY = "Tuned prompts are asked through DSPy: name a model as dspy:openai/gpt-5."


def tuned_lm(graph: AnyGraph, file: str, lm: str | None, *, is_partial: bool) -> OptimizedLM:
    """Return the LM that asks the prompts in *file* of the model *lm*; raises UsageError.

    Where *is_partial* lets prompts be as they were never tuned, a warning names each.
    """
    try:
        tuned = create_optimized_lm(graph, file, lm=dspy_name(lm), partial=is_partial)
    except StaleProgramError as error:
        lines = [sentence(f"--prompts {file}", f"{key}: {why}") for key, why in error.problems.items()]
        hint = "Optimise again, or add --partial to ask these as they were never tuned."
        raise UsageError(*lines[:-1], f"{lines[-1]} {hint}", kind=type(error).__name__) from error
    except ProgramFileError as error:
        raise UsageError(sentence("--prompts", str(error)), kind=type(error).__name__) from error
    except MissingExtraError as error:
        raise UsageError(sentence("--prompts", str(error)), kind=type(error).__name__) from error
    except (TypeError, WeftError) as error:
        raise UsageError(_not_of_dspy(lm, error)) from error
    complain(
        [sentence(key, f"asked as it was never tuned: {why}") for key, why in tuned.problems.items()], None, "Warning"
    )
    return tuned


def dspy_name(lm: str | None) -> str | None:
    """Return *lm*, or else what the variable names; None for the graph's own."""
    return lm or os.environ.get(VARIABLE) or None


def _not_of_dspy(lm: str | None, error: Exception) -> str:
    if isinstance(error, WeftError):
        return sentence("--lm", without_objects(error))
    return sentence("--lm" if lm else VARIABLE, f"{dspy_name(lm)} is none of DSPy's models", _OF_DSPY)
