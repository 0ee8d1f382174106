"""Replay of recorded traces: what would this recipe have done?"""

from stagectl.simulate.replay import default_curriculum as default_curriculum
from stagectl.simulate.replay import replay as replay
from stagectl.simulate.timeline import Curve as Curve
from stagectl.simulate.timeline import StageSpan as StageSpan
from stagectl.simulate.timeline import Timeline as Timeline
