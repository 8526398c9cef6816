"""Measures an update where few answers are long: what padding costs.

    python -m benchmarks.long_tail [--rounds=3] [--work='{"new_tokens": 256}']

Answers of geometric lengths, a quarter of the limit in the mean, beside answers that all reach it,
in one process on one CPU core. A learner that pads every row takes as long for both; one that
wastes nothing takes the share of tokens that are real.
"""

import argparse
import json
import os


def main() -> None:
    """Measures both updates and prints their ratio beside that of their tokens."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=json.loads, default={})
    arguments = parser.parse_args()

    # Before JAX is imported, which counts the cores.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from benchmarks.measure import measure_phases
    from benchmarks.systems import papo
    from benchmarks.work import Work

    work = Work(**arguments.work)
    lengths = papo.draw_lengths(work)
    updates = {
        "all at the limit": papo.make_update(work, [work.new_tokens] * work.sequences),
        "long tail": papo.make_update(work, lengths),
    }
    full, tail = measure_phases(updates, arguments.rounds).values()
    slots = work.sequences * (work.prompt_tokens + work.new_tokens)
    real = sum(lengths) + work.sequences * work.prompt_tokens
    print(f"answers of {sum(lengths) / work.sequences:.0f} of {work.new_tokens} tokens in the mean")
    print(
        f"all at the limit: {full:.2f} CPU s; long tail: {tail:.2f} CPU s, {tail / full:.2f} of it"
    )
    print(f"real tokens: {real / slots:.2f} of the slots")


if __name__ == "__main__":
    main()
