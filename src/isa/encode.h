// Program -> words. One allocation and one pass: a launch for a new shape waits for it.
#pragma once

#include <vector>

#include "isa/program.h"
#include "isa/words.h"

namespace dvm {

/// Assumes a Program that verify() would accept; what has no place in its field throws std::length_error.
std::vector<Word> encode(const Program& program);

}  // namespace dvm
