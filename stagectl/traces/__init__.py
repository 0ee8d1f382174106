"""Recorded metrics in."""

from stagectl.traces.batches import parts_of as parts_of
from stagectl.traces.batches import read_batches as read_batches
from stagectl.traces.columns import Columns as Columns
from stagectl.traces.read import read_traces as read_traces
from stagectl.traces.read import run_of as run_of
from stagectl.traces.run import read_run as read_run
from stagectl.traces.run import trace_of_events as trace_of_events
from stagectl.traces.trace import Row as Row
from stagectl.traces.trace import Trace as Trace
from stagectl.traces.trace import trace_of as trace_of
from stagectl.traces.trace import trace_of_rows as trace_of_rows
from stagectl.traces.write import format_of as format_of
from stagectl.traces.write import write_trace as write_trace
