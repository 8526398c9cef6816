import sys, pathlib, tempfile
sys.path[:0]=["/work/main"]
import pytest
def test_it(small, train, tmp_path):
    for over in ({}, {"method.penalty": 0.0}):
        rows, _ = train(small({"method.name": "kl_cov", "method.penalised_share": 0.2, "training.learning_rate": 0.0, "training.steps": 3, **over}), tmp_path / str(len(over)))
        print(over, [(r["grad_norm"], r["kl/old_new"], r.get("selected/tokens")) for r in rows])
