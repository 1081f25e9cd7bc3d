// Words -> Program, the inverse of encode().
#pragma once

#include <span>

#include "isa/program.h"
#include "isa/words.h"

namespace dvm {

/// Assumes words that verify() accepts.
Program decode(std::span<const Word> words);

}  // namespace dvm
