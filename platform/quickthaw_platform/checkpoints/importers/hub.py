"""Models on the Hugging Face Hub: `hf:org/name`, `hf:org/name@revision`; of GGUF files `hf:org/name:Q4_K_M`."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from quickthaw.proxies import share_reading
from quickthaw_platform.checkpoints.gguf_header import part_of
from quickthaw_platform.checkpoints.importers.source import USED, Fetching, Kind, Source, checkpoint_name, find_in
from quickthaw_platform.checkpoints.importers.weights_choice import chosen_weights, holds_directory, wanted_files
from quickthaw_platform.errors import InvalidRequest

_REPOSITORY = re.compile(r"^([\w.-]+/([\w.-]+))(?::(\w+))?(?:@([\w./-]+))?$")

MAX_ANSWER_BYTES = 64 << 20
"""Of what the Hub says about a repository; files go to the disk piece by piece."""

_PROJECTOR = re.compile(r"(^|[/._-])mmproj[^/]*$", re.IGNORECASE)
"""Names of files that make tokens of images: they lie beside a model, and are none."""


@contextlib.contextmanager
def locate_hub(text: str, fetching: Fetching) -> Iterator[Source]:
    """Fetch a repository's model with huggingface_hub, which continues what was interrupted, and give it."""
    match = _REPOSITORY.match(text)
    if match is None:
        raise InvalidRequest(
            f"{text!r} is no repository; write hf:org/name or hf:org/name@revision, and hf:org/name:Q4_K_M for one of "
            "several GGUF files"
        )
    repository, name, quantisation, revision = match.groups()
    fetching.progress("fetch", 0, None)
    folder, commit, ggufs = _fetched(repository, quantisation, revision, fetching.folder / "hub")
    kind: Kind
    kind, path = ("gguf", folder / ggufs[0]) if ggufs else find_in(folder)
    label = f"hf:{repository}{'' if quantisation is None else ':' + quantisation}@{commit}"
    yield Source(kind, path, label=label, default_name=checkpoint_name(path.stem if ggufs else name))


def chosen_ggufs(names: Sequence[str], repository: str, quantisation: str | None) -> list[str]:
    """Return the GGUF files of a repository to fetch: one, or all parts of one, in order; none where it holds others.

    Raises InvalidRequest, listing what there is, where it takes a quantisation to choose one.
    """
    if quantisation is None and (holds_directory(names) or chosen_weights(names)):
        return []
    models: dict[str, list[str]] = {}
    for name in sorted(name for name in names if name.endswith(".gguf") and not _PROJECTOR.search(name)):
        stem = name.removesuffix(".gguf")
        part = part_of(stem)
        models.setdefault(stem if part is None else part[0], []).append(name)
    if quantisation is not None:
        wanted = re.compile(rf"(^|[./-]|_(?=[a-z]+\d)){re.escape(quantisation)}$", re.IGNORECASE)
        chosen = {stem: files for stem, files in models.items() if wanted.search(stem)}
    else:
        chosen = models
    if len(chosen) > 1 or (not chosen and quantisation is not None):
        have = ", ".join(PurePosixPath(stem).name for stem in chosen or models) or "none"
        raise InvalidRequest(
            f"of the GGUF files of {repository} one must be chosen, by its quantisation, as in hf:{repository}:Q4_K_M; "
            f"there are: {have}"
        )
    return next(iter(chosen.values()), [])


def _fetched(
    repository: str, quantisation: str | None, revision: str | None, cache: Path
) -> tuple[Path, str, list[str]]:
    """Return the folder, the commit and the GGUF files in it, if it is these."""
    from huggingface_hub import HfApi, errors

    _bound_answers()
    api = HfApi()
    proxy = share_reading(api.endpoint, os.environ)
    try:
        info = api.model_info(repository, revision=revision, timeout=30)
        names = [file.rfilename for file in info.siblings or ()]
        ggufs = chosen_ggufs(names, repository, quantisation)
        wanted = [*ggufs, "README.md"] if ggufs else wanted_files(names, USED, repository)
        path = api.snapshot_download(
            repository,
            revision=info.sha,
            cache_dir=cache,
            allow_patterns=[glob.escape(name) for name in wanted],
        )
    except errors.GatedRepoError as error:
        raise InvalidRequest(
            f"{repository} asks for consent: give it on the repository's page, then set HF_TOKEN and import again"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise InvalidRequest(
            f"there is no {repository} in revision {revision or 'main'}, or HF_TOKEN may not see it"
        ) from error
    except InvalidRequest:
        raise
    except Exception as error:  # the library's HTTP client differs by its version, and so do its errors
        through = f", {proxy}" if proxy is not None else ""
        raise InvalidRequest(
            f"{repository} cannot be fetched from {api.endpoint}: {_short(error)}{through}. Without a network, "
            f"run `hf download {repository} --local-dir DIRECTORY` where there is one, copy the directory here and "
            "import that; HF_ENDPOINT names a mirror"
        ) from error
    return Path(path), info.sha or "unknown", ggufs


def _bound_answers() -> None:
    """Have the library's client, which all of its calls share, read no more than MAX_ANSWER_BYTES of an answer."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks["response"]
    if _read_answer not in hooks:
        hooks.append(_read_answer)


def _read_answer(response: Any) -> None:
    """Read what the Hub says, before the library does so without a limit."""
    if not response.request.url.path.startswith("/api/"):
        return
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"it answers with more than {MAX_ANSWER_BYTES:,} bytes")
    response._content = bytes(content)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
