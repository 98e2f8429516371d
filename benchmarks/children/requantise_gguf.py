"""Child process: `requantise_gguf.py FILE OUT TYPE` writes a GGUF file anew with its matrices in another type.

The weights are dequantised first: what the source has lost stays lost.
"""

from __future__ import annotations

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize

_OWN = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", "general.file_type")
_FILE_TYPES = {"Q8_0": LlamaFileType.MOSTLY_Q8_0, "Q4_1": LlamaFileType.MOSTLY_Q4_1}


def main(source: str, out: str, kind: str) -> None:
    """Copy all that the file says, and its tensors: those of one dimension as they are, the others as `kind`."""
    reader = GGUFReader(source)
    writer = GGUFWriter(out, str(reader.fields["general.architecture"].contents()))
    writer.add_file_type(_FILE_TYPES[kind])
    for name, field in reader.fields.items():
        if name not in _OWN:
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    wanted = GGMLQuantizationType[kind]
    for tensor in reader.tensors:
        exact = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if exact.ndim > 1:
            writer.add_tensor(tensor.name, quantize(exact, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, exact)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
