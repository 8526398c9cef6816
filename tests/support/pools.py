"""What the tests of the pool share: how it is after graders that misbehave (`misbehaving`)."""

MODULE = "tests.support.misbehaving"


def alive(pool) -> bool:
    return pool.grade([("same", "a", "a"), ("same", "a", "b")] * 3) == ["right", "wrong"] * 3


def reason(pool, grader, text="") -> str:
    """What is said of one answer that cannot be judged; the pool has to be whole after it."""
    judgment = pool.judge([(grader, "a", text)])[0]
    assert judgment.verdict == "error" and judgment.answer is None
    assert alive(pool)
    return judgment.reason
