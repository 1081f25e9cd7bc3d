// The CPU machine: runs encoded Programs. docs/internals/machine.md explains how.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/routine.h"
#include "isa/words.h"

namespace dvm::cpu {

/// What one run of a Program needs besides its words.
struct Launch {
  void* const* arguments = nullptr;        // by argument number
  const std::uint64_t* scalars = nullptr;  // bits in the compute type of each, by scalar number
};

/// Runs a verified program. `threads` is the most threads to use, 0 for as many as the caller may have; small work
/// stays on the calling thread. Safe to call from several threads at once.
void run(std::span<const Word> words, const Launch& launch, int threads = 0);

/// The same for a program that is bound already, for who runs it more than once. Any number of threads may run one
/// Routine at once.
void run(const Routine& routine, const Launch& launch, int threads = 0);

/// Runs the blocks [first, end) of a Routine on the calling thread.
void run_blocks(const Routine& routine, const Launch& launch, std::int64_t first, std::int64_t end);

}  // namespace dvm::cpu
