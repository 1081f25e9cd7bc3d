"""Residual + layer_norm with half-float inputs: computed in f32, rounded once, one kernel."""

import numpy as np

import dvm


@dvm.kernel
def residual_norm(k, x, residual, weight, bias, *, eps=1e-5):
    total = k.load(x) + k.load(residual)
    return k.store(k.layer_norm(total, k.load(weight), k.load(bias), eps=eps)), k.store(total)


random = np.random.default_rng(0)
x, residual = (random.standard_normal((4, 768)).astype(np.float16) for _ in range(2))
weight, bias = np.ones(768, np.float16), np.zeros(768, np.float16)
y, total = residual_norm(x, residual, weight, bias)
print(y.dtype, "mean", y.astype(np.float32).mean(-1), "std", y.astype(np.float32).std(-1))
print(len(residual_norm.explain()["specialisations"][0]["kernels"]), "kernel")
