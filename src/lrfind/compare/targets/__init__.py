"""What is trained: a plain PyTorch training here; ``lightning`` has the target for Lightning modules."""
