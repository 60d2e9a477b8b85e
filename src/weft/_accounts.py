"""What the LM calls of a run have used, and the budget that they must keep to."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BudgetExceededError
from .lm import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that the LM calls of a run may use, those of graphs run inside it included; None is no limit.

    `tokens` counts input and output together; `cost` is in US dollars. A call is not begun if what was used and what is
    under way may spend the budget; of a call under way it is known only afterwards what it took, and until then the
    mean of the calls before it is reserved.

    Example:
        >>> from weft import Budget
        >>> Budget(requests=20, cost=0.50)
        Budget(requests=20, tokens=None, cost=0.5)
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for name, limit in (("requests", self.requests), ("tokens", self.tokens), ("cost", self.cost)):
            if limit is not None and limit < 0:
                msg = f"Budget: {name}={limit} must not be negative."
                raise ValueError(msg)


class Account:
    """What one run has used, by node and model, and what is under way; it is part of the account of the run around."""

    __slots__ = ("around", "budget", "limited_around", "tallies", "under_way", "untold")

    def __init__(self, budget: Budget | None = None, outer: Account | None = None) -> None:
        self.budget = budget
        self.around: tuple[Account, ...] = outer.chain if outer else ()
        self.limited_around: tuple[Account, ...] = outer.limited if outer else ()
        self.tallies: dict[tuple[str, str], Usage] = {}
        self.untold: dict[str, int] = {}  # requests by node of which nothing is told, the cheap case
        self.under_way = 0

    @property
    def chain(self) -> tuple[Account, ...]:
        """This one, and those around it; not kept, since it leads back here."""
        return (self, *self.around)

    @property
    def limited(self) -> tuple[Account, ...]:
        """Those of the chain that have a budget."""
        return self.limited_around if self.budget is None else (self, *self.limited_around)

    @property
    def usage(self) -> Usage:
        """What was used so far."""
        return Usage.of(self.tallies, self.untold)

    def reserve(self) -> None:
        """Reserve one request; raises BudgetExceededError if a budget does not allow it."""
        for account in self.limited:
            account.check()
        for account in self.limited:
            account.under_way += 1

    def release(self) -> None:
        """Give a reserved request back."""
        for account in self.limited:
            account.under_way -= 1

    def add(self, node: str, model: str, usage: Usage) -> None:
        """Count *usage*; raises BudgetExceededError if it has no price and a budget limits the cost."""
        key = node, model
        for account in self.chain:
            known = account.tallies.get(key)
            account.tallies[key] = usage if known is None else known + usage
        if usage.cost is None:
            for account in self.limited:
                account.check_price(model)

    def add_untold(self, node: str) -> None:
        """Count a request of which nothing is told; raises BudgetExceededError if a budget limits the cost."""
        for account in self.chain:
            account.untold[node] = account.untold.get(node, 0) + 1
        for account in self.limited:
            account.check_price("")

    def check_price(self, model: str) -> None:
        """Raise BudgetExceededError if the cost is limited, and *model* has no price."""
        if self.budget is not None and self.budget.cost is not None:
            what = f"{f'the model {model!r}' if model else 'an LM that tells no cost'} has no price"
            hint = "Limit requests= or tokens= instead of cost=, or use a model whose price is known."
            raise self._error(f"{what}, and the budget limits the cost", hint)

    def check(self) -> None:
        """Raise BudgetExceededError if another request may be too much."""
        budget, under_way = self.budget, self.under_way
        if budget is None:
            return
        used = self.usage
        share = under_way / used.requests if used.requests else 0
        if budget.requests is not None and used.requests + under_way >= budget.requests:
            raise self._spent(f"{used.requests} of {budget.requests} requests")
        if budget.tokens is not None and used.tokens * (1 + share) >= budget.tokens:
            raise self._spent(f"{used.tokens:,} of {budget.tokens:,} tokens")
        if budget.cost is not None and (used.cost or 0) * (1 + share) >= budget.cost:
            raise self._spent(f"${used.cost or 0:.4f} of ${budget.cost:.4f}")

    def _spent(self, what: str) -> BudgetExceededError:
        reserved = f", and {self.under_way} more under way" if self.under_way else ""
        hint = "Budget(requests=, tokens=, cost=) sets the limits; .usage and .trace hold what was done for it."
        return self._error(f"the budget is spent: {what} used{reserved}", hint)

    def _error(self, message: str, hint: str) -> BudgetExceededError:
        return BudgetExceededError(message, hint, budget=self.budget, usage=self.usage, account=self)
