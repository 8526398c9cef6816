"""The wheel: its packages, its data files, and extras that agree with the requirement files."""

import email
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("papo_jax", "kernels")

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

# What a notebook in another directory does: no checkout is in sight.
NOTEBOOK = """
import papo_jax
from papo_jax.grading import Pool

policy = papo_jax.models.load("tiny")
print(papo_jax.inspection.table(papo_jax.inspection.read(policy, "12+7*3=", "12+21=33")))
with Pool(workers=1, deadline=20.0) as pool:
    print(*pool.grade([("integer", "33", "12+21=33")]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel, built from a copy: building writes into the directory that it builds from."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    without_caches = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "tests", "experiments/configs"):
        shutil.copytree(ROOT / package, source / package, ignore=without_caches)
    for pattern in ("pyproject.toml", "setup.py", "requirements*.txt", "README.md", "LICENSE"):
        for file in ROOT.glob(pattern):
            shutil.copy(file, source)
    subprocess.run([sys.executable, "-c", BUILD, built], cwd=source, check=True)
    return next(built.glob("papo_jax-*.whl"))


def test_the_wheel_holds_two_packages_and_the_tiny_policy(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    tiny = {
        f"papo_jax/models/tiny/{path.name}" for path in (ROOT / "papo_jax/models/tiny").iterdir()
    }
    assert inside == modules | tiny and "papo_jax/models/tiny/model.safetensors" in tiny


def test_extras_are_the_requirement_files(wheel):
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    extras = {path.stem.removeprefix("requirements-") for path in ROOT.glob("requirements-*.txt")}
    extras.remove("smollm2")  # can only be installed without its dependencies
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert extras == set("aot cuda dev parity tasks tpu".split())

    required = metadata.get_all("Requires-Dist", [])
    core = [line for line in required if "extra ==" not in line]
    written = (ROOT / "requirements.txt").read_text().splitlines()
    assert core == [line for line in written if not line.startswith("#")]
    assert 'jax[cuda13]>=0.10.2; extra == "cuda"' in required
    assert {line.split()[-1] for line in required if "extra ==" in line} == {
        f'"{extra}"' for extra in extras
    }


@pytest.mark.slow
def test_an_installed_package_works_from_any_directory(wheel, tmp_path):
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, installed, wheel], check=True)
    program = f"import sys; sys.path.insert(0, {str(installed)!r})\n{NOTEBOOK}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=elsewhere, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "contracts" in done.stdout and done.stdout.splitlines()[-1] == "right"
