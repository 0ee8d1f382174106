"""What people look at: the live picture of a run, tables, timelines, plans. Imported only by what shows something."""

from stagectl.view.console import progress_kind as progress_kind
from stagectl.view.console import show as show
from stagectl.view.live import watch as watch
from stagectl.view.panel import run_panel as run_panel
from stagectl.view.panel import run_text as run_text
from stagectl.view.plan import plan_panel as plan_panel
from stagectl.view.plan import plan_text as plan_text
from stagectl.view.shown import show_comparison as show_comparison
from stagectl.view.shown import show_explanations as show_explanations
from stagectl.view.shown import show_plan as show_plan
from stagectl.view.shown import show_runs as show_runs
from stagectl.view.shown import show_simulation as show_simulation
from stagectl.view.shown import show_status as show_status
from stagectl.view.shown import show_suggestion as show_suggestion
from stagectl.view.shown import show_sweep as show_sweep
from stagectl.view.tables import run_rows as run_rows
from stagectl.view.tables import run_table as run_table
from stagectl.view.tables import run_table_text as run_table_text
from stagectl.view.timeline import timeline_panel as timeline_panel
from stagectl.view.timeline import timeline_picture as timeline_picture
from stagectl.view.timeline import timeline_text as timeline_text
from stagectl.view.words import printable as printable
