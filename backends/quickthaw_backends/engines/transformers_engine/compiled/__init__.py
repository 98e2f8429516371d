"""What a CPU computes most of its time, as code that LLVM compiles for the processor: products, attention, layers.

`…_code` makes the code, in LLVM's language; `compiled_…` has it compiled, and calls it with torch's tensors.
"""
