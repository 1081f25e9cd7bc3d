// Stacking: which launches of a plan run at once. Small ones that need nothing of each other do, so that together they are
// worth several threads; large ones have enough to share on their own and follow each other.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "cpu/stages.h"
#include "runtime/placement.h"

namespace dvm {

class Stacking {
 public:
  explicit Stacking(int steps) : first_of_(static_cast<std::size_t>(steps) + 1) {
    for (int step = 0; step <= steps; ++step) first_of_[step] = step;
  }

  /// Adds the next launch, of step `step`: what it reads and writes, and its work as Routine::work counts it. One that
  /// `follows` goes on with what the launch before it began. What it both reads and writes it overwrites, which has to
  /// wait for all others that read it.
  void add(int step, bool follows, std::span<const Place> reads, std::span<const Place> writes,
           double work);

  std::vector<cpu::Stage> take_stages() { return std::move(stages_); }

  /// The first and the last of the steps that overlap with each step, in pairs: memory that one of them needs is not
  /// free in any other.
  std::vector<std::pair<int, int>> overlaps() const;

 private:
  bool depends(std::span<const Place> reads, std::span<const Place> writes) const;

  using Memory = std::pair<Place::Kind, std::int32_t>;
  std::vector<cpu::Stage> stages_;
  std::vector<Memory> read_, written_;  // in the last stage
  double work_ = 0;                     // of the last stage
  int first_step_ = 0;                  // of the last stage
  std::vector<int>
      first_of_;  // by step: the first step of the earliest stage that it has a launch in
};

}  // namespace dvm
