"""Fine-tuning of published checkpoints of OpenVLA's family."""
