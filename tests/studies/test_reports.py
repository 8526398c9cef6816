"""Tests of the studies' reports: tables by hand, and whole reports on made-up runs and tokens."""

import importlib

import numpy as np
import pytest

from experiments.studies import asymmetry, baselines, direction
from experiments.studies.lab import benchmark, entropy_matching
from tests.support.seeds import make_rng


@pytest.mark.parametrize("name", ["branches", "control", "baselines"])
def test_a_report_is_made_of_the_runs_and_names_every_entry(name, tmp_path, monkeypatch):
    study = importlib.import_module(f"experiments.studies.{name}")

    def made_up_runs(directory, specs):
        rng = make_rng(0)
        return {
            spec: {
                "counts": rng.integers(0, 17, (11, 8)).astype(np.uint8),
                "evaluated": np.arange(0, 151, 15),
                "entropy": np.geomspace(0.6, rng.uniform(0.01, 0.1), 150),
                "reward/mean": np.linspace(0, rng.uniform(0.5, 1), 150),
                "length/mean": np.ones(150),
            }
            for spec in specs
        }

    monkeypatch.setattr(benchmark, "make_runs", made_up_runs)
    monkeypatch.setattr(entropy_matching, "make_runs", made_up_runs)
    monkeypatch.setattr("sys.argv", [name, "--scale=full", f"--output={tmp_path}"])
    study.main()
    verdict = (tmp_path / "verdict.md").read_text()
    for entry in study.ENTRIES:
        assert f"\n| {entry.label} | " in verdict
    assert set(study.QUICK) <= {entry.label for entry in study.ENTRIES}
    figures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert (
        figures
        == {
            "branches": ["chains.png", "sums.png"],
            "control": ["ends.png", "holding.png", "signals.png", "steering.png"],
            "baselines": ["baselines.png", "ends.png", "matched.png"],
        }[name]
    )
    assert all((tmp_path / figure).read_bytes().startswith(b"\x89PNG") for figure in figures)


def test_the_searchs_rates_by_hand(tmp_path):
    rows = [
        ("dapo", "3e-05", 0.5),
        ("dapo", "0.0001", 0.8),
        ("papo", "3e-05", 0.6),
        ("papo", "0.0001", 0.8),
        ("psr", "3e-05", 0.1),
    ]
    (tmp_path / "search.csv").write_text(
        "entry,learning_rate,avg@16\n" + "\n".join(f"{e},{rate},{value}" for e, rate, value in rows)
    )
    *_, first, second = baselines.rate_table(tmp_path / "search.csv")
    # 0.5, 0.6, 0.1: a mean of 0.4, and sqrt((0.01 + 0.04 + 0.09) / 2) = 0.265
    assert (
        first == "| 3e-05 | 3 | 0.500 | 0.100 | 0.600 | 0.265 |"
        and second == "| 0.0001 | 2 | 0.800 | 0.800 | 0.800 | 0.000 |"
    )


def test_only_the_strength_chosen_is_told_with_its_distance(tmp_path):
    rows = [
        '"kl_cov, nearest",penalized_share=0.02,0.31251,0',
        '"kl_cov, nearest",penalized_share=0.05,0.14249,1',
    ]
    (tmp_path / "matching.csv").write_text("\n".join(["entry,numbers,distance,chosen", *rows]))
    assert (
        baselines.distance_table(tmp_path / "matching.csv")[-1]
        == "| kl_cov, nearest | penalized_share=0.05 | 0.142 |"
    )
    assert not any("0.02" in line for line in baselines.distance_table(tmp_path / "matching.csv"))


def test_shares_by_hand():
    tokens = {
        "p": [0.1, 0.9, 0.1, 0.9, 0.5],
        "H": [0.5] * 5,
        "T": [0.4, -0.1, 0.2, -0.3, 1e-9],
        "A": [1.0, 1.0, -1.0, -1.0, 1.0],
    }
    tokens = {name: np.array(values, np.float32) for name, values in tokens.items()}
    found = asymmetry.polarity_shares(tokens)
    assert found["acting"] == pytest.approx(0.8)  # the fifth is in the dead band
    kinds = ("raised expanding", "raised contracting", "lowered expanding", "lowered contracting")
    assert [found[f"tokens, {kind}"] for kind in kinds] == [0.25] * 4
    assert [found[f"mass, {kind}"] for kind in kinds] == pytest.approx([0.4, 0.1, 0.3, 0.2])
    # exp(-0.5) = 0.607: the first and the third are rare, and expand when raised
    assert (found["T > 0 where p <= exp(-H)"], found["T > 0 where p > exp(-H)"]) == (1.0, 0.0)


