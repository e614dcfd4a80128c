"""What is wanted of the evidence: all there is where there is a list."""

from __future__ import annotations

from tests.evidence.figures import figures_of
from tests.planted.catalogue import catalogue


def test_the_full_evidence_hunts_every_planted_bug() -> None:
    (figure,) = figures_of("planted")
    assert figure.full == len(catalogue())
