"""The report of one or several sweeps: HTML, Markdown, tables and figures from run folders alone."""

from spark_lab.analysis.report.files import main, write

__all__ = ["main", "write"]
