// The door: words from outside (files, the assembler, Python) are checked here once and then run without checks.
//
// Words that verify() accepts never make the machine read or write outside its scratch, or outside the reach of the
// arguments that reach() tells, whatever the data. That registers are written before they are read is not checked:
// such a program computes rubbish and harms nothing.
#pragma once

#include <cstdint>
#include <span>

#include "isa/words.h"

namespace dvm {

/// Throws std::invalid_argument "[verify] what came, what was wanted".
void verify(std::span<const Word> words);

/// The bytes of an argument that a launch may touch: [first, end) relative to its pointer. Both are 0 when it
/// touches none; `first` is negative only where strides are.
struct Reach {
  std::int64_t first = 0;
  std::int64_t end = 0;
};

/// Of a verified program.
Reach reach(std::span<const Word> words, unsigned argument);

/// The size a buffer must have to be `argument` of a verified program whose strides are not negative.
inline std::int64_t required_bytes(std::span<const Word> words, unsigned argument) {
  return reach(words, argument).end;
}

}  // namespace dvm
