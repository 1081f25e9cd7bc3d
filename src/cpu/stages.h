// Several launches in one parallel region. Those of a stage run at once, their blocks shared out as if they were one
// launch; stages follow each other, which costs a barrier and not another region.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/interpreter.h"
#include "cpu/routine.h"
#include "cpu/tiled.h"

namespace dvm::cpu {

/// A Routine, or a Tiled, to run.
struct Job {
  const Routine* routine = nullptr;
  const Tiled* tiled = nullptr;
  Launch launch = {};

  double work() const { return tiled != nullptr ? tiled->work() : routine->work; }
  std::int64_t blocks() const { return tiled != nullptr ? tiled->blocks() : routine->blocks.total; }
};

/// Jobs [first, first + count), none of which reads what another of them writes.
struct Stage {
  std::int32_t first, count;
};

/// Runs `stages` one after the other on at most `threads` threads, 0 for as many as the caller may have; a stage with
/// little work stays on one of them. Which thread runs a block changes no result. Returns how many threads it asked for.
int run(std::span<const Job> jobs, std::span<const Stage> stages, int threads = 0);

/// Work, in the unit of Routine::work, that is not worth a thread of its own: about two microseconds, what waking one
/// takes while it still looks for work.
inline constexpr double kWorkPerThread = 24 * 1024;

}  // namespace dvm::cpu