def test_bins_by_hand():
    tokens = {
        "p": np.array([0.1, 0.15, 0.95, 1.0]),
        "H": np.array([0.5, 2.0, 0.5, 0.0]),
        "T": np.array([0.3, 0.1, -0.4, 0.0]),
    }
    low, middle, high, top = asymmetry.bin_tokens(tokens, "p")
    assert (low["p from"], low["p to"], low["mean T"], low["share of abs(T)"]) == pytest.approx(
        (0.05, 0.1, 0.3, 3 / 8)
    )
    assert (middle["share T > 0"], high["share T > 0"], top["share of tokens"]) == (1.0, 0.0, 0.25)
    first, last = asymmetry.bin_tokens(tokens, "H")  # an entropy of 0 is in no bin
    assert (first["mean T"], first["share of tokens"], last["H to"]) == pytest.approx(
        (-0.05, 0.5, np.inf)
    )


def test_a_token_signals_slope_is_per_unit_of_step():
    arrays = {
        "predicted/polarity P": np.array([1.0, -2.0]),
        "directional": np.array([[1e-3, -2e-3], [1e-2, -2e-2]]),
        "realized": np.array([[2e-3, -4e-3], [2e-2, -4e-2]]),
        "rates": np.array([1e-3, 1e-2]),
    }
    assert [
        row["slope"] for row in direction.agreement_rows("tiny", "sgd", 0, arrays)
    ] == pytest.approx([2.0] * 4)


def test_the_guess_that_entropy_falls_and_states_that_are_not_equal():
    polarity, entropy = np.array([1.0, -2.0, 3.0]), np.array([1.0, 2.0, 3.0])
    arrays = {
        "predicted/polarity P": polarity,
        "predicted/P over equal states": polarity.copy(),
        "predicted/H": entropy,
        "realized": -entropy,
        "rates": np.array([1.0]),
    }
    rows = {row["predictor"]: row for row in direction.agreement_rows("smollm2", "sgd", 0, arrays)}
    assert (
        list(rows) == ["polarity P", "-H"]
        and rows["-H"]["spearman"] == pytest.approx(1)
        and rows["-H"]["sign"] == 1
    )


def test_direction_tells_of_every_predictor(tmp_path, monkeypatch):
    rng = make_rng(0)

    def made_up_run(optimizer):
        rates = np.array(direction.RATES[optimizer])
        realized = rates[:, None] * rng.normal(size=(len(rates), 200))
        return {
            "predicted/polarity P": realized[0] + 0.1 * rng.normal(size=200),
            "predicted/P over equal states": realized[1],
            "directional": realized * 1.1,
            "realized": realized,
            "rates": rates,
        }

    found = {
        ("tiny", optimizer): [made_up_run(optimizer) for _ in range(2)]
        for optimizer in direction.RATES
    }
    monkeypatch.setattr(
        direction,
        "_collect_model",
        lambda directory, setting, rates: found if setting.policy == "tiny" else {},
    )
    monkeypatch.setattr("sys.argv", ["direction", f"--output={tmp_path}"])
    direction.main()
    verdict = (tmp_path / "verdict.md").read_text()
    assert "Logit space, step 1e-05: sign agreement 1.00000, slope 1.00000." in verdict
    assert (
        verdict.count("\n| directional derivative | 0.000 [0.000, 0.000] | 1.000 [1.000, 1.000] |")
        == 2
    )
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [
        ".csv",
        ".csv",
        ".md",
        ".png",
    ]


def test_asymmetry_tells_of_every_stage(tmp_path, monkeypatch):
    rng = make_rng(0)

    def made_up_tokens():
        return {
            "p": rng.uniform(size=50),
            "H": rng.uniform(size=50),
            "T": rng.normal(size=50),
            "A": rng.normal(size=50),
        }

    monkeypatch.setattr(
        asymmetry,
        "collect_tokens",
        lambda *_: {("tiny", stage): [made_up_tokens() for _ in range(2)] for stage in (0, 20)},
    )
    monkeypatch.setattr("sys.argv", ["asymmetry", f"--output={tmp_path}"])
    asymmetry.main()
    assert "\n| tiny, 20 | " in (tmp_path / "verdict.md").read_text()
    files = ["asymmetry.png", "by_entropy.csv", "by_probability.csv", "shares.csv", "verdict.md"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == files
