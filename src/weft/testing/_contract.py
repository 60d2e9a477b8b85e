"""check_lm: every promise of an LM, looked at with the LM of one's own, without pytest."""

from __future__ import annotations

import functools
from collections.abc import Collection

from ._checks import CANARY, SECONDS, LMCheck, LMContractError, LMOutcome, LMViolation, MakeLM
from ._failing import failing
from ._promises import answering
from ._together import together


@functools.cache
def lm_checks() -> tuple[LMCheck, ...]:
    """Return every check of an LM, for tests that run them one by one.

    Example:
        >>> from weft.testing import lm_checks
        >>> sorted({check.scenario for check in lm_checks()})[-5:]
        ['refusal', 'repair', 'slow', 'stalled', 'truncated']
    """
    return (*answering(), *failing(), *together())


async def check_lm(
    make: MakeLM, *, only: Collection[str] | None = None, key: str = CANARY, timeout: float = SECONDS
) -> list[LMOutcome]:
    """Return the outcome of every check of an LM, each with an LM made anew.

    Args:
        make: Returns, for a scenario's name, an LM whose model or provider behaves like that, or an async context
            manager of one; None where the LM has nothing of the kind. In ``ok`` the model answers with values that fit
            the JSON schema it is shown; in ``repair`` its first answer does not fit, and the one after it is told why
            does; ``refusal`` and ``truncated`` are what a model does, ``400``, ``401``, ``403``, ``404``, ``413``,
            ``429``, ``500`` and ``529`` what a provider says; ``html`` is a page in place of an answer, ``dropped`` a
            connection that is lost, ``stalled`` an answer that begins and never goes on, ``slow`` one that drips in,
            and ``giant`` one with a text of a million characters or more.
        only: The names of the checks to run, if not all.
        key: The secret that *make* gives its LMs; no error may show it.
        timeout: Seconds that one check may take.

    Raises:
        LMContractError: if any promise is broken; it holds all that are.
        ValueError: if *only* names a check that does not exist.

    Example:
        >>> import asyncio
        >>> from weft import OfflineLM
        >>> from weft.testing import check_lm
        >>> def make(scenario: str) -> OfflineLM | None:
        ...     return OfflineLM() if scenario == "ok" else None
        >>> outcomes = asyncio.run(check_lm(make, only=["fill_returns_the_target", "status_429"]))
        >>> [(outcome.name, outcome.status) for outcome in outcomes]
        [('fill_returns_the_target', 'passed'), ('status_429', 'skipped')]
    """
    outcomes: list[LMOutcome] = []
    violations: list[LMViolation] = []
    for check in _wanted(only):
        try:
            outcomes.append(await check(make, key=key, timeout=timeout))
        except LMContractError as error:
            violations.extend(error.violations)
    if violations:
        raise LMContractError(violations) from violations[0].error
    return outcomes


def _wanted(only: Collection[str] | None) -> list[LMCheck]:
    """Return the checks named; raises ValueError."""
    checks = {check.name: check for check in lm_checks()}
    if only is None:
        return list(checks.values())
    if unknown := sorted(set(only) - checks.keys()):
        msg = f"check_lm: no check is called {', '.join(unknown)}. lm_checks() has them all."
        raise ValueError(msg)
    return [check for name, check in checks.items() if name in only]
