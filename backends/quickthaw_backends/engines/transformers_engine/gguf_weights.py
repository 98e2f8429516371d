"""A GGUF checkpoint's weights for this engine: dequantised by transformers' own reader, into memory of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import gguf
import torch
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig
from transformers.utils import logging

from quickthaw_platform.checkpoints.gguf_joining import write_joined
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import StartFailed

_FILE_NAME = "weights.gguf"


def read_weights(files: Sequence[Path], folder: Path, manifest: Manifest) -> dict[str, torch.Tensor]:
    """Return the tensors by the model's own names, in the manifest's dtype, as an import to that dtype stores them.

    `files` are whole and may be descriptors below /proc; `folder` holds config.json. No thread is started, so that the
    process can be forked afterwards. Raises StartFailed where weights are missing.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with _one_file(files) as directory, _without_threads(), _parsed_quickly():
        read: Any = AutoModelForCausalLM.from_pretrained(
            str(directory),
            gguf_file=_FILE_NAME,
            config=config,
            dtype=getattr(torch, manifest.dtype),
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    model, report = read
    missing = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
    if missing:
        raise StartFailed(f"{len(missing)} weights are missing or of another shape: {', '.join(missing[:5])}")
    tensors: dict[str, torch.Tensor] = model.state_dict()
    return tensors


@contextmanager
def _one_file(files: Sequence[Path]) -> Iterator[Path]:
    """Give a directory that holds all parts as one file under a usual name, for transformers takes no others.

    One file is linked; parts are joined in memory, which is freed afterwards.
    """
    with TemporaryDirectory(prefix="quickthaw-gguf-") as folder:
        link = Path(folder) / _FILE_NAME
        if len(files) == 1:
            link.symlink_to(files[0])
            yield link.parent
            return
        with os.fdopen(os.memfd_create("quickthaw-gguf", os.MFD_CLOEXEC), "wb") as joined:
            write_joined(files, joined)
            link.symlink_to(f"/proc/{os.getpid()}/fd/{joined.fileno()}")
            yield link.parent


@contextmanager
def _without_threads() -> Iterator[None]:
    """Keep transformers from reading in threads, and its progress bars from being watched by one."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    silent = partial(tqdm, disable=True)
    try:
        with (
            mock.patch.dict(os.environ, {"HF_DEACTIVATE_ASYNC_LOAD": "1"}),
            mock.patch.object(tqdm, "monitor_interval", 0),
            mock.patch("transformers.modeling_gguf_pytorch_utils.tqdm", silent),
        ):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _parsed_quickly() -> Iterator[None]:
    """Keep transformers from parsing the vocabulary, which is not needed here, and naming tensors once per module.

    That took most of the time with a small model. transformers looks both names up in `gguf` when it needs them.
    """
    with (
        mock.patch.object(gguf, "GGUFReader", _WeightsReader),
        mock.patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
    ):
        yield


class _WeightsReader(gguf.GGUFReader):
    """Reads all but the elements of long lists of texts."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
        if raw_type != gguf.GGUFValueType.ARRAY or self._get(orig_offs, "<u4")[0] != gguf.GGUFValueType.STRING:
            return super()._get_field_parts(orig_offs, raw_type)
        at = orig_offs + 12
        for _ in range(int(self._get(orig_offs + 4, "<u8")[0])):
            at += 8 + int.from_bytes(self.data[at : at + 8], "little")
        return at - orig_offs, [], [], [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.STRING]
