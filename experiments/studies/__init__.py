"""Studies of the paper's claims: each makes runs, figures, a table and a verdict."""
