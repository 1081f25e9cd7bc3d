"""A fused softmax: one kernel, every shape, NumPy and torch."""

import numpy as np

import dvm


@dvm.kernel
def softmax(k, x):
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


for rows, columns in [(2, 5), (128, 768), (3, 100_003)]:
    x = np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
    y = softmax(x)
    print(f"{rows} x {columns}: rows sum to {y.sum(-1).min():.6f} ... {y.sum(-1).max():.6f}")

print(softmax.explain((128, 768)))
