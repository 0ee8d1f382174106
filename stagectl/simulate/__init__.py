"""Replay of recorded traces: what would this recipe have done?"""

from stagectl.simulate.compare import Comparison as Comparison
from stagectl.simulate.compare import Difference as Difference
from stagectl.simulate.compare import Price as Price
from stagectl.simulate.compare import comparison_of as comparison_of
from stagectl.simulate.compare import read_price as read_price
from stagectl.simulate.estimate import Estimate as Estimate
from stagectl.simulate.replay import replay as replay
from stagectl.simulate.simulation import default_recipe as default_recipe
from stagectl.simulate.simulation import simulate as simulate
from stagectl.simulate.streamed import simulate_streamed as simulate_streamed
from stagectl.simulate.summary import Simulation as Simulation
from stagectl.simulate.summary import StageSummary as StageSummary
from stagectl.simulate.summary import Summary as Summary
from stagectl.simulate.summary import simulation_of as simulation_of
from stagectl.simulate.timeline import Curve as Curve
from stagectl.simulate.timeline import StageSpan as StageSpan
from stagectl.simulate.timeline import Timeline as Timeline
