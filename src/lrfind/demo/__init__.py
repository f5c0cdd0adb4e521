"""The experiment that lrfind started from, done honestly: LeNet on Fashion-MNIST, four learning rates."""
