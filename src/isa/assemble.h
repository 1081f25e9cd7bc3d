// Text -> Program, the inverse of disassemble().
#pragma once

#include <string_view>

#include "isa/program.h"

namespace dvm {

/// Throws std::invalid_argument "[assemble] line N: what came, what was wanted". What it returns is well formed, not
/// verified.
Program assemble(std::string_view text);

}  // namespace dvm
