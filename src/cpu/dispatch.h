// Which build of the kernels runs: the best that the CPU has, or the one that DVM_ISA names.
#pragma once

#include <string_view>
#include <vector>

#include "cpu/step.h"

namespace dvm::cpu {

struct Isa {
  std::string_view name;  // "avx512", "avx2", "portable"
  const KernelTable* kernels;
};

/// The chosen one. Throws std::invalid_argument when DVM_ISA names none, or one that the CPU lacks.
const Isa& isa();

/// All that this CPU can run, best first. For tests.
std::vector<std::string_view> available_isas();

/// Switches to another one; the same errors as isa(). Not while programs run.
void choose_isa(std::string_view name);

}  // namespace dvm::cpu
