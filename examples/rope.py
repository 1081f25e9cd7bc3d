"""Rotary position embedding, with the angles made inside the kernel: two outputs, no table of sines."""

import numpy as np

import dvm


@dvm.kernel
def rotate(k, even, odd, base):
    """Rotates the pairs (even, odd), each [batch, position, half], by an angle that grows with the position."""
    even, odd = k.load(even), k.load(odd)
    _, positions, half = even.shape
    position = k.cast(k.arange(positions), "f32")[:, None]
    frequency = k.exp(k.cast(k.arange(half), "f32") / half * -k.log(base))
    angle = position * frequency
    sin, cos = k.sin(angle), k.cos(angle)
    return k.store(even * cos - odd * sin), k.store(even * sin + odd * cos)


x = np.random.default_rng(0).standard_normal((2, 10, 64), dtype=np.float32)
even, odd = rotate(x[..., 0::2], x[..., 1::2], 10000.0)  # strided views: nothing is copied first
length = np.hypot(even, odd) / np.hypot(x[..., 0::2], x[..., 1::2])
print(f"lengths are kept: {length.min():.6f} ... {length.max():.6f}")
