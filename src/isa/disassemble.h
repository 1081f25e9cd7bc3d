// Program -> text for people. isa/README.md explains the form; assemble() reads it back.
#pragma once

#include <string>

#include "isa/program.h"

namespace dvm {

std::string disassemble(const Program& program);

}  // namespace dvm
