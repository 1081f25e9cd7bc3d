"""The life of an expression: its Graph, its bytecode, and the way back from text to a Program that runs."""

import numpy as np

import dvm


@dvm.kernel
def sigmoid_gate(k, x, gate):
    return k.store(k.load(x) * k.sigmoid(k.load(gate)))


print(sigmoid_gate.graph((4, 100), (4, 100)))
program = sigmoid_gate.program((4, 100), (4, 100))
text = program.disassemble()
print(text)
print(program.stats)

again = dvm.assemble(text)
assert again == program
assert dvm.Program.from_words(again.words) == program

x, gate, out = (
    np.ones((4, 100), np.float32),
    np.zeros((4, 100), np.float32),
    np.empty((4, 100), np.float32),
)
again.run([x, gate, out])
print(out[0, :4])
