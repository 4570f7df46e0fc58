"""A decoding step's kernels in Triton: a handful of tokens through a LLaMA block in seven launches.

A step has few rows, so that a GPU spends its time on reading weights and on beginning kernels. These begin
few of them. Whoever imports a module of this folder needs Triton, which comes with PyTorch's CUDA builds.
"""
