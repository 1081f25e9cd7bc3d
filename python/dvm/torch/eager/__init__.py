"""Fuses eager PyTorch as it runs: operations are recorded when a program issues them and computed together when a value
is needed."""
