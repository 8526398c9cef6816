"""Location of a policy's files, and what is said if there are none."""

import logging
import os
import pathlib
import re
import subprocess
import sys
import time

import httpx2
import pytest
from huggingface_hub import errors

from papo_jax.errors import InputError
from papo_jax.models.formats import hf_hub, policy_location
from papo_jax.models.formats.policy_location import locate_policy

NAME = "someone/model"


def read_refusal(path):
    with pytest.raises(InputError) as caught:
        locate_policy(str(path))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model.path")
    return str(caught.value)


def test_what_is_on_disk(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"")
    (tmp_path / NAME).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hf_hub, "fetch_model", lambda *_: pytest.fail("the hub was asked"))
    assert (locate_policy("tiny") / "config.json").exists()
    assert (
        locate_policy(str(tmp_path)) == tmp_path
        and locate_policy(str(tmp_path / "model.gguf")).suffix == ".gguf"
    )
    assert locate_policy(NAME) == pathlib.Path(NAME)  # a directory goes before a model of the hub
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate_policy("~/model.gguf") == tmp_path / "model.gguf"


@pytest.mark.parametrize(
    "path, said",
    [
        ("no/such/place", "neither a directory"),
        ("nothing", "neither"),
        ("", "neither"),
        ("./some/model", "neither"),
        ("/some/model", "neither"),
        ("../model", "neither"),
        ("some/model.gguf", "neither"),
        ("some/mo del", "neither"),
        ("some/model@", "neither"),
        ("~no_such_user_here/model", "cannot be opened"),
        ("a" * 300, "cannot be opened"),
    ],
)
def test_what_is_nowhere(path, said, monkeypatch):
    monkeypatch.setattr(hf_hub, "fetch_model", lambda *_: pytest.fail("the hub was asked"))
    assert said in read_refusal(path)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "give the directory that it lies in" in read_refusal(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "path, model",
    [
        (NAME, (NAME, None)),
        (NAME + "@refs/pr/1", (NAME, "refs/pr/1")),
        ("a/b.c-2@v1", ("a/b.c-2", "v1")),
    ],
)
def test_hub_ids(path, model, monkeypatch):
    assert policy_location.parse_hub_id(path) == model
    monkeypatch.setattr(hf_hub, "fetch_model", lambda *arguments: arguments)
    assert locate_policy(path) == model


