"""The built-in experiment: LeNet on Fashion-MNIST or digits."""
