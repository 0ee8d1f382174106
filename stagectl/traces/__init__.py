"""Recorded metrics in."""

from stagectl.traces.csv import Columns as Columns
from stagectl.traces.csv import read_csv as read_csv
from stagectl.traces.csv import write_csv as write_csv
from stagectl.traces.trace import Row as Row
from stagectl.traces.trace import Trace as Trace
from stagectl.traces.trace import trace_of as trace_of
from stagectl.traces.trace import trace_of_rows as trace_of_rows
