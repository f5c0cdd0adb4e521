"""The targets: plain PyTorch and Lightning."""
