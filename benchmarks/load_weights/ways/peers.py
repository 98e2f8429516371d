"""The other loaders, each by its documented call and with what makes it fastest on a CPU.

Their packages are imported where they are used: a process has only what its own way needs.
"""

from __future__ import annotations

from benchmarks.load_weights.files import Files
from benchmarks.load_weights.ways import Arrays, Way, bytes_of


def torch_load(files: Files) -> Way:
    """Return `torch.load`."""
    import torch

    return Way(lambda: bytes_of(torch.load(files.pickle, weights_only=True).values()))


def torch_load_mapped(files: Files) -> Way:
    """Return `torch.load(mmap=True)`."""
    import torch

    return Way(lambda: bytes_of(torch.load(files.pickle, weights_only=True, mmap=True).values()))


def safetensors(files: Files) -> Way:
    """Return `safetensors.torch.load_file`."""
    from safetensors.torch import load_file

    return Way(lambda: bytes_of(load_file(files.safetensors).values()))


def from_pretrained(files: Files) -> Way:
    """Return transformers' `from_pretrained`, the class of the model named, so that nothing is left to be imported."""
    import torch
    from transformers import LlamaForCausalLM

    def load() -> Arrays:
        model = LlamaForCausalLM.from_pretrained(
            files.folder, dtype=torch.bfloat16, local_files_only=True, trust_remote_code=False
        )
        return bytes_of(parameter for _, parameter in model.named_parameters())

    return Way(load)


def fastsafetensors(files: Files) -> Way:
    """Return fastsafetensors; without GPUDirect, which needs a GPU."""
    from fastsafetensors import SafeTensorsFileLoader, SingleGroup

    loader = SafeTensorsFileLoader(SingleGroup(), "cpu", nogds=True)  # this imports torch

    def load() -> Arrays:
        loader.add_filenames({0: [str(files.safetensors)]})
        buffers = loader.copy_files_to_device()
        arrays = bytes_of([buffers.get_tensor(name) for name in loader.get_keys()])
        loader.close()
        return arrays

    return Way(load)


def runai(files: Files) -> Way:
    """Return runai-model-streamer."""
    return stream_by_runai(str(files.safetensors))


def stream_by_runai(path: str) -> Way:
    """Return runai-model-streamer from a path or an address, whose tensors stay valid when it is closed."""
    from runai_model_streamer import SafetensorsStreamer

    def load() -> Arrays:
        with SafetensorsStreamer() as streamer:
            streamer.stream_file(path)
            return bytes_of([tensor for _, tensor in streamer.get_tensors()])

    return Way(load)


def tensorizer(files: Files) -> Way:
    """Return tensorizer."""
    from tensorizer import TensorDeserializer

    def load() -> Arrays:
        with TensorDeserializer(str(files.tensorizer), device="cpu") as found:
            return bytes_of(list(found.values()))

    return Way(load)