class FakeHub:
    """Stands in for the hub's client: what is cached, what the hub would give, what it raises."""

    def __init__(self, monkeypatch):
        self.cached, self.remote, self.error, self.calls = None, None, None, []
        monkeypatch.setattr(hf_hub, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(hf_hub, "HfApi", lambda: self)

    def snapshot_download(
        self, repo_id, revision, allow_patterns, local_files_only=False, etag_timeout=None
    ):
        self.calls.append(("cache" if local_files_only else "network", repo_id, revision))
        assert not any("bin" in pattern or pattern == "*" for pattern in allow_patterns)
        assert local_files_only or etag_timeout <= 10
        logging.getLogger("huggingface_hub").warning("noise")
        if local_files_only:
            if self.cached is None:
                raise errors.LocalEntryNotFoundError("nothing here")
            return str(self.cached)
        return str(self.remote)

    def model_info(self, name, *, revision, timeout):
        self.calls.append(("asked", name, revision))
        assert 0 < timeout <= 10
        if self.error:
            raise self.error


@pytest.fixture
def client(monkeypatch):
    return FakeHub(monkeypatch)


def make_snapshot(directory, *names):
    directory.mkdir()
    for name in names:
        (directory / name).write_bytes(b"")
    return directory


def test_the_cache_goes_before_the_network(client, tmp_path):
    client.cached = make_snapshot(
        tmp_path / "whole", "config.json", "tokenizer.json", "model.safetensors"
    )
    assert locate_policy(NAME + "@v1") == client.cached and client.calls == [("cache", NAME, "v1")]


def test_a_download_that_was_cut_off_is_taken_up_again(client, tmp_path):
    client.cached, client.remote = (
        make_snapshot(tmp_path / "part", "config.json", "tokenizer.json", "a.safetensors"),
        tmp_path,
    )
    (client.cached / "model.safetensors.index.json").write_text(
        '{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}'
    )
    assert locate_policy(NAME) == tmp_path
    (client.cached / "b.safetensors").write_bytes(b"")
    assert locate_policy(NAME) == client.cached
    (client.cached / "model.safetensors.index.json").write_text("[")
    assert locate_policy(NAME) == tmp_path


def test_what_the_cache_lacks_is_fetched(client, tmp_path, capfd):
    client.remote = tmp_path
    assert locate_policy(NAME) == tmp_path
    # As another program would leave it.
    client.cached = make_snapshot(tmp_path / "part", "config.json", "tokenizer.json")
    assert locate_policy(NAME + "@v1") == tmp_path
    assert client.calls[:3] == [
        ("cache", NAME, None),
        ("asked", NAME, None),
        ("network", NAME, None),
    ]
    assert client.calls[3:] == [
        ("cache", NAME, "v1"),
        ("asked", NAME, "v1"),
        ("network", NAME, "v1"),
    ]
    assert capfd.readouterr() == ("", "")


def make_http_error(kind, status=404):
    request = httpx2.Request("GET", "https://huggingface.co/api/models/" + NAME)
    return kind(
        "what the server says\n\nat length", response=httpx2.Response(status, request=request)
    )


FAILURES = {
    "gated": (
        make_http_error(errors.GatedRepoError, 403),
        "is gated.*accept its terms.*hf auth login",
    ),
    "not found": (
        make_http_error(errors.RepositoryNotFoundError),
        "no public model of the hub; check the spelling, or log in",
    ),
    "no such revision": (
        make_http_error(errors.RevisionNotFoundError),
        "no revision 'v1' on the hub",
    ),
    "not a name": (errors.HFValidationError("Repo id must be\nso and so"), "cannot be the name"),
    "offline": (
        errors.OfflineModeIsEnabled("offline mode is enabled"),
        "HF_HUB_OFFLINE is set; unset it, or run",
    ),
    "unauthorized": (
        make_http_error(errors.HfHubHTTPError, 401),
        r"refuses it \(what the server says\); log in",
    ),
    "no network": (
        httpx2.ConnectError("[Errno -2] Name or service not known"),
        r"\(\[Errno -2\] Name or service",
    ),
    "timeout": (httpx2.ReadTimeout("The read operation timed out"), "read operation timed out"),
    "cache incomplete": (errors.LocalEntryNotFoundError("Got: 503\nAn error happened"), "Got: 503"),
    "disk full": (OSError(28, "No space left on device"), "No space left on device"),
    "nothing said": (RuntimeError(), r"\(RuntimeError\)"),
}


@pytest.mark.parametrize("error, said", FAILURES.values(), ids=FAILURES.keys())
def test_failures_are_told_in_one_line(client, error, said, capfd):
    client.error = error
    line = read_refusal(NAME + "@v1")
    assert re.search(said, line), line
    remedies = (
        "--revision v1 --local-dir DIR` on a machine with network",
        "check the spelling",
        "after the @",
    )
    assert NAME in line and any(remedy in line for remedy in remedies) and len(line) < 320
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_never_answers(client, monkeypatch):
    monkeypatch.setattr(hf_hub, "_DEADLINE", 0.05)
    monkeypatch.setattr(client, "model_info", lambda *_, **__: time.sleep(2))
    began = time.monotonic()
    assert "no reply within 0.05 seconds" in read_refusal(NAME)
    assert time.monotonic() - began < 1


def test_the_real_client_refuses_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "cannot be the name of a model" in read_refusal("some/mo--del")


def test_a_run_without_network(tmp_path):
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    flags = {
        "model.path": "nobody/nothing",
        "task.train_size": 16,
        "task.held_out_size": 8,
        "rollout.prompts": 4,
        "evaluation.problems": 4,
    }

    command = [
        sys.executable,
        "run.py",
        f"--workdir={tmp_path / 'run'}",
        *(f"--config.{k}={v}" for k, v in flags.items()),
    ]
    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run(
        command,
        env={**os.environ, **offline},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith(
        "error: model.path: nobody/nothing is no directory here and not in the hub's cache"
    )
    assert (
        done.stderr.count("\n") == 1 and "hf download nobody/nothing --local-dir DIR" in done.stderr
    )
    assert not (tmp_path / "run").exists()
