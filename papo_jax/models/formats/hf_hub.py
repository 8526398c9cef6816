"""Models of the Hugging Face hub.

The hub's cache on this machine is asked first, and the network only for what is not there. Files
that can run code when they are opened (pickles) are never fetched.
"""

import contextlib
import json
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator

from huggingface_hub import HfApi, errors, snapshot_download
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    logging,
)

from papo_jax.errors import InputError
from papo_jax.models.formats.safetensors_read import INDEX, SINGLE

PATTERNS = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt")
_REPLY_SECONDS = 5.0  # that the hub may take for each part of its first reply
_DEADLINE = 10.0  # seconds for all of it: looking up an address has no timeout of its own


def fetch_model(name: str, revision: str | None = None) -> pathlib.Path:
    """Finds a model in the hub's cache on this machine, or fetches it.

    Args:
      name: `owner/name`.
      revision: a branch, a tag or a commit; None for the main branch.

    Returns:
      The directory of its files.

    Raises:
      InputError: if it is not in the cache and cannot be fetched, whatever the reason.
    """
    arguments = {"repo_id": name, "revision": revision, "allow_patterns": list(PATTERNS)}
    with _silence_client():
        with contextlib.suppress(errors.LocalEntryNotFoundError, errors.HFValidationError):
            cached = pathlib.Path(snapshot_download(**arguments, local_files_only=True))
            if _is_complete(cached):
                return cached

        def ask_for_model():
            HfApi().model_info(name, revision=revision, timeout=_REPLY_SECONDS)

        try:
            # Asked first because snapshot_download would wait for this reply without end.
            _call_with_deadline(_DEADLINE, ask_for_model)
            return pathlib.Path(snapshot_download(**arguments, etag_timeout=_REPLY_SECONDS))
        # The hub, its client, the network and the disk each raise their own.
        except Exception as error:
            raise InputError(f"model.path: {_explain_failure(error, name, revision)}") from None


def _is_complete(snapshot: pathlib.Path) -> bool:
    """Tests whether a cached snapshot holds a policy.

    A download may have been cut off, or other programs want less than we do.
    """
    needed = {"config.json", "tokenizer.json"}
    try:
        needed |= set(json.loads((snapshot / INDEX).read_bytes())["weight_map"].values())
    except FileNotFoundError:
        needed.add(SINGLE)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return all((snapshot / str(name)).exists() for name in needed)


def _call_with_deadline(seconds: float, call: Callable[[], object]) -> None:
    """Runs a call that may hang in a thread that nothing waits for at the end."""
    raised = []

    def catch_error():
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=catch_error, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no reply within {seconds:g} seconds")
    if raised:
        raise raised[0]


def _explain_failure(error: Exception, name: str, revision: str | None) -> str:
    """Returns one line that says what failed and what to do about it."""
    here = f"{name} is no directory here"
    version = f" --revision {revision}" if revision else ""
    fetched = (
        f"run `hf download {name}{version} --local-dir DIR` on a machine with network, then set"
        " model.path=DIR"
    )
    log_in = "log in with `hf auth login`"

    # Errors with a remedy of their own.
    match error:
        case errors.GatedRepoError():  # a missing model, too, to the client; so it comes first
            return (
                f"{name} is gated on the hub; accept its terms on its page there and {log_in},"
                f" or {fetched}"
            )
        case errors.RepositoryNotFoundError():
            return f"{here} and no public model of the hub; check the spelling, or {log_in}"
        case errors.RevisionNotFoundError():
            return (
                f"{name} has no revision {revision!r} on the hub; name a branch, a tag or a commit"
                " after the @"
            )
        case errors.HFValidationError():
            return f"{here} and cannot be the name of a model of the hub; check the spelling"
        case errors.OfflineModeIsEnabled():
            return (
                f"{here} and not in the hub's cache, and HF_HUB_OFFLINE is set; unset it,"
                f" or {fetched}"
            )

    # All others are quoted.
    quoted = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"{here} and the hub refuses it ({quoted}); {log_in}, or {fetched}"
    return f"{here} and cannot be fetched from the hub ({quoted}); {fetched}"


@contextlib.contextmanager
def _silence_client() -> Iterator[None]:
    """Silences the hub's client but for errors, and for a download's progress in a terminal."""
    verbosity = logging.get_verbosity()
    hide_progress = not sys.stderr.isatty() and not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if hide_progress:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if hide_progress:
            enable_progress_bars()
