// A Program run as its definition reads, one element at a time and on one thread: the slow machine that the fast ones
// are compared with. Only the arithmetic is borrowed from the portable kernels.
#pragma once

#include <cstdint>

#include "cpu/interpreter.h"
#include "isa/program.h"

namespace dvm::test {

void run_reference(const Program& program, const cpu::Launch& launch);

}  // namespace dvm::test
