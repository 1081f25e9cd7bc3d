#include "runtime/stacking.h"

#include <algorithm>

namespace dvm {
namespace {

// About 30 microseconds of one thread: beyond that a region of its own costs nothing that matters.
constexpr double kMostStacked = 16 * cpu::kWorkPerThread;

}  // namespace

void Stacking::add(int step, bool follows, std::span<const Place> reads,
                   std::span<const Place> writes, double work) {
  if (!stages_.empty() && !follows && work_ + work <= kMostStacked && !depends(reads, writes)) {
    ++stages_.back().count;
    work_ += work;
    first_of_[step] = std::min(first_of_[step], first_of_[first_step_]);
  } else {
    const std::int32_t next = stages_.empty() ? 0 : stages_.back().first + stages_.back().count;
    stages_.push_back({next, 1});
    work_ = work;
    first_step_ = step;
    read_.clear();
    written_.clear();
  }
  for (const Place& place : reads) read_.emplace_back(place.kind, place.index);
  for (const Place& place : writes) written_.emplace_back(place.kind, place.index);
}

bool Stacking::depends(std::span<const Place> reads, std::span<const Place> writes) const {
  const auto has = [](const std::vector<Memory>& list, const Place& place) {
    return std::ranges::find(list, Memory(place.kind, place.index)) != list.end();
  };
  return std::ranges::any_of(reads, [&](const Place& place) {
    const bool overwrites = std::ranges::find(writes, place) != writes.end();
    return has(written_, place) || (overwrites && has(read_, place));
  });
}

std::vector<std::pair<int, int>> Stacking::overlaps() const {
  std::vector<std::pair<int, int>> ranges(first_of_.size());
  const int steps = static_cast<int>(first_of_.size());
  for (int step = 0; step < steps; ++step) {
    const int first = first_of_[step] == step ? step : ranges[first_of_[step]].first;
    for (int other = first; other <= step; ++other) ranges[other] = {first, step};
  }
  return ranges;
}

}  // namespace dvm
