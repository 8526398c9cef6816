"""Studies: one file a claim of the paper; each makes runs, a figure, a table and a verdict
(docs/findings.md)."""
