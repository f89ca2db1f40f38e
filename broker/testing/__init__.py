"""For tests of actors and pipelines: one actor without a broker, a pipeline drained for real, a clock that tests move."""

from broker.testing.clock import VirtualClock
from broker.testing.rehearsal import Rehearsal, rehearse
from broker.testing.stage import Stage

__all__ = ["Rehearsal", "Stage", "VirtualClock", "rehearse"]
