"""Properties that hold whatever comes from outside, and the ways to run one: as a test, or on fresh examples.

As a test a property sees the same examples every time. With `LOCKMANAGER_FUZZ_EXAMPLES=n` it sees n random ones, those
of `LOCKMANAGER_FUZZ_SEED` when that is given.
"""

from __future__ import annotations

import os
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

EXAMPLES: Final = "LOCKMANAGER_FUZZ_EXAMPLES"
SEED: Final = "LOCKMANAGER_FUZZ_SEED"

PLAIN: Final = settings(
    settings.get_profile("default"),
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""Nothing here depends on how busy the machine is, or on what was run before."""

World = TypeVar("World")
Result = TypeVar("Result")
Refusal = TypeVar("Refusal", bound=Exception)
Worlds = Callable[[], AbstractContextManager[World]]


@dataclass(frozen=True)
class Property:
    """Something that holds for all examples, each of which `check` tries out in one `world`.

    `kind` names what an example is of, for the counts of the evidence; `module` and `name` say where to find it.
    """

    kind: str
    module: str
    name: str
    world: Worlds[Any]
    strategies: dict[str, SearchStrategy[Any]]
    check: Callable[..., None]
    examples: int

    def run(self, examples: int, seed: int | None = None, *, shrink: bool = True) -> int:
        """Try so many examples, those of the seed if there is one; returns how many. Raises what `check` raised."""
        count = 0
        with self.world() as world, warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # that an example is long to show

            def example(**drawn: Any) -> None:
                nonlocal count
                count += 1
                self.check(world, **drawn)

            phases = list(Phase) if shrink else [Phase.generate]
            chosen = settings(PLAIN, max_examples=examples, derandomize=seed is None, phases=phases)
            test = hypothesis.given(**self.strategies)(chosen(example))
            (test if seed is None else hypothesis.seed(seed)(test))()
        return count

    def how_to_repeat(self, examples: int, seed: int) -> str:
        """Return the command that tries these examples again."""
        where = f"{self.module.replace('.', '/')}.py::{self.name}"
        return f"{EXAMPLES}={examples} {SEED}={seed} python -m pytest {where}"


PROPERTIES: Final[dict[str, Property]] = {}
"""All properties of the modules imported so far, by name."""


def tried(call: Callable[[], Result], refusal: type[Refusal]) -> Result | Refusal:
    """Return what a call returns, or its refusal when it raises that."""
    try:
        return call()
    except refusal as refused:
        return refused


def told(error: BaseException) -> str:
    """Return an error in words, with the line of code that raised it, as an assertion often has no words."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at `{frames[-1].line}` in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


@contextmanager
def nowhere() -> Iterator[None]:
    """Be the world of properties that need none."""
    yield None


def holds(
    kind: str, world: Worlds[Any] = nowhere, *, examples: int, **strategies: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Make a test of a check: the test tries `examples` examples of the strategies in the world."""

    def decorated(check: Callable[..., None]) -> Callable[[], None]:
        made = Property(kind, check.__module__, check.__name__, world, strategies, check, examples)
        PROPERTIES[made.name] = made

        def test() -> None:
            made.run(*_wanted(examples))

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorated


def _wanted(examples: int) -> tuple[int, int | None]:
    wanted = os.environ.get(EXAMPLES)
    if not wanted:
        return examples, None
    return int(wanted), int(os.environ.get(SEED) or random.getrandbits(32))
