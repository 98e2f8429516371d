"""Models on the Hugging Face Hub: `hf:org/name`, or `hf:org/name@revision`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from quickthaw_platform.checkpoints.importers.source import USED, Fetching, Source, checkpoint_name, find_in
from quickthaw_platform.errors import InvalidRequest

_REPOSITORY = re.compile(r"^([\w.-]+/([\w.-]+))(?:@([\w./-]+))?$")


@contextlib.contextmanager
def locate_hub(text: str, fetching: Fetching) -> Iterator[Source]:
    """Fetch a repository's model with huggingface_hub, which continues what was interrupted, and give it."""
    match = _REPOSITORY.match(text)
    if match is None:
        raise InvalidRequest(f"{text!r} is no repository; write hf:org/name or hf:org/name@revision")
    repository, name, revision = match.groups()
    fetching.progress("fetch", 0, None)
    path, commit = _fetched(repository, revision, fetching.folder / "hub")
    kind, path = find_in(path)
    yield Source(kind, path, label=f"hf:{repository}@{commit}", default_name=checkpoint_name(name))


def _fetched(repository: str, revision: str | None, cache: Path) -> tuple[Path, str]:
    from huggingface_hub import HfApi, errors

    api = HfApi()
    try:
        info = api.model_info(repository, revision=revision, timeout=30)
        safe = any(file.rfilename.endswith(".safetensors") for file in info.siblings or ())
        path = api.snapshot_download(
            repository,
            revision=info.sha,
            cache_dir=cache,
            allow_patterns=[*USED, "1_Pooling/config.json"],
            ignore_patterns=["*.bin"] if safe else None,
        )
    except errors.GatedRepoError as error:
        raise InvalidRequest(
            f"{repository} asks for consent: give it on the repository's page, then set HF_TOKEN and import again"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise InvalidRequest(
            f"there is no {repository} in revision {revision or 'main'}, or HF_TOKEN may not see it"
        ) from error
    except Exception as error:  # the library's HTTP client differs by its version, and so do its errors
        raise InvalidRequest(
            f"{repository} cannot be fetched from {api.endpoint}: {_short(error)}. Without a network, run `hf download "
            f"{repository} --local-dir DIRECTORY` where there is one, copy the directory here and import that; "
            "HF_ENDPOINT names a mirror"
        ) from error
    return Path(path), info.sha or "unknown"


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
