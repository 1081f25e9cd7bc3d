// Random programs that are valid by construction, for tests that compare two ways to run them.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "isa/program.h"

namespace dvm::test {

using Random = std::mt19937_64;

/// Small extents, all kinds of slots, layouts, domains and sections. Every register is written before it is read.
Program random_program(Random& random);

/// Memory for the arguments of a program: small whole numbers, so that sums are exact in any order.
struct Memory {
  std::vector<std::vector<unsigned char>> arguments;
  std::vector<std::uint64_t> scalars;
  std::vector<void*> addresses;
};
Memory random_memory(const Program& program, Random& random);

}  // namespace dvm::test
