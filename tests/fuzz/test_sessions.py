"""Whatever sessions say to a node, nothing is raised, and the promises of its table hold after every frame."""

from __future__ import annotations

from hypothesis import strategies as st

from .loops import Stage, real_time
from .node_play import Play
from .node_steps import Step, steps
from .nonsense import long_lists
from .properties import holds


@holds("session", real_time, examples=80, silent=st.sampled_from([False, False, True]), steps=long_lists(steps))
def test_no_frames_break_the_promises_of_a_node(stage: Stage, silent: bool, steps: list[Step]) -> None:
    stage.run(Play(silent).go_through(steps))
