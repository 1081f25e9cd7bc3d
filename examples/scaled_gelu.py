"""bias + gelu, times a number that changes at every call without compiling again."""

import numpy as np

import dvm


@dvm.kernel
def scaled_gelu(k, x, bias, scale):
    return k.store(k.gelu(k.load(x) + k.load(bias)) * scale)


x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
bias = np.array([0.0, 0.5, 1.0, -1.0], np.float32)
for scale in (1.0, 0.5, -2.0):
    print(scale, scaled_gelu(x, bias, scale)[0])
print(scaled_gelu)
