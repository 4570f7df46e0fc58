"""What to compute in where nobody says: what the hardware multiplies fastest without losing range."""

from __future__ import annotations

import torch


def native(device: torch.device | str) -> torch.dtype:
    """bfloat16 on a GPU and on processors that multiply in it (AVX-512 BF16, AMX); float32 on others."""
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
