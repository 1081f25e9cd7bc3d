// Binding one instruction to one shape of tile: which kernel runs it, over which strides.
#pragma once

#include "cpu/step.h"
#include "isa/words.h"

namespace dvm::cpu {

Step bind_step(const ProgramWords& program, InstructionWord instruction, std::int64_t rows,
               std::int64_t cols, const KernelTable& kernels);

}  // namespace dvm::cpu
