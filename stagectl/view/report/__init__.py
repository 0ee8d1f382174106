"""The report: one HTML file, which opens without a network."""

from stagectl.view.report.simulation import simulation_report as simulation_report
