"""Reads the package's dependencies from the requirement files, where each is declared once.

`requirements.txt` gives the dependencies, `requirements-NAME.txt` the extra NAME, unless the file
needs an option of pip, which an extra cannot have. Everything else about the package is in
`pyproject.toml`, whose own way to name such files takes no `-r` lines.
"""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent


def read_requirements(path: pathlib.Path) -> list[str]:
    """Returns the requirements in a file, without comments and without its `-r FILE` lines.

    What `-r` names is requirements.txt, and an extra comes on top of that anyway.
    """
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("-")]


def needs_options(path: pathlib.Path) -> bool:
    """Tells whether a file has a line with an option of pip such as `--only-binary`."""
    return any(line.startswith("--") for line in path.read_text().splitlines())


setuptools.setup(
    install_requires=read_requirements(ROOT / "requirements.txt"),
    extras_require={
        path.stem.removeprefix("requirements-"): read_requirements(path)
        for path in sorted(ROOT.glob("requirements-*.txt"))
        if not needs_options(path)
    },
)
